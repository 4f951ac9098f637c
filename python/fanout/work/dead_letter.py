"""
Records that could not be handled, written where somebody will look for them.

A dead letter is acknowledged by the broker before its record is settled: a crash
between the two writes it again, and none is ever lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanout.errors import WorkError
from fanout.message import RESERVED_HEADERS, Headers, KafkaMessage, origin_of

from .codes import is_passing

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as ProducedMessage

    from .retry import Dead

__all__ = ["DeadLetters", "Guard", "Letter", "dead_letter_headers"]

BROKER_DIALECT = "__dlq.errors."
"""Kafka's own headers of a dead letter begin so (KIP-1191)."""

POLL_S = 0.1
AGAIN_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A record on its way to the dead letters."""

    raw: KafkaMessage
    dead: Dead
    attempt: int


class DeadLetters:
    """Writes the dead letters of one handler."""

    def __init__(self, topic: str, producer: Producer, *, source: str | None, labels: dict[str, str]) -> None:
        self._topic = topic
        self._producer = producer
        self._source = source
        self._labels = labels
        self._waiting = 0
        self._pump: asyncio.Future[None] | None = None

    async def send(self, letter: Letter) -> None:
        """Returns when the broker has acknowledged the letter; tries until then.

        Raises WorkError for a letter no broker will ever take.
        """
        while True:
            try:
                error = await self._produce(letter)
            except BufferError:  # the producer's queue is full
                await asyncio.sleep(AGAIN_S)
                continue
            if error is None:
                return
            if not is_passing(error):
                raise WorkError(
                    f"{self._topic} does not take the dead letter of {_name(letter, self._source)}: {error.str()}",
                    "the record was not settled; let the topic take it (max.message.bytes, access), then start again",
                )
            await asyncio.sleep(AGAIN_S)

    async def _produce(self, letter: Letter) -> KafkaError | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[KafkaError | None] = loop.create_future()

        def delivered(error: KafkaError | None, _message: ProducedMessage) -> None:
            loop.call_soon_threadsafe(_answer, answer, error)

        raw = letter.raw
        self._producer.produce(
            self._topic,
            key=raw.key(),
            value=raw.value(),
            headers=[*dead_letter_headers(letter, self._source, self._labels)],
            timestamp=max(raw.timestamp()[1], 0),
            on_delivery=delivered,
        )
        self._waiting += 1
        self._poll_while_waiting()
        try:
            return await answer
        finally:
            self._waiting -= 1

    def _poll_while_waiting(self, _ended: object = None) -> None:
        # librdkafka calls back only while it is polled, and polling blocks: so on a thread, while it is needed. The
        # thread may see the last answer just as the next letter comes: its end looks once more.
        if self._waiting and (self._pump is None or self._pump.done()):
            self._pump = asyncio.get_running_loop().run_in_executor(None, self._poll)
            self._pump.add_done_callback(self._poll_while_waiting)

    def _poll(self) -> None:
        while self._waiting:
            self._producer.poll(POLL_S)


class Guard:
    """Stops a handler that makes too many dead letters: then the fault is not in the records.

    Of any `window` records in a row at most `share` may become dead letters. Without it an outage of what the
    handler needs would empty the topic into the dead letters.
    """

    def __init__(self, share: float, window: int) -> None:
        self._most = int(share * window)
        self._share = share
        self._window = window
        self._seen = 0
        self._dead_at: deque[int] = deque()

    def passed(self, count: int) -> None:
        """Notes records that were settled without a dead letter."""
        self._seen += count

    def allow(self, topic: str, last: Dead) -> None:
        """Notes one more dead letter, or raises WorkError, before it is written, when it is one too many."""
        self._seen += 1
        while self._dead_at and self._dead_at[0] <= self._seen - self._window:
            self._dead_at.popleft()
        if self._share < 1 and len(self._dead_at) >= self._most:
            raise WorkError(
                f"{topic}: more than {self._most} of {self._window:,} records would be dead letters "
                f"(the last: {last.why}, {last.message})",
                "nothing more was written there and the records stay where they are; mend the cause and start again, "
                "or raise dead_letter_share",
            )
        self._dead_at.append(self._seen)


def dead_letter_headers(letter: Letter, source: str | None, labels: dict[str, str]) -> Headers:
    """The record's own headers, then where it was, why it is here, in the broker's dialect and ours."""
    raw, dead = letter.raw, letter.dead
    topic, partition, offset, _ = origin_of(raw, source)
    kept = [(name, value) for name, value in raw.headers() or () if not name.startswith(_OURS)]
    told = {
        f"{BROKER_DIALECT}topic": topic,
        f"{BROKER_DIALECT}partition": partition,
        f"{BROKER_DIALECT}offset": offset,
        f"{BROKER_DIALECT}delivery.count": letter.attempt,
        f"{BROKER_DIALECT}message": dead.message,
        f"{RESERVED_HEADERS}outcome": dead.why,
        f"{RESERVED_HEADERS}error": f"{type(dead.cause).__module__}.{type(dead.cause).__qualname__}",
        **labels,
    }
    return [*kept, *((name, str(value).encode(errors="backslashreplace")) for name, value in told.items())]


_OURS = (BROKER_DIALECT, RESERVED_HEADERS)


def _name(letter: Letter, source: str | None) -> str:
    topic, partition, offset, _ = origin_of(letter.raw, source)
    return f"{topic}/{partition} at offset {offset}"


def _answer(future: asyncio.Future[KafkaError | None], error: KafkaError | None) -> None:
    if not future.done():
        future.set_result(error)
