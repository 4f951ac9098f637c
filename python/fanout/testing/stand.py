"""One handler under test: a real runtime over a topic that is a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fanout._fanout import Intake
from fanout.message import Batch, Message, origin_of
from fanout.work.attempt import attempt_of
from fanout.work.call import Means
from fanout.work.dead_letter import DeadLetters, Guard
from fanout.work.letter import Scribe
from fanout.work.link import Link
from fanout.work.parking import Parking
from fanout.work.post import Parcel, Post
from fanout.work.retry import Again, Verdict
from fanout.work.runtime import Parts, Runtime

from .clock import FakeClock
from .result import DeadLetter, Retried, State

if TYPE_CHECKING:
    from fanout.app import CallNext, Handler
    from fanout.work.attempt import Attempt

__all__ = ["Book", "Stand"]

PLENTY = (1_000_000, 1 << 40)


@dataclass(slots=True)
class Book:
    """What all handlers of a test share: the clock, and what is to be seen afterwards."""

    clock: FakeClock
    group: str
    changed: Callable[[], None]
    dead_letters: list[DeadLetter] = field(default_factory=list)
    retries: list[Retried] = field(default_factory=list)


class KeptPost(Post):
    """Keeps what would have been written."""

    def __init__(self, letters: list[DeadLetter]) -> None:
        self._letters = letters

    async def send(self, parcel: Parcel) -> None:
        """Every broker is there, and takes everything."""
        self._letters.append(DeadLetter(topic=parcel.topic, key=parcel.key, value=parcel.value, headers=parcel.headers))


class Stand:
    """Runs one handler. `offset` is where the next record of its topic goes."""

    def __init__(self, handler: Handler, book: Book) -> None:
        self._book = book
        self._states: dict[int, State] = {}
        self._attempting = 0
        self._in_calls = 0
        self.offset = 0
        # Where order is given up, a retry in place and one through a topic look the same to a handler.
        self.handler = handler = replace(handler, retry_topic=None)
        self._intake = Intake(handler.topic, handler.order_by, limits=PLENTY)
        self._intake.assign(0, 0, "")
        self._threads = ThreadPoolExecutor(handler.concurrency, f"handler-{handler.topic}")
        self._runtime = Runtime(self._parts(), book.changed)
        self._runtime.failed.add_done_callback(lambda _: book.changed())
        self._runtime.start()

    def put(self, records: Sequence[Any]) -> list[State]:
        """Appends records to the topic, as one read brings them."""
        states = [State(_name(record)) for record in records]
        self._states |= {record.offset(): state for record, state in zip(records, states, strict=True)}
        self.offset += len(records)
        runnable, _ = self._intake.take(list(records))
        self._runtime.offer(runnable)
        return states

    def is_quiet(self) -> bool:
        """Whether nothing happens before time passes: what is not settled waits for a retry or for its batch."""
        unsettled = self._intake.in_flight()[0]
        at_rest = self._runtime.parked_count() + self._attempting
        return self._in_calls == 0 and (unsettled == at_rest or self._runtime.holds_back())

    def check(self) -> None:
        """Raises what stopped the handler, if something has."""
        if self._runtime.failed.done():
            raise self._runtime.failed.result()

    def stop(self) -> None:
        """Ends what still runs."""
        self._runtime.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _parts(self) -> Parts:
        handler, book, link = self.handler, self._book, Link()
        # Whether a retry comes through a topic or in place is nothing that a handler sees.
        watched = replace(handler, middleware=(self._watch, *handler.middleware), retry_topic=None)
        attempt = attempt_of(watched, None, Means(threads=self._threads, link=link, clock=book.clock))
        parking = Parking(handler.topic) if handler.on_dead_letter == "park_key" else None
        return Parts(
            handler=handler,
            intake=self._intake,
            attempt=self._noting(attempt if parking is None else parking.guarded(attempt)),
            parking=parking,
            dead_letters=_dead_letters(handler, book),
            guard=Guard(1, 1),
            concurrency=handler.concurrency,
            link=link,
            clock=book.clock,
        )

    async def _watch(self, call_next: CallNext, taken: Message | Batch[Any]) -> Any:
        """The outermost middleware: knows what runs."""
        size = len(taken) if isinstance(taken, Batch) else 1
        self._in_calls += size
        try:
            return await call_next(taken)
        finally:
            self._in_calls -= size
            self._book.changed()

    def _noting(self, attempt: Attempt) -> Attempt:
        async def noted(raw: Any, number: int) -> Verdict | None:
            self._attempting += 1
            try:
                verdict = await attempt(raw, number)
            finally:
                self._attempting -= 1
            state = self._states[raw.offset()]
            state.take(number, verdict)
            if isinstance(verdict, Again):
                retried = Retried(id=state.id, attempt=number, delay_s=verdict.delay_s, error=verdict.cause)
                self._book.retries.append(retried)
            self._book.changed()
            return verdict

        return noted


def _dead_letters(handler: Handler, book: Book) -> DeadLetters | None:
    if handler.dead_letters is None:
        return None
    scribe = Scribe(group=book.group, dialect=handler.dialect)
    return DeadLetters(handler.dead_letters, KeptPost(book.dead_letters), scribe)


def _name(record: Any) -> str:
    topic, partition, offset, _ = origin_of(record, None)
    return f"{topic}/{partition}/{offset}"
