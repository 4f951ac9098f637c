"""One attempt of one record: decode, call the handler, name the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fanout.message import KafkaMessage, Message
from fanout.outcome import Outcome

from .call import Means, call_of
from .cancelled import is_being_cancelled
from .decode import decoder
from .retry import Passed, Verdict, undecodable, verdict_on

if TYPE_CHECKING:
    from fanout.app import Handler

__all__ = ["Attempt", "attempt_of"]

Attempt = Callable[[KafkaMessage, int], Awaitable[Verdict | None]]
"""Runs a handler once: the message, and the number of the attempt. None is done."""

TOMBSTONE = Passed("tombstone")


def attempt_of(handler: Handler, source: str | None, means: Means) -> Attempt:
    """How `handler` runs one record. `source` is the topic of the run."""
    decode, takes_none = decoder(handler.decode), handler.takes_none
    call, wants_message = call_of(handler, means)

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
        except BaseException as cause:  # a handler cannot end its worker, whatever it raises
            if is_being_cancelled(cause):
                raise
            return verdict_on(cause, handler, number)
        # `return Retry()` would otherwise settle a record whose handler asked for the contrary.
        return verdict_on(answer, handler, number) if isinstance(answer, Outcome) else None

    return attempt
