"""How often a record ran when its process died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .process import Place, Suspect

__all__ = ["Deaths"]

SUSPICIOUS = 2
"""One death says nothing of the records that ran: there may have been thousands, and the machine has reasons of its
own. What ran at two of them runs alone from then on, and is proven by the third."""

MOST = 10_000


class Deaths:
    """Counts them, for records that are not finished yet."""

    def __init__(self) -> None:
        self._counts: Counter[Place] = Counter()

    def add(self, ran: Iterable[Place]) -> list[Suspect]:
        """Notes what ran when a process died; returns those of them that are suspects now."""
        places = list(ran)
        self._counts.update(places)
        for place in list(self._counts)[: max(0, len(self._counts) - MOST)]:
            del self._counts[place]
        return self._suspects(places)

    def forget(self, committed: Mapping[str, Mapping[int, int]]) -> None:
        """Leaves out what is below a commit: topic, partition and offset."""
        for topic, partition, offset in list(self._counts):
            if offset < committed.get(topic, {}).get(partition, 0):
                del self._counts[topic, partition, offset]

    def suspects(self) -> list[Suspect]:
        """Every record that must run alone."""
        return self._suspects(self._counts)

    def _suspects(self, places: Iterable[Place]) -> list[Suspect]:
        return [(*place, count) for place in places if (count := self._counts[place]) >= SUSPICIOUS]
