"""
When to cut: what is left is less than the workers finish in the time a cut-over may take.

One reading can be luck, as a lane may just have committed and the next records be on
their way; three in a row are not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CaughtUp", "Reading"]

READINGS = 3
WINDOW_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One look at the run: for each source partition what is unfinished and how much was finished so far."""

    at_s: float
    left: Mapping[int, int]
    finished: Mapping[int, int]


class CaughtUp:
    """Judges readings. The workers' rate is the best they have shown: near the end they only wait for records."""

    def __init__(self, cutover_s: float, began_s: float) -> None:
        self._cutover_s = cutover_s
        self._began = Reading(at_s=began_s, left={}, finished={})
        self._recent: deque[Reading] = deque([self._began])
        self._best: dict[int, float] = {}
        self._row = 0

    def add(self, reading: Reading) -> bool:
        """Whether this reading, with those before it, says that it is time to cut."""
        self._measure(reading)
        near = all(left <= self.rate(partition) * self._cutover_s for partition, left in reading.left.items())
        self._row = self._row + 1 if near else 0
        return self._row >= READINGS

    def rate(self, partition: int) -> float:
        """Records a second the workers of one source partition have shown to finish."""
        return self._best.get(partition, 0.0)

    def eta_s(self, reading: Reading) -> float | None:
        """Seconds until the slowest source partition is finished; None while nothing moves."""
        rates = self._now(reading)
        waits = [
            left / rates[partition] if rates.get(partition) else None
            for partition, left in reading.left.items()
            if left > 0
        ]
        if None in waits:
            return None
        return max((wait for wait in waits if wait is not None), default=0.0)

    @property
    def recent_rate(self) -> float:
        """Records a second that all workers together finished lately."""
        return sum(self._now(self._recent[-1]).values())

    def _measure(self, reading: Reading) -> None:
        self._recent.append(reading)
        while len(self._recent) > 2 and reading.at_s - self._recent[1].at_s >= WINDOW_S:
            self._recent.popleft()
        for partition, rate in self._now(reading).items():
            self._best[partition] = max(rate, self.rate(partition))

    def _now(self, reading: Reading) -> dict[int, float]:
        then = self._recent[0]
        elapsed_s = reading.at_s - then.at_s
        if elapsed_s <= 0:
            return {}
        return {p: (done - then.finished.get(p, 0)) / elapsed_s for p, done in reading.finished.items()}
