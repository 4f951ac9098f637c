"""One attempt of one record: decode, call the handler, name the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from fanout.message import KafkaMessage, Message
from fanout.outcome import Outcome

from .decode import decoder
from .retry import Passed, Verdict, undecodable, verdict_on

if TYPE_CHECKING:
    from fanout.app import Handler

__all__ = ["Attempt", "attempt_of"]

Attempt = Callable[[KafkaMessage, int], Awaitable[Verdict | None]]
"""Runs a handler once: the message, and the number of the attempt. None is done."""

Call = Callable[..., Awaitable[Any]]

TOMBSTONE = Passed("tombstone")


def attempt_of(handler: Handler, source: str | None, threads: Executor) -> Attempt:
    """How `handler` runs one record. `source` is the topic of the run; `def` handlers run in `threads`."""
    decode, call = decoder(handler.decode), _call(handler, threads)
    wants_message, takes_none = handler.wants_message, handler.takes_none

    async def attempt(raw: KafkaMessage, number: int) -> Verdict | None:
        data = raw.value()
        if data is None:
            if not takes_none:
                return TOMBSTONE
            value = None
        else:
            try:
                value = decode(data)
            except Exception as cause:  # noqa: BLE001  whatever a decoder raises, the value cannot be decoded
                return undecodable(cause, handler, number)
        try:
            if wants_message:
                answer = await call(value, Message(raw, value, number, source=source))
            else:
                answer = await call(value)
        except asyncio.CancelledError as cause:
            if _is_being_cancelled():
                raise
            return verdict_on(cause, handler, number)
        except GeneratorExit:
            raise  # the loop closes this slot
        except BaseException as cause:  # noqa: BLE001  a handler cannot end its worker, whatever it raises
            return verdict_on(cause, handler, number)
        # `return Retry()` would otherwise settle a record whose handler asked for the contrary.
        return verdict_on(answer, handler, number) if isinstance(answer, Outcome) else None

    return attempt


def _call(handler: Handler, threads: Executor) -> Call:
    function, timeout_s = handler.function, handler.timeout_s
    if not handler.is_async:
        return _in_thread(function, threads)
    if timeout_s is None:
        return function

    async def bounded(*arguments: Any) -> Any:
        async with asyncio.timeout(timeout_s):
            return await function(*arguments)

    return bounded


def _in_thread(function: Callable[..., Any], threads: Executor) -> Call:
    def contained(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except StopIteration as error:
            # A future cannot hold a StopIteration: who waits for it would wait for ever.
            raise RuntimeError(f"the handler raised {error!r}") from error

    async def call(*arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, contained, *arguments)

    return call


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
