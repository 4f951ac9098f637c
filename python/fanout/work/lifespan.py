"""What an application opens before its first record, and closes after its last."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fanout.errors import ConfigError, StartError

if TYPE_CHECKING:
    from fanout.app import App, Lifespan

__all__ = ["CLOSE_S", "opened"]

logger = logging.getLogger("fanout.work")

CLOSE_S = 5.0
"""What closing may take. A stop may leave it less."""


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[None]:
    """Opens the lifespans of `app` around its body, and closes them whatever becomes of it.

    Raises StartError, caused by its own error, if one cannot be opened; those before it are closed again. An error in
    closing is raised, or logged where the body has raised one already.
    """
    open_ones: list[AbstractAsyncContextManager[Any]] = []
    for each in app.lifespans:
        try:
            manager = _manager(each, app)
            await manager.__aenter__()
            open_ones.append(manager)
        except Exception as error:
            await _close_after(open_ones, error)
            raise StartError(_name(each), f"{type(error).__name__}: {error}") from error
    try:
        yield
    except BaseException as error:
        await _close_after(open_ones, error)
        raise
    await _close(open_ones)


def _manager(lifespan: Lifespan, app: App) -> AbstractAsyncContextManager[Any]:
    made: Any = asynccontextmanager(lifespan)(app) if inspect.isasyncgenfunction(lifespan) else lifespan(app)
    if not isinstance(made, AbstractAsyncContextManager):
        raise ConfigError(f"lifespan {_name(lifespan)}", "is an `async def` of the app that yields once")
    return made


async def _close(open_ones: Sequence[AbstractAsyncContextManager[Any]]) -> None:
    """Closes each as if nothing had happened: what failed elsewhere is no affair of theirs."""
    errors: list[Exception] = []
    try:
        async with asyncio.timeout(CLOSE_S) as limit:
            for each in reversed(open_ones):
                try:
                    await each.__aexit__(None, None, None)
                except Exception as error:  # noqa: BLE001  the application's own; raised when all are closed
                    errors.append(error)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"closing what the app had opened took longer than {CLOSE_S:g} s") from error
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("what the app had opened was not closed", errors)


async def _close_after(open_ones: Sequence[AbstractAsyncContextManager[Any]], first: BaseException) -> None:
    """Closes after an error, which is the one to be raised."""
    try:
        await _close(open_ones)
    except Exception:
        logger.exception("after %s: what the app had opened was not closed cleanly", type(first).__name__)


def _name(lifespan: Lifespan) -> str:
    return getattr(lifespan, "__qualname__", repr(lifespan))
