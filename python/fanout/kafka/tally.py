"""
The count and sum that travel in the metadata of every offset commit of a run.

`fanout1 <count> <sum as 16 hex digits> <tag>`, and for workers that sent records to
the dead letters ` dead=<count>:<sum>`. The tag is the target topic's id for a lane
and the run's id for a worker. Anything else was written by another tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Tally", "TallyNote", "parse_note", "zero_note"]

MODULUS = 1 << 64

_NOTE = re.compile(r"fanout1 (\d+) ([0-9a-f]{16}) (\S+)(?: dead=(\d+):([0-9a-f]{16}))?")


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
    """What a commit's metadata says: a tally, the dead letters apart, and whose it is."""

    tally: Tally
    tag: str
    dead: Tally = NOTHING


def parse_note(metadata: str) -> TallyNote | None:
    """The note in `metadata`; None when another tool wrote it."""
    found = _NOTE.fullmatch(metadata)
    if found is None:
        return None
    count, total, tag, dead_count, dead_sum = found.groups()
    dead = Tally(int(dead_count), int(dead_sum, 16)) if dead_count else Tally()
    return TallyNote(Tally(int(count), int(total, 16)), tag, dead)


def zero_note(tag: str) -> str:
    """What is committed with the start offset."""
    return f"fanout1 0 {0:016x} {tag}"
