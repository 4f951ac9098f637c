"""
One handler at work: records in from the feed, outcomes back to the ledger.

Everything here runs on the event loop. The feed, on its own thread, calls `offer`
and waits for `release`; both cross to the loop first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanout._fanout import Intake
from fanout.errors import FanoutError, WorkError
from fanout.message import KafkaMessage, origin_of

from .board import Row
from .claims import Claims, ClaimsParts, Doors
from .clock import Clock, LoopClock, Timer
from .dead_letter import DeadLetters, Guard
from .letter import Letter
from .parking import Parking
from .ready import Runnable
from .retry import Again, Dead, Held, Later, Passed, Settled, Unclaimed, Verdict, mismatched, words
from .retry_topic import Retries, Returned
from .slots import Slots

if TYPE_CHECKING:
    from fanout.app import Handler

    from .attempt import Attempt
    from .link import Link
    from .quarantine import Quarantine, Suspects

__all__ = ["Parts", "Runtime"]

logger = logging.getLogger("fanout.work")

MAX_NAMED = 5


def _as_it_is(message: Any) -> KafkaMessage:
    record: KafkaMessage = message
    return record


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a runtime is put together from. `source` is the topic of the run; `places` see `Slots`.

    `view`: how a record is looked at outside its attempt.
    """

    handler: Handler
    intake: Intake
    attempt: Attempt
    dead_letters: DeadLetters | None
    guard: Guard
    concurrency: int
    source: str | None = None
    places: Row | None = None
    link: Link | None = None
    quarantine: Quarantine | None = None
    clock: Clock = field(default_factory=LoopClock)
    claims: ClaimsParts | None = None
    retries: Retries | None = None
    parking: Parking | None = None
    view: Callable[[Any], KafkaMessage] = _as_it_is


@dataclass(slots=True)
class Parked:
    """A record that waits for its next attempt."""

    message: Any
    timer: Timer
    attempt: int
    cause: str = field(default="")


