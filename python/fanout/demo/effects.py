"""
What the handlers did, held against what the source acknowledged.

For each record it handles, a handler appends one effect: key, sequence number, and the origin it was told.

lost          acknowledged, and no effect
duplicated    one more effect of a record that had one
out_of_order  first handled after a later record of its key
foreign       an effect of no acknowledged record, or with another origin than the broker gave it
repeated      a second effect of a record whose first came from a worker that was killed. Handlers run at least
              once: a worker that dies takes what it did not commit with it. So this one is no fault.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import NamedTuple

from .acknowledged import Acknowledged, Origin

__all__ = ["Effect", "Verdict", "check_effects"]

SHOWN = 10
"""Places named of what is wrong; all are counted."""


class Effect(NamedTuple):
    """One handling, in the process `worker`."""

    key: bytes
    sequence: int
    origin: Origin
    worker: int

    @classmethod
    def read(cls, key: bytes, value: bytes) -> Effect:
        """An effect as it lies in its topic."""
        held = json.loads(value)
        return cls(key, held["sequence"], Origin(*held["origin"]), held["worker"])

    def value(self) -> bytes:
        """What is written under `key`: JSON, for those who look with a console consumer."""
        return json.dumps({"sequence": self.sequence, "origin": self.origin, "worker": self.worker}).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Figures of the comparison, and the first places where it went wrong. `records` are the acknowledged ones."""

    records: int
    effects: int
    lost: int
    duplicated: int
    out_of_order: int
    foreign: int
    repeated: int
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every record had its effect once and in order. No records prove nothing."""
        return self.records > 0 and not (self.lost or self.duplicated or self.out_of_order or self.foreign)

    def __str__(self) -> str:
        named = {"lost": self.lost, "duplicated": self.duplicated, "out_of_order": self.out_of_order}
        seldom = {name: count for name, count in (("foreign", self.foreign), ("repeated", self.repeated)) if count}
        return " ".join(f"{name}={count}" for name, count in ({"records": self.records} | named | seldom).items())


def check_effects(effects: Iterable[Effect], acknowledged: Acknowledged, killed: Set[int] = frozenset()) -> Verdict:
    """Compares effects, those of one key in the order they were appended, with every acknowledged record.

    killed: the workers that died on the way, by process id.
    """
    return _Comparison(acknowledged, killed).verdict(effects)


class _Comparison:
    """`workers[key][n]` is the process that handled record n of a key last, 0 as long as none has."""

    def __init__(self, acknowledged: Acknowledged, killed: Set[int]) -> None:
        self._acknowledged = acknowledged
        self._killed = killed
        self._workers = {
            key: array("q", bytes(8 * len(history.offsets))) for key, history in acknowledged.histories.items()
        }
        self._latest: dict[bytes, int] = {}
        self._counts: Counter[str] = Counter()
        self._findings: list[str] = []

    def verdict(self, effects: Iterable[Effect]) -> Verdict:
        taken = 0
        for effect in effects:
            self._take(effect)
            taken += 1
        for key, workers in self._workers.items():
            for sequence, worker in enumerate(workers):
                if not worker:
                    origin = self._acknowledged.origin(key, sequence)
                    self._note("lost", key, sequence, f"acknowledged at {origin}, and never handled")
        return Verdict(
            records=self._acknowledged.records,
            effects=taken,
            lost=self._counts["lost"],
            duplicated=self._counts["duplicated"],
            out_of_order=self._counts["out_of_order"],
            foreign=self._counts["foreign"],
            repeated=self._counts["repeated"],
            findings=tuple(self._findings),
        )

    def _take(self, effect: Effect) -> None:
        key, sequence, origin, worker = effect
        acknowledged = self._acknowledged.origin(key, sequence)
        if acknowledged != origin:
            self._note("foreign", key, sequence, f"handled as {origin}, acknowledged at {acknowledged}")
        if acknowledged is None:
            return
        workers = self._workers[key]
        before = workers[sequence]
        workers[sequence] = worker
        if before in self._killed:
            self._counts["repeated"] += 1
        elif before:
            self._note("duplicated", key, sequence, f"handled by worker {before}, then by {worker}")
        elif sequence < self._latest.get(key, 0):
            self._note("out_of_order", key, sequence, f"first handled after #{self._latest[key]}")
        else:
            self._latest[key] = sequence

    def _note(self, fault: str, key: bytes, sequence: int, what: str) -> None:
        self._counts[fault] += 1
        if len(self._findings) < SHOWN:
            self._findings.append(f"{fault}: {key.decode(errors='replace')} #{sequence} was {what}")
