"""
What the broker acknowledged: the truth every check compares with.

One entry a serial, in three flat arrays (13 bytes a record), so that a million records weigh nothing.
"""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Fate", "Ledger"]


class Fate(IntEnum):
    """What became of a record at the source."""

    UNKNOWN = 0
    """Sent, or not yet: no acknowledgement came."""
    COMMITTED = 1
    """Acknowledged, and visible to read_committed readers."""
    OPEN = 2
    """Acknowledged in a transaction that has not ended."""
    ABORTED = 3
    """Acknowledged in a transaction that was aborted: nobody may see it."""
    COMPACTED = 4
    """Was committed; the source's own cleaning removed it, because a later record of its key stands."""


class Ledger:
    """Source partition, offset and fate of every serial. Written by one thread, read after it ended."""

    def __init__(self) -> None:
        self._partition = array("i")
        self._offset = array("q")
        self._fate = bytearray()

    def __len__(self) -> int:
        return len(self._fate)

    def note(self, serial: int, partition: int, offset: int, fate: Fate) -> None:
        """Writes down an acknowledgement."""
        missing = serial + 1 - len(self._fate)
        if missing > 0:
            self._partition.extend([-1] * missing)
            self._offset.extend([-1] * missing)
            self._fate.extend(bytes(missing))
        self._partition[serial] = partition
        self._offset[serial] = offset
        self._fate[serial] = fate

    def turn(self, serials: Iterable[int], fate: Fate) -> None:
        """Gives acknowledged records another fate: their transaction ended, or the source was compacted."""
        for serial in serials:
            if self._fate[serial] == Fate.UNKNOWN:
                raise AssertionError(f"record {serial} was never acknowledged: the run proves nothing")
            self._fate[serial] = fate

    def place(self, serial: int) -> tuple[int, int]:
        """Source partition and offset of an acknowledged record."""
        return self._partition[serial], self._offset[serial]

    def fate(self, serial: int) -> Fate:
        """What became of `serial`; UNKNOWN for one never sent."""
        return Fate(self._fate[serial]) if serial < len(self._fate) else Fate.UNKNOWN

    def count(self, fate: Fate) -> int:
        """How many records met `fate`."""
        return self._fate.count(fate)

    def committed(self, below: Mapping[int, int] | None = None) -> Iterator[int]:
        """Serials every reader must see, in order of sending; with `below`, those under a partition's offset only."""
        serial = self._fate.find(Fate.COMMITTED)
        while serial >= 0:
            if below is None or self._offset[serial] < below[self._partition[serial]]:
                yield serial
            serial = self._fate.find(Fate.COMMITTED, serial + 1)
