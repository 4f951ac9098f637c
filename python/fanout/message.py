"""A record as its handler sees it. Nothing is read from it before it is asked for."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, Protocol

__all__ = ["ORIGIN_HEADER", "RESERVED_HEADERS", "Headers", "KafkaMessage", "Message", "Origin", "Position", "origin_of"]

ORIGIN_HEADER = "fanout.origin"
RESERVED_HEADERS = "fanout."

_ORIGIN = struct.Struct(">iq")

Headers = list[tuple[str, bytes | None]]


class KafkaMessage(Protocol):
    """What is used of a `confluent_kafka.Message`."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...


class Origin(NamedTuple):
    """Where a record was first written, and its timestamp in ms since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Position(NamedTuple):
    """Source partition and offset: grows along each key, so a sink can refuse what it has seen."""

    partition: int
    offset: int


class Message:
    """One record. `id`, `origin` and `position` are the same however often and through whichever topic it comes.

    `value` is decoded as the handler asked; `attempt` counts from 1 within one worker process.
    """

    __slots__ = ("_raw", "_source", "attempt", "value")

    def __init__(self, raw: KafkaMessage, value: Any, attempt: int = 1, *, source: str | None = None) -> None:
        self._raw = raw
        self._source = source
        self.value = value
        self.attempt = attempt

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the origin: an idempotency key."""
        topic, partition, offset, _ = self.origin
        return f"{topic}/{partition}/{offset}"

    @property
    def origin(self) -> Origin:
        """Where the record was first written; inside a run that is the run's source topic."""
        return origin_of(self._raw, self._source)

    @property
    def position(self) -> Position:
        """Source partition and offset, for a sink's own conditional write."""
        return Position(*self.origin[1:3])

    @property
    def key(self) -> bytes | None:
        """The key as it was written."""
        return self._raw.key()

    @property
    def raw(self) -> bytes | None:
        """The value as it was written; None for a tombstone."""
        return self._raw.value()

    @property
    def headers(self) -> Headers:
        """The producer's headers in their order; those fanout added are left out."""
        return [header for header in self._raw.headers() or () if not header[0].startswith(RESERVED_HEADERS)]

    @property
    def timestamp(self) -> int:
        """Ms since 1970, as the producer or the topic set it."""
        return self._raw.timestamp()[1]

    def __repr__(self) -> str:
        return f"Message({self.id!r}, attempt={self.attempt})"


def origin_of(raw: KafkaMessage, source: str | None) -> Origin:
    """Where `raw` was first written; `source` is the topic of its run, None outside of one."""
    if source is None:
        return Origin(raw.topic(), raw.partition(), raw.offset(), raw.timestamp()[1])
    value = dict(raw.headers() or ())[ORIGIN_HEADER] or b""
    partition, offset = _ORIGIN.unpack(value)
    return Origin(source, partition, offset, raw.timestamp()[1])
