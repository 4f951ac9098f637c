"""
What a handler notes, in every runtime alike: which records it has had, and what that has cost so far.

Figures count from the first record that is handled to the last: connecting, joining the group and importing are
behind the one, leaving is after the other.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from work.order import Order

__all__ = ["KEYS", "NO_KEY", "Tally", "peak_bytes"]

KEYS = 10_000
NO_KEY = -1


@dataclass(frozen=True, slots=True)
class Threads:
    """CPU of this process so far: of all threads, of the first one, of those that librdkafka made."""

    all_ns: int = 0
    main_ns: int = 0
    librdkafka_ns: int = 0

    @classmethod
    def now(cls) -> Self:
        """As it stands."""
        tasks = Path("/proc/self/task").iterdir()
        used = {task.name: (_said(task / "comm"), int((_said(task / "schedstat") or "0").split()[0])) for task in tasks}
        theirs = sum(spent for name, spent in used.values() if name.startswith("rdk:"))
        return cls(time.process_time_ns(), used[str(os.getpid())][1], theirs)


class Tally:
    """One process counts all of a backlog. Not for several threads at once."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._records = self._left = order.records
        self._seen = bytearray(order.records)
        self._running = bytearray(KEYS)
        self._at_once = 0
        self._most_at_once = 0
        self._overlaps = 0
        self._doubled = 0
        self._began_at = 0.0
        self._before = Threads()

    def done(self, number: int) -> None:
        """Record `number` is handled, by the handler that does nothing else."""
        if self._left == self._records:
            self._begin()
        if self._seen[number]:
            self._doubled += 1
            return
        self._seen[number] = 1
        self._left -= 1
        if not self._left:
            self._tell()

    def begins(self, key: int) -> None:
        """A handler that waits begins with a record of `key`. Two of one key at a time are noted."""
        if not self._began_at:
            self._begin()
        if key != NO_KEY:
            self._overlaps += self._running[key] > 0
            self._running[key] += 1
        self._at_once += 1
        self._most_at_once = max(self._most_at_once, self._at_once)

    def ends(self, key: int, number: int) -> None:
        """It is done with that record."""
        if key != NO_KEY:
            self._running[key] -= 1
        self._at_once -= 1
        self.done(number)

    def _begin(self) -> None:
        if not self._began_at:
            self._began_at = time.monotonic()
            self._before = Threads.now()

    def _tell(self) -> None:
        now, used = time.monotonic(), Threads.now()
        told: dict[str, float] = {
            "cpu_s": (used.all_ns - self._before.all_ns) / 1e9,
            "main_cpu_s": (used.main_ns - self._before.main_ns) / 1e9,
            "librdkafka_cpu_s": (used.librdkafka_ns - self._before.librdkafka_ns) / 1e9,
            "running_s": now - self._began_at,
            "peak_bytes": peak_bytes(),
            "most_at_once": self._most_at_once,
            "overlaps": self._overlaps,
            "doubled": self._doubled,
            "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw,
        }
        self._order.tell(told)


def _said(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # the thread has ended meanwhile


def peak_bytes() -> int:
    """Resident memory at its highest, of this process alone."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no VmHWM")
