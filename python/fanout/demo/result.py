"""What the demo found, for programs and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanout.config.durations import duration_text

from .effects import Verdict
from .gauge import Sample

__all__ = ["COLUMNS", "After", "Before", "Drained", "Result", "empty_in_s"]

COLUMNS = ("", "before", "drain", "after")


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """The old consumers: how many, and records handled a second."""

    consumers: int
    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """The drain: how it stood when it began, what went through the temp topic, and how fast.

    targets: partitions of the temp topic. killed: process ids of the workers that were killed.
    """

    workers: int
    targets: int
    began: Sample
    records: int
    rate: float
    killed: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class After:
    """The old consumers again. `emptied_s`: from the drain's begin until no more waited than arrive in a second.

    rate: records handled a second from then on. last: how it stood at the end of that, while more still arrived.
    """

    emptied_s: float
    rate: float
    last: Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Before, drain and after, and the verdict over all of it. `arriving`: records a second that came all the time."""

    handler_ms: float
    arriving: float
    before: Before
    drain: Drained
    after: After
    verdict: Verdict
    elapsed_s: float

    @property
    def waiting(self) -> int:
        """Records that waited when the drain began."""
        return self.drain.began.waiting

    @property
    def waiting_after(self) -> int:
        """Records that waited at the end, while more still arrived. Repeated effects are of none that waited."""
        last = self.after.last
        # An effect may be seen before the feeder is told of its order.
        return max(0, last.acknowledged - last.handled + self.verdict.repeated)

    @property
    def empty_before_s(self) -> float | None:
        """Seconds the old consumers would have needed from then on: computed, not waited for. None is never."""
        return empty_in_s(self.waiting, self.before.rate, self.arriving)

    def document(self) -> dict[str, object]:
        """Everything, for `-o json`."""
        verdict, computed_s = self.verdict, self.empty_before_s
        return {
            "outcome": "proven" if verdict.holds else "refuted",
            "records": verdict.records,
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "out_of_order": verdict.out_of_order,
            "foreign": verdict.foreign,
            "repeated": verdict.repeated,
            "findings": list(verdict.findings),
            "handler_ms": self.handler_ms,
            "arriving_per_s": self.arriving,
            "waiting": self.waiting,
            "before": {
                "consumers": self.before.consumers,
                "records_per_s": round(self.before.rate, 1),
                "time_to_empty_computed_s": None if computed_s is None else round(computed_s, 1),
            },
            "drain": {
                "workers": self.drain.workers,
                "partitions": self.drain.targets,
                "workers_killed": len(self.drain.killed),
                "records": self.drain.records,
                "records_per_s": round(self.drain.rate, 1),
                "time_to_empty_s": round(self.after.emptied_s, 1),
            },
            "after": {
                "consumers": self.before.consumers,
                "records_per_s": round(self.after.rate, 1),
                "waiting": self.waiting_after,
            },
            "elapsed_s": round(self.elapsed_s, 1),
        }

    def rows(self) -> list[Sequence[str]]:
        """The table under `COLUMNS`."""
        computed_s = self.empty_before_s
        before = "never (computed)" if computed_s is None else f"{duration_text(computed_s)} (computed)"
        consumers = f"{self.before.consumers} old consumers"
        measured = f"{duration_text(self.after.emptied_s)} (measured)"
        return [
            ("handled by", consumers, f"{self.drain.workers} workers", consumers),
            ("partitions", str(self.before.consumers), str(self.drain.targets), str(self.before.consumers)),
            (
                "records a second",
                f"{self.before.rate:,.0f}",
                f"{self.drain.rate:,.0f}",
                f"{self.after.rate:,.0f}, as they arrive",
            ),
            ("time to empty", before, measured, f"empty, {self.waiting_after:,} wait"),
        ]

    def lines(self) -> list[str]:
        """The verdict: what was compared, the figures, and where it went wrong if it did."""
        compared = "over both cut-overs, every effect (read with kafka-python) against every acknowledged record:"
        lines = ["", compared, str(self.verdict)]
        if self.drain.killed:
            repeated = f"{self.verdict.repeated:,} records they had not committed were handled again"
            lines.append(f"{len(self.drain.killed)} workers were killed; {repeated}, as at-least-once has it")
        return [*lines, *self.verdict.findings]


def empty_in_s(waiting: int, rate: float, arriving: float) -> float | None:
    """Seconds until nothing waits; None when more arrives than is handled."""
    return waiting / (rate - arriving) if rate > arriving else None
