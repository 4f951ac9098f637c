"""One handler under test: real runtimes over topics that are lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fanout.dedup.store import Answer
from fanout.message import Batch, KafkaMessage, Message, origin_of
from fanout.work.attempt import attempt_of
from fanout.work.call import Means
from fanout.work.dead_letter import DeadLetters, Guard
from fanout.work.letter import Scribe
from fanout.work.link import Link
from fanout.work.parking import Parking
from fanout.work.post import Parcel, Post
from fanout.work.retry import Again, Later, Verdict, mismatched
from fanout.work.retry_topic import Retries, returned
from fanout.work.runtime import Parts
from fanout.work.worker import of_retry_topic, with_parking

from .clock import FakeClock
from .inlet import Inlet
from .record import record_of
from .result import DeadLetter, Retried, State

if TYPE_CHECKING:
    from fanout.app import CallNext, Handler
    from fanout.work.attempt import Attempt
    from fanout.work.claims import Kept
    from fanout.work.ready import Runnable

    from .repeats import Repeats

__all__ = ["Book", "Stand"]


@dataclass(slots=True)
class Book:
    """What all handlers of a test share: the clock, what was done before, and what is to be seen afterwards."""

    clock: FakeClock
    group: str
    repeats: Repeats | None
    changed: Callable[[], None]
    dead_letters: list[DeadLetter] = field(default_factory=list)
    retries: list[Retried] = field(default_factory=list)


class KeptPost(Post):
    """Keeps what would have been written. What goes to the retry topic is read from there."""

    def __init__(self, letters: list[DeadLetter], clock: FakeClock, again: Inlet | None) -> None:
        self._letters = letters
        self._clock = clock
        self._again = again

    async def send(self, parcel: Parcel) -> None:
        """Every broker is there, and takes everything."""
        if self._again is not None and parcel.topic == self._again.topic:
            self._again.put([record_of(parcel, self._again.offset, int(self._clock.now_s() * 1000))])
        else:
            letter = DeadLetter(topic=parcel.topic, key=parcel.key, value=parcel.value, headers=parcel.headers)
            self._letters.append(letter)


class Stand:
    """Runs one handler."""

    def __init__(self, handler: Handler, book: Book) -> None:
        self.handler = handler
        self._book = book
        self._states: dict[int, State] = {}
        self._in_calls = 0
        self._own = Inlet(handler.topic, handler)
        self._again = None if handler.retry_topic is None else Inlet(handler.retry_topic, handler)
        self._inlets = [self._own] if self._again is None else [self._own, self._again]
        self._post = KeptPost(book.dead_letters, book.clock, self._again)
        for inlet in self._inlets:
            parts = self._parts(inlet)
            inlet.start(of_retry_topic(parts) if inlet is self._again else parts, book.changed)

    @property
    def offset(self) -> int:
        """Where the next record of the topic goes."""
        return self._own.offset

    def put(self, records: Sequence[KafkaMessage]) -> list[State]:
        """Appends records to the topic, as one read brings them."""
        states = [State(_name(record)) for record in records]
        self._states |= {record.offset(): state for record, state in zip(records, states, strict=True)}
        self._own.put(records)
        return states

    def is_quiet(self) -> bool:
        """Whether nothing happens before time passes."""
        return self._in_calls == 0 and all(inlet.is_quiet() for inlet in self._inlets)

    def is_asking(self) -> bool:
        """Whether the store of claims is about to answer."""
        return any(inlet.is_asking() for inlet in self._inlets)

    def check(self) -> None:
        """Raises what stopped the handler, if something has."""
        for inlet in self._inlets:
            inlet.check()

    async def stop(self) -> None:
        """Ends what still runs."""
        for inlet in self._inlets:
            await inlet.stop()

    def _parts(self, inlet: Inlet) -> Parts:
        handler, book, link = self.handler, self._book, Link()
        watched = replace(handler, middleware=(self._watch, *handler.middleware))
        parts = Parts(
            handler=handler,
            intake=inlet.intake,
            attempt=attempt_of(watched, None, Means(threads=inlet.threads, link=link, clock=book.clock)),
            dead_letters=self._dead_letters(),
            guard=Guard(1, 1),
            concurrency=handler.concurrency,
            link=link,
            clock=book.clock,
            claims=None if book.repeats is None else book.repeats.claims(handler, book.group),
            retries=None if handler.retry_topic is None else Retries(handler.retry_topic, self._post, book.clock.now_s),
        )
        parts = with_parking(parts, Parking(handler.topic) if handler.on_dead_letter == "park_key" else None)
        claims = parts.claims and replace(parts.claims, kept=self._noting_kept(parts.claims.kept))
        return replace(parts, attempt=inlet.counted(self._noting(parts.attempt)), claims=claims)

    def _dead_letters(self) -> DeadLetters | None:
        if self.handler.dead_letters is None:
            return None
        scribe = Scribe(group=self._book.group, dialect=self.handler.dialect)
        return DeadLetters(self.handler.dead_letters, self._post, scribe)

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
        async def noted(raw: KafkaMessage, number: int) -> Verdict | None:
            verdict = await attempt(raw, number)
            self._note(self._state(raw), number, verdict)
            return verdict

        return noted

    def _note(self, state: State, number: int, verdict: Verdict | None) -> None:
        state.take(number, verdict)
        if isinstance(verdict, Again | Later):
            retried = Retried(id=state.id, attempt=number, delay_s=verdict.delay_s, error=verdict.cause)
            self._book.retries.append(retried)
        self._book.changed()

    def _noting_kept(self, first: Kept | None) -> Kept:
        """What the store keeps from its handler, the runtime settles or buries without an attempt."""

        def kept(answer: Answer, runnables: list[Runnable]) -> None:
            if first is not None:
                first(answer, runnables)
            for state in (self._state(message) for _, message in runnables):
                if answer is Answer.DONE:
                    state.repeat()
                    self._book.changed()
                elif answer is Answer.MISMATCH:
                    number = state.attempts + 1
                    self._note(state, number, mismatched(self.handler, number))

        return kept

    def _state(self, raw: KafkaMessage) -> State:
        """Of a record, through whichever topic it came."""
        return self._states[raw.offset() if raw.topic() == self.handler.topic else returned(raw).offset()]


def _name(record: KafkaMessage) -> str:
    topic, partition, offset, _ = origin_of(record, None)
    return f"{topic}/{partition}/{offset}"
