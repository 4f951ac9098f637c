"""
What a dead letter says of its record, in the words of whoever reads it.

Three dialects say where the record was and what happened: the broker's own, Kafka Connect's and Spring's. The
`fanout.` headers are the same in each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanout.message import RESERVED_HEADERS, Headers, KafkaMessage, Origin, origin_of

if TYPE_CHECKING:
    from fanout.app import Dialect

    from .retry import Dead

__all__ = [
    "BROKER",
    "CONNECT",
    "CYCLE",
    "DEAD_AT",
    "ERROR",
    "OUTCOME",
    "REDRIVE_OF",
    "SPRING",
    "Letter",
    "Scribe",
    "is_ours",
]

BROKER = "__dlq.errors."
"""Kafka's own headers of a dead letter begin so (KIP-1191)."""

CONNECT = "__connect.errors."
SPRING = "kafka_dlt-"

OUTCOME = f"{RESERVED_HEADERS}outcome"
ERROR = f"{RESERVED_HEADERS}error"
DEAD_AT = f"{RESERVED_HEADERS}dead-at"
TIMESTAMP = f"{RESERVED_HEADERS}timestamp"
CYCLE = f"{RESERVED_HEADERS}redrive-cycle"
"""How often a record was put back. The only header of ours that stays on its record."""

REDRIVE_OF = f"{RESERVED_HEADERS}redrive-of"
"""`topic/partition/offset` at which a record that was put back stood before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A record on its way to the dead letters."""

    raw: KafkaMessage
    dead: Dead
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scribe:
    """Writes the headers of dead letters. `source`: the topic of the run; `labels`: headers that all of them get."""

    group: str
    dialect: Dialect = "broker"
    source: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    def origin(self, raw: KafkaMessage) -> Origin:
        """Where the record was first written."""
        return origin_of(raw, self.source)

    def headers(self, letter: Letter) -> Headers:
        """The record's own headers, then where it was, why it is here, in the dialect that was chosen and ours."""
        kept = [header for header in letter.raw.headers() or () if header[0] == CYCLE or not is_ours(header[0])]
        words = {"broker": self._broker, "connect": self._connect, "spring": self._spring}[self.dialect]
        return [*kept, *words(letter), *((name, _text(value)) for name, value in self._fanout(letter))]

    def _broker(self, letter: Letter) -> Iterator[tuple[str, bytes]]:
        topic, partition, offset, _ = self.origin(letter.raw)
        yield f"{BROKER}topic", _text(topic)
        yield f"{BROKER}partition", _text(partition)
        yield f"{BROKER}offset", _text(offset)
        yield f"{BROKER}group", _text(self.group)
        yield f"{BROKER}delivery.count", _text(letter.attempt)
        yield f"{BROKER}message", _text(letter.dead.message)

    def _connect(self, letter: Letter) -> Iterator[tuple[str, bytes]]:
        topic, partition, offset, _ = self.origin(letter.raw)
        yield f"{CONNECT}topic", _text(topic)
        yield f"{CONNECT}partition", _text(partition)
        yield f"{CONNECT}offset", _text(offset)
        yield f"{CONNECT}connector.name", _text(self.group)
        yield f"{CONNECT}exception.class.name", _text(_class(letter.dead.cause))
        yield f"{CONNECT}exception.message", _text(letter.dead.message)

    def _spring(self, letter: Letter) -> Iterator[tuple[str, bytes]]:
        """Spring writes numbers as Java's `ByteBuffer` does: big-endian, 4 bytes an int, 8 a long."""
        topic, partition, offset, timestamp = self.origin(letter.raw)
        yield f"{SPRING}original-topic", _text(topic)
        yield f"{SPRING}original-partition", partition.to_bytes(4, "big", signed=True)
        yield f"{SPRING}original-offset", offset.to_bytes(8, "big", signed=True)
        yield f"{SPRING}original-timestamp", timestamp.to_bytes(8, "big", signed=True)
        yield f"{SPRING}original-consumer-group", _text(self.group)
        yield f"{SPRING}exception-fqcn", _text(_class(letter.dead.cause))
        yield f"{SPRING}exception-message", _text(letter.dead.message)

    def _fanout(self, letter: Letter) -> Iterator[tuple[str, object]]:
        yield OUTCOME, letter.dead.why
        yield ERROR, _class(letter.dead.cause)
        yield f"{RESERVED_HEADERS}attempts", letter.attempt
        yield TIMESTAMP, self.origin(letter.raw).timestamp
        yield DEAD_AT, time.time_ns() // 1_000_000
        yield from self.labels


def is_ours(name: str) -> bool:
    """Whether a header tells of a failure and is no part of the record."""
    return name.startswith((BROKER, CONNECT, SPRING, RESERVED_HEADERS))


def _class(cause: BaseException) -> str:
    return f"{type(cause).__module__}.{type(cause).__qualname__}"


def _text(value: object) -> bytes:
    return str(value).encode(errors="backslashreplace")
