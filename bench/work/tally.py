"""
What a handler notes, in every runtime alike: which records it has had, and what that has cost so far.

Figures count from the first record that is handled to the last: connecting, joining the group and importing are
behind the one, leaving is after the other.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

from work.order import Order

__all__ = ["KEYS", "NO_KEY", "Tally", "peak_bytes"]

KEYS = 10_000
NO_KEY = -1


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
        self._cpu_before_ns = 0

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
            self._cpu_before_ns = time.process_time_ns()

    def _tell(self) -> None:
        now, cpu_ns = time.monotonic(), time.process_time_ns()
        told: dict[str, float] = {
            "cpu_s": (cpu_ns - self._cpu_before_ns) / 1e9,
            "running_s": now - self._began_at,
            "peak_bytes": peak_bytes(),
            "most_at_once": self._most_at_once,
            "overlaps": self._overlaps,
            "doubled": self._doubled,
            "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw,
        }
        self._order.tell(told)


def peak_bytes() -> int:
    """Resident memory at its highest, of this process alone."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no VmHWM")
