"""Every record that the source has acknowledged: what the effects are held against."""

from __future__ import annotations

from array import array
from typing import NamedTuple

__all__ = ["Acknowledged", "History", "Origin"]


class Origin(NamedTuple):
    """Where the broker says a record lies."""

    partition: int
    offset: int


class History(NamedTuple):
    """The records of one key. All lie in one partition; the record with sequence number n is at `offsets[n]`."""

    partition: int
    offsets: array[int]

    def origin(self, sequence: int) -> Origin | None:
        """Where one record lies; None if it was never acknowledged."""
        return Origin(self.partition, self.offsets[sequence]) if 0 <= sequence < len(self.offsets) else None


class Acknowledged:
    """Records by key and sequence number, eight bytes each: a million fit beside everything else."""

    def __init__(self) -> None:
        self.histories: dict[bytes, History] = {}
        self.records = 0

    def add(self, key: bytes, sequence: int, origin: Origin) -> None:
        """Notes one record. Raises ValueError when it does not continue its key, as one producer's records must."""
        history = self.histories.get(key)
        if history is None:
            history = self.histories[key] = History(origin.partition, array("q"))
        if sequence != len(history.offsets) or origin.partition != history.partition:
            raise ValueError(f"{key!r} #{sequence} at {origin} does not continue {len(history.offsets)} before it")
        history.offsets.append(origin.offset)
        self.records += 1

    def origin(self, key: bytes, sequence: int) -> Origin | None:
        """Where one record lies; None if it was never acknowledged."""
        history = self.histories.get(key)
        return None if history is None else history.origin(sequence)
