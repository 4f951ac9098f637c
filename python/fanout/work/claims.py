"""
The gate between the records that were read and the slots: only what nobody has done, and nobody is doing, goes through.

One batch after the other goes to the store, on a thread of its own; what comes up meanwhile makes the next one. So a
round trip is shared by all that happened during the one before it, and never made for a record alone.

A record is claimed before it runs, completed once its handler has succeeded, and settled after that. Its claim is given
back when its partition goes before it ran, and when it became a dead letter: it may then be sent again, and a done
marker would make that a loss. Between two attempts the claim stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanout.dedup.store import Answer, Claim, Completion, StoreError, claim
from fanout.errors import FanoutError, WorkError

from .clock import Clock, LoopClock
from .retry import UNCLAIMED

if TYPE_CHECKING:
    from fanout.config.dedup import OnStoreDown
    from fanout.dedup.keys import Identify
    from fanout.dedup.owner import Owner
    from fanout.dedup.store import DedupStore
    from fanout.message import KafkaMessage

    from .attempt import Attempt
    from .ready import Runnable
    from .retry import Verdict

__all__ = ["Claims", "ClaimsParts", "Doors", "Kept"]

logger = logging.getLogger("fanout.work")

MOST_OWED = 20_000
"""What a store that is done without is told later. More cannot have been claimed before it was gone."""

MOST = 2_000
"""Records a batch: an answer is due within the store's timeout."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0
"""Between two questions for a record that another one is doing."""

STORE_AGAIN_S = 0.25
STORE_LEFT_ALONE_S = 1.0
"""Where work goes on without the store, it is asked again as often."""

LEAVE_S = 1.0


