"""Which partitions of which topic, `orders`, `orders:0`, `orders:0,3-7`; and one place in one, `orders:0@4711`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanout.errors import ConfigError

__all__ = ["Place", "Selection", "parse_place", "parse_selection"]

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_PLACE = re.compile(rf"({_TOPIC.pattern}):(\d{{1,9}})@(\d{{1,18}})")


@dataclass(frozen=True, slots=True)
class Selection:
    """A topic, and those of its partitions that were named; None is all of them."""

    topic: str
    partitions: tuple[int, ...] | None = None

    def of(self, count: int, setting: str) -> tuple[int, ...]:
        """The partitions selected from a topic that has `count`."""
        if self.partitions is None:
            return tuple(range(count))
        beyond = [p for p in self.partitions if p >= count]
        if beyond:
            named = ", ".join(map(str, beyond))
            raise ConfigError(setting, f"{self.topic} has partitions 0 to {count - 1}; there is no {named}")
        return self.partitions


def parse_selection(text: str, setting: str) -> Selection:
    """Reads `T[:0,3-7]` as written under `setting`."""
    topic, colon, ranges = text.partition(":")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise ConfigError(setting, f"{topic!r} is no topic name: letters, digits, '.', '_' and '-', at most 249")
    if not colon:
        return Selection(topic)
    chosen: set[int] = set()
    for part in ranges.split(","):
        found = _RANGE.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise ConfigError(setting, f"{part!r} is no partition or range of partitions: write {topic}:0,3-7")
        chosen.update(range(first, last + 1))
    return Selection(topic, tuple(sorted(chosen)))


@dataclass(frozen=True, slots=True)
class Place:
    """One offset of one partition."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}@{self.offset}"


def parse_place(text: str, setting: str) -> Place:
    """Reads `T:P@OFFSET` as written under `setting`."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ConfigError(setting, f"{text!r} is no place: write T:P@OFFSET, as the error of the halted lane does")
    return Place(found[1], int(found[2]), int(found[3]))
