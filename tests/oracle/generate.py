"""
Writing known records into a real Kafka, and keeping what was acknowledged.

One generator writes one topic, serial after serial, in chunks of one codec and one ending. A chunk is acknowledged as
a whole before the next begins: the order of a key then holds across producers, and no chunk mixes codecs.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from .ends import Ends
from .ledger import Fate, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recipe import Recipe

__all__ = ["CODECS", "Chunk", "Codec", "Generator", "OpenTransaction"]

Codec = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Ending = Literal["plain", "commit", "abort"]

CODECS: tuple[Codec, ...] = ("none", "gzip", "snappy", "lz4", "zstd")
_TIMEOUT_S = 60.0
_TICK_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """`records` written by one producer: idempotent ("plain"), or in one transaction that commits or aborts."""

    records: int
    codec: Codec = "none"
    ending: Ending = "plain"


class Generator:
    """Writes `recipe` into `topic` from serial 0 on. `ledger` holds what the broker acknowledged."""

    def __init__(self, bootstrap: str, topic: str, recipe: Recipe) -> None:
        self.topic = topic
        self.linger_ms = 5
        """How long a batch waits to become long. Of producers that have not written yet."""
        self.recipe = recipe
        self.ledger = Ledger()
        self.bootstrap = bootstrap
        self._next = 0
        self._producers: dict[str, Producer] = {}
        self._ends: Ends | None = None
        self._failed: list[str] = []

    def write(self, chunk: Chunk) -> range:
        """Writes one chunk and returns its serials, every one of them acknowledged."""
        if chunk.ending == "plain":
            return self._send(self._producer(chunk.codec), chunk.records, Fate.COMMITTED)
        producer = self._transactional(chunk.codec)
        producer.begin_transaction()
        # Acknowledged before it ends: an abort of records still in the client's queue would abort nothing.
        serials = self._send(producer, chunk.records, Fate.OPEN)
        if chunk.ending == "commit":
            producer.commit_transaction(_TIMEOUT_S)
            self.ledger.turn(serials, Fate.COMMITTED)
        else:
            producer.abort_transaction(_TIMEOUT_S)
            self.ledger.turn(serials, Fate.ABORTED)
        self.wait_for_markers()
        return serials

    def wait_for_markers(self) -> None:
        """A transaction has ended: who looks for the end of the topic from now on is to find it behind that."""
        self._ends = self._ends or Ends(self.bootstrap, self.topic)
        self._ends.wait_for_markers()

    def open(self, records: int) -> OpenTransaction:
        """Writes records in a transaction of a producer of its own, and leaves it open."""
        producer = self._transactional(f"open-{self._next}")
        producer.begin_transaction()
        return OpenTransaction(self, producer, self._send(producer, records, Fate.OPEN))

    @contextmanager
    def feed(self, rate: int) -> Iterator[Feed]:
        """Writes `rate` records a second in the background until the block ends, then waits for the last of them."""
        feed = Feed(self, rate)
        with feed:
            yield feed

    def send(self, producer: Producer, fate: Fate) -> None:
        """Queues the next serial; its acknowledgement is noted with `fate` when the client polls or flushes."""
        serial = self._next
        self._next += 1
        content = self.recipe.content(serial)
        while True:
            try:
                producer.produce(
                    self.topic,
                    key=content.key,
                    value=content.value,
                    headers=list(content.headers) or None,
                    timestamp=content.timestamp,
                    on_delivery=partial(self._acknowledge, serial, fate),
                )
            except BufferError:
                producer.poll(0.05)
            else:
                return

    def flush(self, producer: Producer) -> None:
        """Waits for every acknowledgement; raises AssertionError if one did not come: the run would prove nothing."""
        left = producer.flush(_TIMEOUT_S)
        if left or self._failed:
            raise AssertionError(f"{left} records of {self.topic} not acknowledged; {self._failed[:3]}")

    def plain_producer(self) -> Producer:
        """The idempotent producer without a codec."""
        return self._producer("none")

    def _send(self, producer: Producer, records: int, fate: Fate) -> range:
        first = self._next
        for _ in range(records):
            self.send(producer, fate)
            if not self._next & 1023:
                producer.poll(0)
        self.flush(producer)
        return range(first, self._next)

    def _acknowledge(self, serial: int, fate: Fate, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(f"record {serial}: {error}")
        else:
            self.ledger.note(serial, cast("int", message.partition()), cast("int", message.offset()), fate)

    def _producer(self, codec: str) -> Producer:
        if codec not in self._producers:
            self._producers[codec] = Producer(self._settings() | {"compression.type": codec})
        return self._producers[codec]

    def _transactional(self, name: str) -> Producer:
        kind = f"transaction-{name}"
        if kind not in self._producers:
            codec = name if name in CODECS else "none"
            settings = {
                "compression.type": codec,
                "transactional.id": f"oracle-{self.topic}-{self.recipe.run}-{name}",
                "transaction.timeout.ms": 600_000,
            }
            self._producers[kind] = Producer(self._settings() | settings)
            self._producers[kind].init_transactions(_TIMEOUT_S)
        return self._producers[kind]

    def _settings(self) -> dict[str, str | int | float | bool]:
        return {
            "bootstrap.servers": self.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": self.linger_ms,
            "batch.num.messages": 500,
            "queue.buffering.max.messages": 500_000,
            # The partitioner of Java producers: what a forwarder meets is its hash taken modulo the source partitions.
            "partitioner": "murmur2_random",
        }


class OpenTransaction:
    """A foreign transaction that has not ended: it holds the last stable offset of every partition it wrote to."""

    def __init__(self, generator: Generator, producer: Producer, serials: range) -> None:
        self.serials = serials
        self._generator = generator
        self._ledger = generator.ledger
        self._producer = producer

    def commit(self) -> None:
        """Ends it; its records may be read from now on."""
        self._producer.commit_transaction(_TIMEOUT_S)
        self._ledger.turn(self.serials, Fate.COMMITTED)
        self._generator.wait_for_markers()

    def abort(self) -> None:
        """Ends it; its records may never be read."""
        self._producer.abort_transaction(_TIMEOUT_S)
        self._ledger.turn(self.serials, Fate.ABORTED)
        self._generator.wait_for_markers()


class Feed:
    """A thread that keeps a rate: late by a pause of the machine, it catches up."""

    def __init__(self, generator: Generator, rate: int) -> None:
        self._generator = generator
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")
        self._error: BaseException | None = None
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        producer = self._generator.plain_producer()
        started = time.monotonic()
        try:
            while not self._stop.wait(_TICK_S):
                due = int((time.monotonic() - started) * self._rate)
                while self.sent < due:
                    self._generator.send(producer, Fate.COMMITTED)
                    self.sent += 1
                producer.poll(0)
            self._generator.flush(producer)
        except (AssertionError, KafkaException) as error:
            self._error = error
