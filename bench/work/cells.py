"""What is measured: a handler, how many of its records may be in flight, and who runs it."""

from __future__ import annotations

from dataclasses import dataclass

from work.backlog import Backlog
from work.runtimes import FANOUT, Runtime

__all__ = ["CELLS", "Cell", "Entry"]

K = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One runtime in a cell, with as many records as it handles in a few seconds."""

    runtime: Runtime
    records: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One handler over one kind of backlog.

    wait_s: how long the handler sleeps; 0 does nothing.
    at_once: records in flight, where a runtime can be told.
    keyless: share of the records that have no key.
    dedup: whether each record is claimed in Redis before its handler runs, and completed after.
    """

    name: str
    entries: tuple[Entry, ...]
    wait_s: float = 0.0
    at_once: int = 500
    keyless: float = 0.0
    dedup: bool = False

    def backlog_of(self, entry: Entry) -> Backlog:
        """What `entry` handles."""
        return Backlog(entry.records, self.keyless)


WAIT_S = 0.005

CELLS = (
    Cell(name="no-op", entries=(Entry(FANOUT, 400 * K),)),
    Cell(name="5 ms, 500 at once", wait_s=WAIT_S, entries=(Entry(FANOUT, 150 * K),)),
    Cell(name="5 ms, 1,000 at once", wait_s=WAIT_S, at_once=1000, entries=(Entry(FANOUT, 200 * K),)),
    Cell(name="no-op, 95 % without key", keyless=0.95, entries=(Entry(FANOUT, 400 * K),)),
)
