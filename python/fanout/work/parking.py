"""
Keys that wait for a decision after one of their records became a dead letter.

What comes behind it of its key goes behind it into the dead letters, in order, so that the partition moves on and a
redrive brings all of the key back in order. A record that was put back runs, unless one before it has died again.
The key is free once its last letter is back.

The keys are part of each commit of their partition, in its metadata: whoever takes the partition next knows what
the records below the commit point did. Offsets say which records a word is about, as some above that point run again.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from fanout.dedup.store import Answer
from fanout.errors import WorkError

from .letter import REDRIVE_OF
from .retry import Dead, Passed, Verdict

if TYPE_CHECKING:
    from fanout.message import KafkaMessage

    from .attempt import Attempt
    from .ready import Runnable

__all__ = ["BehindDeadLetter", "Parking"]

logger = logging.getLogger("fanout.work")

MARK = "fanout-park1"

MOST_KEYS = 64
"""A partition. As many fit the 4,096 bytes of metadata that a broker takes, whatever their offsets."""

_ENTRY = re.compile(r"([\w-]{8})\.([0-9a-f]{1,15})\.([0-9a-f]{1,15})\.([0-9a-f]{1,15})\.([0-9a-f]{0,15})")
_ORIGIN = re.compile(rb"([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})")


class BehindDeadLetter(Exception):  # noqa: N818  never raised: it names why in a dead letter
    """A record of the same key is a dead letter."""


@dataclass(slots=True)
class Waiting:
    """A key: from which offset on it waits, its last dead letter, its last letter of all, where it is free again."""

    since: int
    dead: int
    last: int
    until: int | None = None
    why: str = ""


class Parking:
    """The keys of one topic that wait. `metadata` may be called from any thread."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._keys: dict[int, dict[str, Waiting]] = {}

    def begin(self, partition: int, metadata: str) -> None:
        """Takes a partition at a commit. Metadata that is not ours tells of no key."""
        mark, _, entries = metadata.partition(" ")
        found = [_ENTRY.fullmatch(entry) for entry in entries.split(",")] if mark == MARK and entries else []
        self._keys[partition] = {entry[1]: _read(entry) for entry in found[:MOST_KEYS] if entry is not None}

    def metadata(self, partition: int, point: int) -> str:
        """What goes with a commit. Keys that became free below it are forgotten."""
        keys = self._keys.get(partition, {})
        for name, waiting in tuple(keys.items()):
            if waiting.until is not None and waiting.until <= point:
                keys.pop(name, None)
        entries = ",".join(_written(name, waiting) for name, waiting in tuple(keys.items()))
        return f"{MARK} {entries}" if entries else ""

    def guarded(self, attempt: Attempt) -> Attempt:
        """`attempt`, but for records that wait: they are dead letters `parked`."""

        async def unless_parked(raw: KafkaMessage, number: int) -> Verdict | None:
            waiting = self._waiting(raw)
            if waiting is None:
                return await attempt(raw, number)
            origin = self._put_back(raw)
            if origin is None or origin < waiting.dead:
                message = f"behind {self._topic}/{raw.partition()}/{waiting.dead}, a dead letter {waiting.why}".rstrip()
                return Dead("parked", message, BehindDeadLetter(message))
            verdict = await attempt(raw, number)
            if verdict is None or isinstance(verdict, Passed):
                _free(waiting, raw, origin)
            return verdict

        return unless_parked

    def kept(self, answer: Answer, runnables: list[Runnable]) -> None:
        """Notes records that need not run, as they were done before: each may be the last of its key to come back."""
        if answer is not Answer.DONE:
            return
        for _, raw in runnables:
            waiting, origin = self._waiting(raw), self._put_back(raw)
            if waiting is not None and origin is not None:
                _free(waiting, raw, origin)

    def admit(self, raw: KafkaMessage) -> None:
        """To be asked before a letter is written. Raises WorkError when too many keys would wait."""
        keys, key, offset = self._keys.setdefault(raw.partition(), {}), raw.key(), raw.offset()
        if key is None or (name := _name(key)) in keys:
            return
        if len(keys) >= MOST_KEYS:
            raise WorkError(
                f"{self._topic}/{raw.partition()}: {MOST_KEYS} keys wait behind dead letters, and one more would",
                "put their letters back (fanout dlq redrive), or let keys go on with on_dead_letter='go_on'",
            )
        # Already now, as letters of other keys may be on their way. The record itself does not wait for itself.
        keys[name] = Waiting(offset, offset, offset)

    def buried(self, raw: KafkaMessage, dead: Dead) -> None:
        """Notes a letter that the broker has."""
        key, offset = raw.key(), raw.offset()
        if key is None:
            return
        waiting = self._keys.setdefault(raw.partition(), {}).setdefault(_name(key), Waiting(offset, offset, offset))
        if dead.why == "parked" and waiting.last == waiting.dead:
            logger.warning("%s/%d/%d and what follows of its key wait %s", *_place(raw), dead.message)
        waiting.last = max(waiting.last, offset)
        if dead.why != "parked":
            waiting.dead, waiting.until = max(waiting.dead, offset), None
            waiting.why = f"({dead.message[:200]})"

    def count(self) -> int:
        """How many keys wait."""
        return sum(waiting.until is None for keys in tuple(self._keys.values()) for waiting in tuple(keys.values()))

    def _waiting(self, raw: KafkaMessage) -> Waiting | None:
        """What its key waits for, if this record does."""
        keys = self._keys.get(raw.partition())
        key = raw.key() if keys else None
        if not keys or key is None:
            return None
        waiting, offset = keys.get(_name(key)), raw.offset()
        if waiting is None or offset <= waiting.since or (waiting.until is not None and offset >= waiting.until):
            return None
        return waiting

    def _put_back(self, raw: KafkaMessage) -> int | None:
        """The offset at which a record that was put back stood before, in this partition."""
        told = next((value for name, value in reversed(raw.headers() or ()) if name == REDRIVE_OF), None)
        found = _ORIGIN.fullmatch(told or b"")
        if found is None or (found[1].decode(), int(found[2])) != (self._topic, raw.partition()):
            return None
        return int(found[3])


def _free(waiting: Waiting, raw: KafkaMessage, origin: int) -> None:
    """Frees a key behind the last of its letters, now that it has come back."""
    if origin >= waiting.last:
        waiting.until = raw.offset() + 1
        logger.info("%s/%d/%d was the last of its key to come back", *_place(raw))


def _name(key: bytes) -> str:
    return urlsafe_b64encode(blake2b(key, digest_size=6).digest()).decode()


def _read(entry: re.Match[str]) -> Waiting:
    since, dead, last = (int(number, 16) for number in entry.group(2, 3, 4))
    return Waiting(since, since + dead, since + last, since + int(entry[5], 16) if entry[5] else None)


def _written(name: str, waiting: Waiting) -> str:
    until = "" if waiting.until is None else f"{waiting.until - waiting.since:x}"
    since = waiting.since
    return f"{name}.{since:x}.{waiting.dead - since:x}.{waiting.last - since:x}.{until}"


def _place(raw: KafkaMessage) -> tuple[str, int, int]:
    return raw.topic(), raw.partition(), raw.offset()
