"""How the demo goes, read off the topic of effects: what is handled, what waits, how fast it goes."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from fanout._fanout import Cluster
from fanout.errors import UnreachableError

if TYPE_CHECKING:
    from .acknowledged import Acknowledged

__all__ = ["Gauge", "Sample", "steady_rate"]

logger = logging.getLogger("fanout.demo")

EVERY_S = 0.25
RECENT_S = 3.0
ANSWER_S = 3.0


class Sample(NamedTuple):
    """One look. `handled` counts effects, `acknowledged` what the source has taken so far."""

    at_s: float
    handled: int
    acknowledged: int

    @property
    def waiting(self) -> int:
        """Records that have no effect yet."""
        return max(0, self.acknowledged - self.handled)


class Gauge:
    """Looks several times a second while its block lasts. `samples` are all looks so far, the newest last."""

    def __init__(self, bootstrap: str, effects: str, acknowledged: Acknowledged) -> None:
        self.samples: list[Sample] = []
        self._cluster = Cluster({"bootstrap.servers": bootstrap}, timeout_s=ANSWER_S)
        self._effects = effects
        self._acknowledged = acknowledged

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks on a thread of its own. The first look is there when the block begins."""
        self.look()
        stop = threading.Event()
        thread = threading.Thread(target=self._keep_looking, args=(stop,), name="gauge", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def look(self) -> Sample:
        """Looks now."""
        handled = sum(self._cluster.offsets(self._effects, "latest").values())
        sample = Sample(time.monotonic(), handled, self._acknowledged.records)
        self.samples.append(sample)
        return sample

    @property
    def now(self) -> Sample:
        """The newest look."""
        return self.samples[-1]

    @property
    def rate(self) -> float:
        """Records handled a second, lately."""
        samples = self.samples[:]
        since = bisect_left(samples, samples[-1].at_s - RECENT_S, key=lambda sample: sample.at_s)
        return _rate(samples[since], samples[-1])

    def since(self, at_s: float) -> list[Sample]:
        """Looks from one moment on."""
        return [sample for sample in self.samples if sample.at_s >= at_s]

    def _keep_looking(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY_S):
            try:
                self.look()
            except UnreachableError as error:
                logger.warning("a look is left out: %s", error)


def steady_rate(samples: Sequence[Sample]) -> float:
    """Records handled a second between the first tenth of what these looks saw handled and the last.

    The rest is starting up and running dry, which no length of a backlog changes.
    """
    if not samples:
        return 0.0
    first, total = samples[0].handled, samples[-1].handled - samples[0].handled
    begun = bisect_left(samples, first + 0.1 * total, key=lambda sample: sample.handled)
    ended = bisect_left(samples, first + 0.9 * total, key=lambda sample: sample.handled)
    return _rate(samples[begun], samples[ended])


def _rate(first: Sample, last: Sample) -> float:
    elapsed_s = last.at_s - first.at_s
    return (last.handled - first.handled) / elapsed_s if elapsed_s > 0 else 0.0
