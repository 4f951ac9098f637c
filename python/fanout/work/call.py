"""
How a handler is called: through its middleware, within its timeout, in a thread if it is a `def`.

The layers are put together once, at the start. One that a handler does not ask for is not there.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fanout.message import Batch, Message
from fanout.outcome import Outcome

from .batches import Gathering
from .cancelled import is_being_cancelled
from .clock import Clock, LoopClock
from .retry import Acknowledged

if TYPE_CHECKING:
    from fanout.app import CallNext, Handler, Middleware

    from .link import Link

__all__ = ["Call", "Means", "NotAcknowledgedError", "call_of"]

logger = logging.getLogger("fanout.work")

Call = Callable[..., Awaitable[Any]]
"""Takes the value and, if `Calling.wants_message`, the message."""


class NotAcknowledgedError(Exception):
    """A handler with `ack="manual"` returned without it. The record counts as failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What calls are made with. `link` is needed for acknowledging by hand and for batches."""

    threads: Executor
    link: Link | None = None
    clock: Clock = field(default_factory=LoopClock)


def call_of(handler: Handler, means: Means) -> tuple[Call, bool]:
    """The whole call of a handler, and whether it takes the message beside the value."""
    call: Call = handler.function if handler.is_async else _in_thread(handler.function, means.threads)
    if handler.batch is not None:
        through = _chain(handler.middleware, call)
        whole = through if handler.timeout_s is None else _bounded_batch(through, handler.timeout_s, means.clock)
        return Gathering(whole, handler.batch, means).join, True
    wants_message = handler.wants_message
    if handler.middleware:
        call, wants_message = _beside_value(_chain(handler.middleware, _from_message(call, handler))), True
    if handler.timeout_s is not None:
        call = _bounded(call, handler.timeout_s, means.clock)
    if handler.ack != "on_success":
        call, wants_message = _acknowledging(handler, call if wants_message else _value_only(call), means), True
    return call, wants_message


def _in_thread(function: Callable[..., Any], threads: Executor) -> Call:
    def contained(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except StopIteration as error:
            # A future cannot hold a StopIteration: who waits for it would wait for ever.
            raise RuntimeError(f"the handler raised {error!r}") from error

    async def call(*arguments: Any) -> Any:
        # What middleware and lifespan have set for this call is set in the thread, too.
        inside = partial(contextvars.copy_context().run, contained, *arguments)
        return await asyncio.get_running_loop().run_in_executor(threads, inside)

    return call


def _chain(middleware: Sequence[Middleware], innermost: CallNext) -> CallNext:
    call = innermost
    for each in reversed(middleware):
        call = partial(each, call)
    return call


def _from_message(call: Call, handler: Handler) -> CallNext:
    if handler.wants_message:
        return lambda msg: call(msg.value, msg)
    return lambda msg: call(msg.value)


def _beside_value(call: CallNext) -> Call:
    return lambda _value, msg: call(msg)


def _value_only(call: Call) -> Call:
    return lambda value, _msg: call(value)


def _bounded(call: Call, timeout_s: float, clock: Clock) -> Call:
    async def bounded(value: Any, *message: Message) -> Any:
        for one in message:
            one.deadline = asyncio.get_running_loop().time() + timeout_s
        return await _within(call(value, *message), timeout_s, clock)

    return bounded


def _bounded_batch(call: CallNext, timeout_s: float, clock: Clock) -> CallNext:
    async def bounded(batch: Batch[Any]) -> Any:
        deadline = asyncio.get_running_loop().time() + timeout_s
        for one in batch.messages:
            one.deadline = deadline
        return await _within(call(batch), timeout_s, clock)

    return bounded


async def _within(answer: Awaitable[Any], timeout_s: float, clock: Clock) -> Any:
    limit = clock.timeout(timeout_s)
    try:
        async with limit:
            return await answer
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"not done within {timeout_s:g} s") from error


def _acknowledging(handler: Handler, call: Call, means: Means) -> Call:
    """Settles when it is told to, or at once; what becomes of the handler after that is only logged."""
    link = means.link
    if link is None:
        raise TypeError("acknowledging needs a link to the runtime")
    at_once = handler.ack == "on_receive"

    async def acknowledged(value: Any, message: Message) -> Any:
        slip = Slip(link)
        message.acknowledged_by(slip.settle)
        if at_once:
            slip.settle()
        try:
            answer = await call(value, message)
        except BaseException as error:  # a handler cannot end its worker, whatever it raises
            if not slip.is_settled or is_being_cancelled(error):
                raise
            logger.warning("%s failed after it was acknowledged: it is not tried again", message.id, exc_info=error)
            return Acknowledged()
        if slip.is_settled:
            return Acknowledged()
        if isinstance(answer, Outcome):
            return answer
        raise NotAcknowledgedError("the handler returned without `await msg.ack()`")

    return acknowledged


class Slip:
    """One record that may be settled before its handler ends."""

    __slots__ = ("_link", "_record", "is_settled")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._record = link.host.own_record()
        self.is_settled = False

    def settle(self) -> None:
        """Settles it, once."""
        if not self.is_settled:
            self.is_settled = True
            self._link.host.acknowledge(self._record)
