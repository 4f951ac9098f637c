"""
Attempts that come later through a topic of their own, where the order of records is given up.

A record that failed is written to the retry topic, acknowledged, and settled where it was: it keeps neither a place in
flight nor the commit point back. The worker reads the retry topic beside the topic, in the same group, and holds
each record until its time. Every record waits by itself, as many as may be in flight at once: a long wait holds up a
short one behind it only when so many wait already that nothing more is read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fanout.message import RESERVED_HEADERS, Headers, KafkaMessage, Origin, origin_of

from .post import Parcel
from .retry import Held, Later, Verdict, words

if TYPE_CHECKING:
    from .attempt import Attempt
    from .post import Post

__all__ = ["Retries", "Returned", "at_its_time", "returned"]

ATTEMPT = f"{RESERVED_HEADERS}attempt"
NOT_BEFORE = f"{RESERVED_HEADERS}not-before"
SOURCE = f"{RESERVED_HEADERS}source"
FIRST_ERROR = f"{RESERVED_HEADERS}first-error"
OURS = frozenset({ATTEMPT, NOT_BEFORE, SOURCE, FIRST_ERROR})

_SOURCE = re.compile(rb"([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})/(-?\d{1,18})")
_NUMBER = re.compile(rb"\d{1,15}")


class Returned:
    """A record read from a retry topic, as it was where it was first written.

    What bears no header of ours was written by somebody else: it is taken for what it is, due at once.
    """

    __slots__ = ("_raw", "attempt", "first_error", "not_before_ms", "origin")

    def __init__(self, raw: KafkaMessage) -> None:
        told = {name: value for name, value in raw.headers() or () if name in OURS and value is not None}
        found = _SOURCE.fullmatch(told.get(SOURCE, b""))
        self._raw = raw
        self.origin = (
            origin_of(raw, None)
            if found is None
            else Origin(found[1].decode(), int(found[2]), int(found[3]), int(found[4]))
        )
        self.attempt = max(1, _number(told.get(ATTEMPT), 1))
        self.not_before_ms = _number(told.get(NOT_BEFORE), 0)
        self.first_error = told.get(FIRST_ERROR)

    def topic(self) -> str:
        """Of the origin; so are partition, offset and timestamp."""
        return self.origin.topic

    def partition(self) -> int:
        """See `topic`."""
        return self.origin.partition

    def offset(self) -> int:
        """See `topic`."""
        return self.origin.offset

    def timestamp(self) -> tuple[int, int]:
        """See `topic`; the kind of timestamp is not kept."""
        return self._raw.timestamp()[0], self.origin.timestamp

    def key(self) -> bytes | None:
        """As it was written."""
        return self._raw.key()

    def value(self) -> bytes | None:
        """As it was written."""
        return self._raw.value()

    def headers(self) -> Headers:
        """The record's own."""
        return [header for header in self._raw.headers() or () if header[0] not in OURS]

    def __len__(self) -> int:
        return len(self._raw)


class Retries:
    """Writes what is to be tried again later."""

    def __init__(self, topic: str, post: Post, now_s: Callable[[], float] = time.time) -> None:
        self._topic = topic
        self._post = post
        self._now_s = now_s

    async def send(self, record: KafkaMessage, attempt: int, later: Later) -> None:
        """Returns when the broker has acknowledged it. `attempt`: the one that failed. Raises as `Post.send` does."""
        topic, partition, offset, timestamp = origin_of(record, None)
        first = record.first_error if isinstance(record, Returned) else None
        due_ms = int((self._now_s() + later.delay_s) * 1000)
        headers = [
            *(header for header in record.headers() or () if header[0] not in OURS),
            (ATTEMPT, b"%d" % (attempt + 1)),
            (NOT_BEFORE, b"%d" % due_ms),
            (SOURCE, f"{topic}/{partition}/{offset}/{timestamp}".encode()),
            (FIRST_ERROR, first or words(later.cause).encode(errors="backslashreplace")),
        ]
        name = f"the retry of {topic}/{partition} at offset {offset}"
        await self._post.send(
            Parcel(topic=self._topic, key=record.key(), value=record.value(), headers=headers, name=name)
        )


def returned(raw: KafkaMessage) -> Returned:
    """How a record of a retry topic is looked at."""
    return raw if isinstance(raw, Returned) else Returned(raw)


def at_its_time(attempt: Attempt, now_s: Callable[[], float] = time.time) -> Attempt:
    """`attempt`, but for records whose time has not come: those are to be held. It is told which attempt this is."""

    async def later(raw: KafkaMessage, _number: int) -> Verdict | None:
        record = returned(raw)
        wait_s = record.not_before_ms / 1000 - now_s()
        return Held(wait_s) if wait_s > 0 else await attempt(record, record.attempt)

    return later


def _number(value: bytes | None, otherwise: int) -> int:
    return int(value) if value is not None and _NUMBER.fullmatch(value) else otherwise
