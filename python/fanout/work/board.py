"""
Which records run now, written where it outlives the process that runs them.

A handler can end its process without a word: a fault in native code, the out-of-memory killer. Only what was
written before it ran tells then which records ran. So each slot writes partition and offset of its record into a
file that the supervisor holds open: two stores into mapped memory, which the kernel keeps whatever becomes of us.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Sequence

__all__ = ["FREE", "PLACE", "Board", "Row", "read_board", "row"]

FREE = -1
"""The partition in a place whose slot runs nothing."""

PLACE = 2
"""Numbers a slot: partition and offset."""

Row = memoryview
"""The places of one handler's slots, as 64-bit numbers."""

_ENTRY = struct.Struct("=qq")
MOST_BYTES = 1 << 24


def row(slots: int) -> Row:
    """Places nobody else reads."""
    return memoryview(array("q", [FREE] * (slots * PLACE)))


class Board:
    """The rows of one process, in a file that was opened for it."""

    def __init__(self, descriptor: int, slots: Sequence[int]) -> None:
        size = max(1, sum(slots)) * _ENTRY.size
        os.pwrite(descriptor, b"\xff" * size, 0)
        numbers = memoryview(mmap.mmap(descriptor, size)).cast("q")
        starts = [sum(slots[:index]) * PLACE for index in range(len(slots))]
        self.rows = [numbers[start : start + count * PLACE] for start, count in zip(starts, slots, strict=True)]
        """One row for each number of slots that was asked for."""


def read_board(descriptor: int, rows: Sequence[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Topic, partition and offset of every record that ran; `rows` are topics and their numbers of slots."""
    data = os.pread(descriptor, min(MOST_BYTES, sum(slots for _, slots in rows) * _ENTRY.size), 0)
    topics = (topic for topic, slots in rows for _ in range(slots))
    whole = data[: len(data) // _ENTRY.size * _ENTRY.size]
    return [
        (topic, partition, offset)
        for topic, (partition, offset) in zip(topics, _ENTRY.iter_unpack(whole), strict=False)
        if partition != FREE
    ]