Kept = Callable[[Answer, "list[Runnable]"], None]
"""Is told of records that the store kept from their handler, for now or for good, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimsParts:
    """What claims are made with. `store` serves them alone; `owner` renews itself through another.

    executor: where the store is called, one call after the other; None is a thread.   clock: of the waits between two
    questions.
    """

    store: DedupStore
    owner: Owner
    identify: Identify
    on_store_down: OnStoreDown
    executor: Executor | None = None
    clock: Clock = field(default_factory=LoopClock)
    kept: Kept | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Doors:
    """The ways back into the runtime: what may run, what was completed or buried, repeats, and what differs."""

    run: Callable[[list[Runnable]], None]
    settle: Callable[[list[int], list[int]], None]
    repeated: Callable[[list[int]], None]
    mismatched: Callable[[int, Any], Coroutine[Any, Any, None]]
    fail: Callable[[FanoutError], None]


@dataclass(slots=True)
class Batch:
    """What goes to the store at once, in this order: `done` and `dead` records, claims to give up, and questions."""

    done: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    completed: list[Claim] = field(default_factory=list)
    released: list[Claim] = field(default_factory=list)
    asked: list[Runnable] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


@dataclass(slots=True)
class Answers:
    """What the store said of a batch."""

    completions: list[Completion]
    answers: list[Answer]


class Claims:
    """Claims for one runtime. Everything but the store's own calls happens on the event loop."""

    def __init__(self, parts: ClaimsParts, doors: Doors) -> None:
        self._parts = parts
        self._doors = doors
        self._loop = asyncio.get_running_loop()
        self._executor = parts.executor or ThreadPoolExecutor(1, "dedup-store")
        self._held: dict[int, Claim] = {}
        self._next = Batch()
        self._now = Batch()
        self._owed = Batch()
        self._waiting: dict[int, Runnable] = {}
        self._tries: dict[int, int] = {}
        self._left_alone_until = 0.0
        self._gone_meanwhile = False
        self._wanted = asyncio.Event()
        self._turned = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._down_since: float | None = None
        self.figures: Counter[str] = Counter()
        """Answers by name, completions by name, `released`, `unclaimed` (ran without the store)."""

    def start(self) -> None:
        """Starts to serve."""
        self._parts.owner.start()
        self._watch(self._loop.create_task(self._serve()))

    def guarded(self, attempt: Attempt) -> Attempt:
        """`attempt`, but for records whose claims others may have taken: they are claimed anew first.

        A process that was stopped for longer than its owner key lives wakes with thousands of them in its hands.
        """
        owner, monotonic = self._parts.owner, time.monotonic

        def if_claimed(message: KafkaMessage, number: int) -> Awaitable[Verdict | None]:
            if monotonic() < owner.good_until or self._goes_without():
                return attempt(message, number)
            return _unclaimed()

        return if_claimed

    def ask(self, runnable: list[Runnable]) -> None:
        """Takes records that may run as far as their order is concerned."""
        held, identify, owner = self._held, self._parts.identify, self._parts.owner.id.encode()
        new = tuple.__new__  # what the class itself adds to it costs as much again
        for record, message in runnable:
            if record not in held:
                key, content = identify(message)
                held[record] = new(Claim, (key, b"%b:%d" % (owner, record), content))
        self._next.asked += runnable
        self._wanted.set()

    def complete(self, done: list[int], dead: list[int]) -> None:
        """Has `done` records marked so, gives the claims of `dead` ones up, and settles both."""
        self._next.done += done
        self._next.dead += dead
        self._wanted.set()

    def give_up(self, record: int) -> None:
        """Lets the next owner of its partition run a record at once."""
        held = self._held.pop(record, None)
        if held is not None:
            self._next.released.append(held)
            self._wanted.set()

    def drop(self, gone: Callable[[int], bool], running: list[int]) -> None:
        """Gives up the claims of records that are gone and do not run."""
        self._gone_meanwhile = True
        kept = {*running, *self.finishing()}
        self._next.asked = [runnable for runnable in self._next.asked if not gone(runnable[0])]
        for waiting in (self._waiting, self._tries):
            for record in [record for record in waiting if gone(record)]:
                del waiting[record]
        for record in [record for record in self._held if gone(record) and record not in kept]:
            self.give_up(record)

    def finishing(self) -> list[int]:
        """Records that are done or dead, and not settled yet."""
        return [*self._now.done, *self._now.dead, *self._next.done, *self._next.dead]

    def underway(self) -> int:
        """How many records are at the store, on their way there, or wait to be asked for again."""
        return len(self.finishing()) + len(self._now.asked) + len(self._next.asked) + len(self._waiting)

    def waiting(self) -> int:
        """How many of those wait to be asked for again."""
        return len(self._waiting)

    def told(self) -> dict[str, int]:
        """Every figure so far, for reports."""
        return {f"dedup.{name}": count for name, count in self.figures.items()}

    def troubles(self) -> list[str]:
        """What keeps records from running, in words."""
        if self._down_since is None:
            return []
        return [f"the dedup store has not answered for {time.monotonic() - self._down_since:.0f} s"]

    async def leave(self, *, is_idle: bool) -> None:
        """Gives back what can be given back in a second. `is_idle`: nothing runs any more, so the owner may retire."""
        try:
            async with asyncio.timeout(LEAVE_S):
                while self._next.released or self._now.released:
                    self._turned.clear()
                    await self._turned.wait()
        except TimeoutError:
            pass  # they are free once the owner's key has ended
        for task in self._tasks:
            task.cancel()
        retire = is_idle and self._down_since is None
        await self._loop.run_in_executor(None, lambda: self._parts.owner.stop(retire=retire))

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._now = self._take()
            answers = await self._ask_store(self._now)
            batch, self._now = self._now, Batch()
            self._let_through(batch, answers.answers)
            self._settle(batch, answers.completions)
            self._turned.set()

    def _take(self) -> Batch:
        """What has come up, as far as it fits into one batch."""
        batch, self._next = self._next, Batch()
        if len(batch.asked) > MOST:
            self._next.asked, batch.asked = batch.asked[MOST:], batch.asked[:MOST]
            self._wanted.set()
        held = self._held
        batch.claims = [held[record] for record, _ in batch.asked]
        # What its partition took with it before its handler ended has given its claim up: it is settled without one.
        batch.completed = [held[record] for record in batch.done if record in held]
        batch.released += [held[record] for record in batch.dead if record in held]
        for owed, told in ((self._owed.completed, batch.completed), (self._owed.released, batch.released)):
            told.extend(owed[:MOST])
            del owed[:MOST]
        return batch

    async def _ask_store(self, batch: Batch) -> Answers:
        """The store's answers; waits for them, or does without them, as its owner wants it."""
        policy = self._parts.on_store_down
        while True:
            if policy != "process" or time.monotonic() >= self._left_alone_until:
                try:
                    answers = await self._loop.run_in_executor(self._executor, self._visit, batch)
                except StoreError as error:
                    self._note_down(error)
                else:
                    self._note_up()
                    return answers
            if policy == "process":
                self.figures["unclaimed"] += len(batch.claims)
                self._owe(batch)
                return Answers([], [Answer.RUN] * len(batch.claims))
            await asyncio.sleep(STORE_AGAIN_S)

    def _owe(self, batch: Batch) -> None:
        """Keeps what the store must still hear: claims that it holds for a living owner would never come free."""
        for owed, told in ((self._owed.completed, batch.completed), (self._owed.released, batch.released)):
            owed.extend(told[: MOST_OWED - len(owed)])
            told.clear()
        if self._owed.completed or self._owed.released:
            self._loop.call_later(STORE_LEFT_ALONE_S, self._wanted.set)

    def _visit(self, batch: Batch) -> Answers:
        """On the store's thread. Sent again after any failure, a batch does no harm."""
        store, owner = self._parts.store, self._parts.owner
        completions = store.complete(batch.completed) if batch.completed else []
        if batch.released:
            store.release(batch.released)
        if batch.claims and not owner.is_good():
            owner.renew(store)
        return Answers(completions, claim(store, batch.claims) if batch.claims else [])

    def _settle(self, batch: Batch, completions: list[Completion]) -> None:
        for completion, count in Counter(completions).items():
            self.figures[completion.name.lower()] += count
        if batch.released:
            self.figures["released"] += len(batch.released)
        for record in batch.done:
            self._held.pop(record, None)
        for record in batch.dead:
            self._held.pop(record, None)
        if batch.done or batch.dead:
            self._doors.settle(batch.done, batch.dead)

    def _let_through(self, batch: Batch, answers: list[Answer]) -> None:
        held = self._held
        if not answers:
            return
        if not self._gone_meanwhile and not self._tries and answers.count(Answer.RUN) == len(answers):
            self.figures["run"] += len(answers)
            self._doors.run(batch.asked)  # as nearly always
            return
        self._gone_meanwhile = False
        # A partition may have gone while the store was asked, and have given the claims of its records up.
        answered = [pair for pair in zip(batch.asked, answers, strict=True) if pair[0][0] in held]
        by_answer: dict[Answer, list[Runnable]] = {}
        for runnable, answer in answered:
            by_answer.setdefault(answer, []).append(runnable)
            if answer is not Answer.BUSY and self._tries:
                self._tries.pop(runnable[0], None)
        for answer, runnables in by_answer.items():
            self.figures[answer.name.lower()] += len(runnables)
            if answer is Answer.RUN:
                self._doors.run(runnables)
            else:
                self._keep(answer, runnables)

    def _keep(self, answer: Answer, runnables: list[Runnable]) -> None:
        """Does with records that may not run what their answer says."""
        if self._parts.kept is not None:
            self._parts.kept(answer, runnables)
        match answer:
            case Answer.DONE:
                for record, _ in runnables:
                    del self._held[record]
                self._doors.repeated([record for record, _ in runnables])
            case Answer.MISMATCH:
                for record, message in runnables:
                    self._watch(self._loop.create_task(self._doors.mismatched(record, message)))
            case Answer.BUSY:
                self._wait(runnables)

    def _wait(self, runnables: list[Runnable]) -> None:
        """Has busy records asked for again, each time after a longer wait, some of it left to chance."""
        by_tries: dict[int, list[int]] = {}
        for runnable in runnables:
            record = runnable[0]
            tries = self._tries[record] = self._tries.get(record, -1) + 1
            self._waiting[record] = runnable
            by_tries.setdefault(tries, []).append(record)
        for tries, records in by_tries.items():
            whole = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries, 10))
            wait_s = whole * random.uniform(0.75, 1.0)  # noqa: S311  spreads load
            self._parts.clock.call_later(wait_s, self._again, records)

    def _again(self, records: list[int]) -> None:
        waiting = self._waiting
        self._next.asked += [waiting.pop(record) for record in records if record in waiting]
        self._wanted.set()

    def _goes_without(self) -> bool:
        return self._down_since is not None and self._parts.on_store_down == "process"

    def _note_down(self, error: StoreError) -> None:
        now = time.monotonic()
        self._left_alone_until = now + STORE_LEFT_ALONE_S
        if self._down_since is None:
            self._down_since = now
            what = {
                "pause": "records wait for it",
                "process": "repeats run again meanwhile",
                "fail": "the work stops",
            }[self._parts.on_store_down]
            logger.warning("the dedup store does not answer, %s: %s", what, error)
        if self._parts.on_store_down == "fail":
            remedy = 'nothing unfinished was committed; on_store_down = "pause" waits for the store instead'
            self._doors.fail(WorkError(str(error), remedy))

    def _note_up(self) -> None:
        if self._down_since is not None:
            logger.warning("the dedup store answers again after %.1f s", time.monotonic() - self._down_since)
            self._down_since = None

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            problem = f"claims broke: {type(error).__name__}: {error}"
            logger.error(problem, exc_info=error)
            self._doors.fail(WorkError(problem, "this is a fault of fanout; the records in hand were not settled"))


async def _unclaimed() -> Verdict:
    return UNCLAIMED
