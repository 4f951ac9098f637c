"""
Records of one handler on their way into batches.

Each record holds its slot while it waits and while its batch runs, and is judged by itself after that: so order,
retries, dead letters and stops are those of single records. It also follows that a batch never holds two records
of one key. With two, the second would be done, or tried again, whatever became of the first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fanout.message import Batch, Message
from fanout.outcome import Outcome

from .cancelled import is_being_cancelled
from .retry import Failed

if TYPE_CHECKING:
    from fanout.app import BatchRule, CallNext

    from .call import Means
    from .clock import Timer
    from .link import Host

__all__ = ["Gathering"]

TURNS = 3
"""How many turns of the loop a batch waits for records that are on their way to it, when nothing else may run."""


@dataclass(slots=True)
class Waiting:
    """A record and what is to become of it: None is done, else what its handler raised or answered."""

    message: Message
    cause: asyncio.Future[BaseException | None]


class Gathering:
    """Gathers records and calls the handler with batches of them, at most `rule.at_once` at a time."""

    def __init__(self, call: CallNext, rule: BatchRule, means: Means) -> None:
        self._call = call
        self._rule = rule
        self._clock = means.clock
        self._link = means.link
        self._waiting: deque[Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._is_due = False
        if means.link is not None:
            means.link.hurry = self._hurry

    async def join(self, _value: Any, message: Message) -> Outcome | None:
        """Waits for the batch of this record; returns what is to become of it."""
        one = Waiting(message, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._advance()
        try:
            cause = await one.cause
        except asyncio.CancelledError:
            # Slots are cancelled all together, at the end.
            self._abandon()
            raise
        return None if cause is None else Failed(cause)

    def _advance(self) -> None:
        """Calls the handler with what waits, as far as it may be called now."""
        rule = self._rule
        while self._waiting and len(self._calls) < rule.at_once:
            if len(self._waiting) < rule.max_size and not self._is_due:
                break
            self._disarm()
            taken = [self._waiting.popleft() for _ in range(min(rule.max_size, len(self._waiting)))]
            task = asyncio.create_task(self._run(taken))
            self._calls.add(task)
            task.add_done_callback(self._ended)
        if self._waiting and self._timer is None:
            self._timer = self._clock.call_later(rule.max_wait_s, self._be_due)
            self._look_soon(self._timer, TURNS)

    def _look_soon(self, timer: Timer, turns: int) -> None:
        if self._link is not None:
            asyncio.get_running_loop().call_soon(self._look, self._link.host, timer, turns)

    def _look(self, host: Host, timer: Timer, turns: int) -> None:
        """Ends the wait where it is in vain: all that could still come waits for records of this very batch."""
        if timer is not self._timer or self._calls:
            return
        if turns:
            self._look_soon(timer, turns - 1)
        elif host.holds_back():
            self._be_due()

    def _hurry(self) -> None:
        if self._waiting:
            self._be_due()

    def _be_due(self) -> None:
        self._is_due = True
        self._advance()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._advance()
        if self._timer is not None:
            self._look_soon(self._timer, TURNS)

    async def _run(self, taken: list[Waiting]) -> None:
        batch: Batch[Any] = Batch([one.message for one in taken])
        cause: BaseException | None
        try:
            answer = await self._call(batch)
            cause = answer if isinstance(answer, Outcome) else None
        except BaseException as raised:
            if is_being_cancelled(raised):
                raise
            cause = raised
        _answer(taken, (batch.failure(index) or cause for index in range(len(taken))))

    def _disarm(self) -> None:
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abandon(self) -> None:
        self._waiting.clear()
        self._disarm()
        for task in self._calls:
            task.cancel()


def _answer(taken: list[Waiting], causes: Iterable[BaseException | None]) -> None:
    for one, cause in zip(taken, causes, strict=True):
        if not one.cause.done():
            one.cause.set_result(cause)
