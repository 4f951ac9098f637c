"""
Records that may run now, in the order in which they should.

A record that had to wait for another of its key may run at a time when thousands that were read after it are
queued already. Behind those it would hold back the commit point until they are all done: a stop would repeat every
one of them. So within a partition the earliest record runs first; the partitions take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from fanout._fanout import Intake

__all__ = ["Ready", "Runnable"]

Runnable = tuple[int, Any]
"""Number and message. Numbers grow within an assignment, in the order the records were read."""


class Line:
    """Records of one assignment: those that came in order, and those that had to wait and came late."""

    __slots__ = ("fresh", "late")

    def __init__(self) -> None:
        self.fresh: deque[Runnable] = deque()
        self.late: list[Runnable] = []

    def __len__(self) -> int:
        return len(self.fresh) + len(self.late)

    def add(self, runnable: Runnable) -> None:
        """Queues one where it belongs. Nearly all are fresh, and cost no search."""
        if self.fresh and runnable[0] < self.fresh[-1][0]:
            heappush(self.late, runnable)
        else:
            self.fresh.append(runnable)

    def take(self) -> Runnable:
        """The earliest. There must be one."""
        if self.late and not (self.fresh and self.fresh[0][0] < self.late[0][0]):
            return heappop(self.late)
        return self.fresh.popleft()

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Forgets those that are gone."""
        self.fresh = deque(runnable for runnable in self.fresh if not gone(runnable[0]))
        self.late = [runnable for runnable in self.late if not gone(runnable[0])]
        heapify(self.late)


class Ready:
    """All lines of one consumer. False when nothing may run."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._turns: deque[int] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, runnable: Runnable) -> None:
        """Queues one record."""
        assignment = Intake.assignment_of(runnable[0])
        line = self._lines.get(assignment)
        if line is None:
            line = self._lines[assignment] = Line()
            self._turns.append(assignment)
        line.add(runnable)

    def take(self) -> Runnable:
        """The next one to run. There must be one."""
        turns = self._turns
        assignment = turns[0]
        line = self._lines[assignment]
        runnable = line.take()
        if line:
            turns.rotate(-1)
        else:
            turns.popleft()
            del self._lines[assignment]
        return runnable

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Forgets those that are gone."""
        for line in self._lines.values():
            line.drop(gone)
        self._lines = {assignment: line for assignment, line in self._lines.items() if line}
        self._turns = deque(assignment for assignment in self._turns if assignment in self._lines)
