"""Records as handlers see them. Nothing is read from one before it is asked for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

__all__ = [
    "ORIGIN_HEADER",
    "RESERVED_HEADERS",
    "Batch",
    "Headers",
    "KafkaMessage",
    "Message",
    "Origin",
    "Position",
    "origin_of",
]

ORIGIN_HEADER = "fanout.origin"
RESERVED_HEADERS = "fanout."

_ORIGIN = struct.Struct(">iq")

Headers = list[tuple[str, bytes | None]]

T = TypeVar("T")


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

    `value` is decoded as the handler asked, and what a middleware puts there is what the handler gets; `attempt` counts
    from 1 within one worker process. `deadline` is when this attempt is over, on the clock of the event loop
    (`asyncio.timeout_at(msg.deadline)`); None for a handler without a timeout.
    """

    __slots__ = ("_raw", "_settle", "_source", "attempt", "deadline", "value")

    def __init__(self, raw: KafkaMessage, value: Any, attempt: int = 1, *, source: str | None = None) -> None:
        self._raw = raw
        self._source = source
        self._settle: Callable[[], None] | None = None
        self.value = value
        self.attempt = attempt
        self.deadline: float | None = None

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

    async def ack(self) -> None:
        """Settles this record now, for a handler with `ack="manual"`: the next one of its order may run.

        It is committed with what else is settled, within a second. From here on the record is never tried again,
        whatever the handler does. A second call changes nothing. RuntimeError for a handler that acknowledges by
        returning.
        """
        if self._settle is None:
            raise RuntimeError('this handler acknowledges by returning: make it ack="manual"')
        self._settle()

    def acknowledged_by(self, settle: Callable[[], None]) -> None:
        """Makes `settle` what `ack` does. For the work runtime."""
        self._settle = settle

    def __repr__(self) -> str:
        return f"Message({self.id!r}, attempt={self.attempt})"


class Batch(Generic[T]):
    """Records that one call of a batch handler takes together; iterating gives their values.

    At most one of them is of any key (or partition, as `order_by` says): the others of it come later.
    """

    __slots__ = ("_failures", "_messages")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._failures: dict[int, BaseException] = {}

    @property
    def messages(self) -> Sequence[Message]:
        """The records, in the order they were gathered."""
        return self._messages

    @property
    def values(self) -> list[T]:
        """Their decoded values, in the same order."""
        return [message.value for message in self._messages]

    def fail(self, index: int, error: BaseException) -> None:
        """Marks one record: `error` becomes of it as if its own handler had raised it, `Retry` and `Reject` included.

        The others are done when the handler returns. IndexError for a record that is not there.
        """
        self._failures[range(len(self._messages))[index]] = error

    def failure(self, index: int) -> BaseException | None:
        """What the record was marked with."""
        return self._failures.get(index)

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[T]:
        return iter(self.values)

    def __repr__(self) -> str:
        return f"Batch({len(self)} records, {len(self._failures)} failed)"


def origin_of(raw: KafkaMessage, source: str | None) -> Origin:
    """Where `raw` was first written; `source` is the topic of its run, None outside of one."""
    if source is None:
        return Origin(raw.topic(), raw.partition(), raw.offset(), raw.timestamp()[1])
    value = dict(raw.headers() or ())[ORIGIN_HEADER] or b""
    partition, offset = _ORIGIN.unpack(value)
    return Origin(source, partition, offset, raw.timestamp()[1])
