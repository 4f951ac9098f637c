"""
The count and sum that travel in the metadata of every offset commit of a run.

`fanout1 <count> <sum as 16 hex digits> <tag>`, and for workers that sent records to
the dead letters ` dead=<count>:<sum>`; where batches were left out on the user's word
` skipped=<first offset>-<next offset>,…`. The tag is the target topic's id for a lane
and the run's id for a worker. Anything else was written by another tool. What is read
here is what the core reads (`note.rs`), to the letter: what one of them took for a note
and the other for a stranger's would be moved by one and refused by the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Tally", "TallyNote", "parse_note", "zero_note"]

MODULUS = 1 << 64

LARGEST = (1 << 63) - 1
"""Of counts and offsets."""

MOST_SKIPPED = 32
"""Stretches in one note: brokers take 4096 bytes of metadata by default."""

_NUMBER, _SUM = "[0-9]{1,20}", "[0-9a-f]{16}"
_STRETCH = f"{_NUMBER}-{_NUMBER}"
_NOTE = re.compile(
    rf"fanout1 ({_NUMBER}) ({_SUM}) ((?!dead=|skipped=)[!-~]+)"
    rf"(?: dead=({_NUMBER}):({_SUM}))?"
    rf"(?: skipped=({_STRETCH}(?:,{_STRETCH}){{0,{MOST_SKIPPED - 1}}}))?"
)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records, and the sum of their mixes mod 2^64."""

    count: int = 0
    sum: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.count + other.count, (self.sum + other.sum) % MODULUS)

    def __str__(self) -> str:
        return f"{self.count} records, sum {self.sum:016x}"

    @classmethod
    def total(cls, tallies: Iterable[Tally]) -> Tally:
        """All of them together."""
        return sum(tallies, cls())


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class TallyNote:
    """What a commit's metadata says: a tally, the dead letters apart, whose it is, and which offsets were left out."""

    tally: Tally
    tag: str
    dead: Tally = NOTHING
    skipped: tuple[tuple[int, int], ...] = ()

    def leaving_out(self, start: int, end: int) -> TallyNote:
        """The same with offsets `start` to `end - 1` left out besides; stretches that touch become one."""
        return replace(self, skipped=_joined([*self.skipped, (start, end)]))

    @property
    def is_too_long(self) -> bool:
        """Whether more was left out than a note can hold: nobody would read it as ours."""
        return len(self.skipped) > MOST_SKIPPED

    def text(self) -> str:
        """As it is committed."""
        words = ["fanout1", str(self.tally.count), f"{self.tally.sum:016x}", self.tag]
        if self.dead != NOTHING:
            words.append(f"dead={self.dead.count}:{self.dead.sum:016x}")
        if self.skipped:
            words.append("skipped=" + ",".join(f"{start}-{end}" for start, end in self.skipped))
        return " ".join(words)


def parse_note(metadata: str) -> TallyNote | None:
    """The note in `metadata`; None when another tool wrote it."""
    found = _NOTE.fullmatch(metadata)
    if found is None:
        return None
    count, total, tag, dead_count, dead_sum, ranges = found.groups()
    dead = Tally(int(dead_count), int(dead_sum, 16)) if dead_count else Tally()
    pairs = (pair.split("-") for pair in (ranges.split(",") if ranges else ()))
    skipped = tuple((int(start), int(end)) for start, end in pairs)
    note = TallyNote(Tally(int(count), int(total, 16)), tag, dead, skipped)
    return note if _is_sound(note) else None


def _is_sound(note: TallyNote) -> bool:
    ends = (end for _, end in note.skipped)
    return all(start < end for start, end in note.skipped) and all(
        number <= LARGEST for number in (note.tally.count, note.dead.count, *ends)
    )


def _joined(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """In order, those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def zero_note(tag: str) -> str:
    """What is committed with the start offset."""
    return TallyNote(NOTHING, tag).text()