class Runtime:
    """Runs the handler of one topic. `failed` is set to what stops it; `made_room` is called after each settling."""

    def __init__(self, parts: Parts, made_room: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts = parts
        self._made_room = made_room
        self.claims = None if parts.claims is None else self._claims(parts.claims)
        self._slots = Slots(parts.concurrency, self._guarded(parts.attempt), self._other, parts.places)
        # The way of a record without claims: straight to the slots, and straight to the ledger.
        self._enter = self._slots.offer if self.claims is None else self.claims.ask
        self._finish = self._close if self.claims is None else self.claims.complete
        self._dead: list[int] = []
        self._parked: dict[int, Parked] = {}
        self._settled = asyncio.Event()
        self._closed: set[int] = set()
        self.outcomes: Counter[str] = Counter()
        if parts.link is not None:
            parts.link.host = self
        self.failed: asyncio.Future[FanoutError] = self._loop.create_future()

    def start(self) -> None:
        """Starts the slots."""
        self._slots.start(self._settle, self._slot_ended)
        if self.claims is not None:
            self.claims.start()

    async def leave(self) -> None:
        """Gives claims back, once nothing is read any more and before `stop`."""
        if self.claims is not None:
            await self.claims.leave(is_idle=not self._slots.running())

    def stop(self) -> None:
        """Cancels what still runs. Its records stay unsettled."""
        self._drop(lambda _record: True)
        self._slots.stop()

    def offer(self, runnable: list[Runnable]) -> None:
        """Takes records that may run. Safe from any thread."""
        self._loop.call_soon_threadsafe(self._enter, runnable)

    def fail(self, error: FanoutError) -> None:
        """Makes `error` the reason to stop, if none is known yet. Safe from any thread."""
        self._loop.call_soon_threadsafe(self._fail, error)

    async def release(self, assignments: set[int], timeout_s: float) -> list[str]:
        """Waits for what runs of these assignments and drops what waits; returns what still runs after `timeout_s`."""

        def gone(record: int) -> bool:
            return Intake.assignment_of(record) in assignments

        self._closed |= assignments
        self._settle()
        self._drop(gone)
        if self._parts.link is not None:
            self._parts.link.hurry()
        try:
            async with asyncio.timeout(timeout_s):
                while any(map(gone, self._unfinished())):
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            pass  # the records left are read again by the next owner
        self._settle()
        return [str(record) for record in self._slots.running() if gone(record)]

    @property
    def slots(self) -> int:
        """How many handlers may run at once."""
        return self._parts.concurrency

    def own_record(self) -> int:
        """The record that the calling slot runs."""
        return self._slots.own_record()

    def acknowledge(self, record: int) -> None:
        """Settles a record whose handler still runs."""
        self._slots.tries.pop(record, None)
        self._slots.done.append(record)
        self._slots.settle_soon()

    def holds_back(self) -> bool:
        """Whether nothing may run, and records wait for others of their order that run."""
        known = len(self._slots.running()) + len(self._parked)
        known += 0 if self.claims is None else self.claims.underway()
        return not self._slots.ready and self._parts.intake.in_flight()[0] > known

    def running(self) -> int:
        """How many handlers run now."""
        return len(self._slots.running())

    def suspect(self, suspects: Suspects) -> None:
        """Has these records run in a process of their own, one at a time."""
        if suspects and self._parts.quarantine is not None:
            self._parts.quarantine.suspect(suspects)
            self._slots.attempt = self._guarded(self._parts.quarantine.attempt)

    def _guarded(self, attempt: Attempt) -> Attempt:
        return attempt if self.claims is None else self.claims.guarded(attempt)

    def run_by(self, task: asyncio.Task[Any] | None) -> str | None:
        """The name of the record whose handler `task` runs, if it is one of ours. From any thread."""
        message = self._slots.run_by(task)
        return None if message is None else self._name(message)

    def parked(self) -> list[str]:
        """Some of the records that wait for another attempt, the most often tried first, and why they failed."""
        worst = sorted(self._parked.values(), key=lambda parked: -parked.attempt)[:MAX_NAMED]
        return [f"{self._name(parked.message)} failed {parked.attempt} times, last: {parked.cause}" for parked in worst]

    def parked_count(self) -> int:
        """How many records wait for another attempt."""
        return len(self._parked)

    async def _other(self, record: int, message: Any, verdict: Verdict) -> None:
        match verdict:
            case Passed(outcome=outcome):
                self._slots.tries.pop(record, None)
                self._slots.done.append(record)
                self.outcomes[outcome] += 1
                self.outcomes["done"] -= 1
            case Unclaimed():
                self._enter([(record, message)])
            case Again():
                self._park(record, message, verdict)
            case Later():
                await self._postpone(record, message, verdict)
            case Held(delay_s=delay_s):
                self._hold(record, message, delay_s)
            case Settled():
                pass
            case Dead():
                await self._bury(record, message, verdict)

    def _park(self, record: int, message: Any, again: Again) -> None:
        """Frees the slot until the next attempt. The record stays open, so its key and the commit point wait."""
        if Intake.assignment_of(record) in self._closed:
            if self.claims is not None:
                self.claims.give_up(record)
            return  # its next owner tries it again
        tried = self._slots.tries.get(record, 0) + 1
        self._slots.tries[record] = tried
        self.outcomes["retried"] += 1
        if tried == 1:
            logger.warning("%s failed and is tried again", self._name(message), exc_info=again.cause)
        timer = self._parts.clock.call_later(again.delay_s, self._unpark, record)
        self._parked[record] = Parked(message, timer, tried, words(again.cause))

    async def _postpone(self, record: int, message: Any, later: Later) -> None:
        """Settles the record once it stands in the retry topic, its claim given back: its next attempt claims anew."""
        retries, seen = self._parts.retries, self._parts.view(message)
        if retries is None:
            raise TypeError("a handler without a retry topic retries in place")
        attempt = _attempt(seen, self._slots.tries.get(record, 0) + 1)
        try:
            await retries.send(seen, attempt, later)
        except WorkError as error:
            self._fail(error)
            return
        if attempt == 1:
            logger.warning("%s failed and is tried again later", self._name(message), exc_info=later.cause)
        self._dead.append(record)
        self.outcomes["retried"] += 1

    def _hold(self, record: int, message: Any, delay_s: float) -> None:
        """Frees the slot until the record's time has come."""
        if Intake.assignment_of(record) in self._closed:
            if self.claims is not None:
                self.claims.give_up(record)
            return
        seen = self._parts.view(message)
        cause = (seen.first_error or b"").decode(errors="replace") if isinstance(seen, Returned) else ""
        timer = self._parts.clock.call_later(delay_s, self._unpark, record)
        self._parked[record] = Parked(message, timer, _attempt(seen, 1) - 1, cause)

    def _unpark(self, record: int) -> None:
        parked = self._parked.pop(record)
        self._enter([(record, parked.message)])

    async def _bury(self, record: int, message: Any, dead: Dead) -> None:
        parts = self._parts
        if parts.dead_letters is None:
            raise TypeError("a handler without dead letters retries")
        seen = parts.view(message)
        attempt = dead.attempts or _attempt(seen, self._slots.tries.get(record, 0) + 1)
        try:
            if parts.parking is not None:
                parts.parking.admit(message)
            if dead.why != "parked":  # it has not failed, whatever is wrong with the record before it
                parts.guard.allow(parts.handler.topic, self._name(message), dead)
            await parts.dead_letters.send(Letter(raw=seen, dead=dead, attempt=attempt))
        except WorkError as error:
            self._fail(error)
            return
        if parts.parking is not None:
            parts.parking.buried(message, dead)
        if dead.why != "parked":
            logger.error("%s is a dead letter: %s, %s", self._name(message), dead.why, dead.message)
        self._slots.tries.pop(record, None)
        self._dead.append(record)
        self.outcomes["dead"] += 1
        self.outcomes[dead.why] += 1

    def _settle(self) -> None:
        """Hands every result to the ledger in one crossing, and takes what may run next."""
        done, dead = self._slots.done, self._dead
        if done or dead:
            self._finish(done, dead)
            done.clear()
            dead.clear()
        self._settled.set()

    def _close(self, done: list[int], dead: list[int]) -> None:
        runnable = self._parts.intake.settle(done, dead)
        self.outcomes["done"] += len(done)
        self._parts.guard.passed(len(done))
        if runnable:
            self._enter(runnable)
        self._made_room()
        self._settled.set()

    def _claims(self, parts: ClaimsParts) -> Claims:
        doors = Doors(
            run=self._run,
            settle=self._close,
            repeated=self._close_repeated,
            mismatched=self._mismatched,
            fail=self._fail,
        )
        return Claims(parts, doors)

    def _run(self, runnable: list[Runnable]) -> None:
        self._slots.offer(runnable)

    def _close_repeated(self, records: list[int]) -> None:
        """Settles what was done before; it counts as such, and not among what was done now."""
        self.outcomes["repeated"] += len(records)
        self.outcomes["done"] -= len(records)
        self._close(records, [])

    async def _mismatched(self, record: int, message: Any) -> None:
        await self._other(record, message, mismatched(self._parts.handler, self._slots.tries.get(record, 0) + 1))
        self._slots.settle_soon()

    def _unfinished(self) -> list[int]:
        """Records that run, or are done and not settled yet."""
        return [*self._slots.running(), *(() if self.claims is None else self.claims.finishing())]

    def _drop(self, gone: Callable[[int], bool]) -> None:
        self._slots.drop(gone)
        if self.claims is not None:
            self.claims.drop(gone, self._slots.running())
        for record in [record for record in self._parked if gone(record)]:
            self._parked.pop(record).timer.cancel()

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FanoutError):
            self._fail(error)
        elif error is not None:
            problem = f"a slot of {self._parts.handler.topic} broke: {type(error).__name__}: {error}"
            logger.error(problem, exc_info=error)
            self._fail(WorkError(problem, "this is a fault of fanout; the records in hand were not settled"))

    def _fail(self, error: FanoutError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _name(self, message: Any) -> str:
        topic, partition, offset, _ = origin_of(self._parts.view(message), self._parts.source)
        return f"{topic}/{partition}/{offset}"


def _attempt(seen: KafkaMessage, here: int) -> int:
    """The number of the attempt that has ended; `here` counts those of this process."""
    return seen.attempt if isinstance(seen, Returned) else here
