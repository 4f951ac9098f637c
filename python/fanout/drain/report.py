"""What a finished drain did, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fanout.config.durations import duration_text

from .plan import Plan
from .proof import Witness

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A run that ended well: proven, and the old group home.

    restarts: worker processes that died and were started again; what they had in hand was handled once more.
    steps: name and seconds since the beginning. left: what could not be removed, and why that is harmless.
    """

    plan: Plan
    witnesses: Sequence[Witness]
    home: Mapping[int, int]
    elapsed_s: float
    restarts: int
    steps: Sequence[tuple[str, float]]
    left: Sequence[str]

    @property
    def records(self) -> int:
        """Records carried and handled."""
        return sum(one.lanes.count for one in self.witnesses)

    @property
    def dead(self) -> int:
        """Those of them that went to the dead letters."""
        return sum(one.dead.count for one in self.witnesses)

    @property
    def draining_s(self) -> float:
        """Seconds from the first lane's start to the last record finished."""
        at = dict(self.steps)
        return at.get("prove", self.elapsed_s) - at.get("drain", 0.0)

    @property
    def rate(self) -> float:
        """Records a second while draining."""
        return self.records / self.draining_s if self.draining_s > 0 else 0.0

    def document(self) -> dict[str, object]:
        """Everything, for `-o json`."""
        plan = self.plan
        return {
            "outcome": "done",
            "run": plan.names.run,
            "topic": plan.settings.topic,
            "group": plan.settings.group,
            "app": plan.settings.app,
            "temp_topic": {"name": plan.temp.name, "partitions": plan.temp.partitions, "deleted": True},
            "workers": plan.settings.workers,
            "worker_restarts": self.restarts,
            "records": self.records,
            "dead_letters": self.dead,
            "elapsed_s": round(self.elapsed_s, 3),
            "draining_s": round(self.draining_s, 3),
            "records_per_s": round(self.rate, 1),
            "home": dict(self.home),
            "partitions": [
                {
                    "partition": one.partition,
                    "from": one.start,
                    "cut": one.end,
                    "targets": list(plan.allotments[one.partition]),
                    "carried": _tally(one.lanes.count, one.lanes.sum),
                    "settled": _tally(one.settled.count, one.settled.sum),
                    "dead": _tally(one.dead.count, one.dead.sum),
                    "source": _tally(one.source.count, one.source.sum) if one.source else None,
                }
                for one in self.witnesses
            ],
            "steps": [{"step": name, "at_s": round(at_s, 3)} for name, at_s in self.steps],
            "left": list(self.left),
        }

    def lines(self) -> list[str]:
        """The same for people."""
        plan, seconds = self.plan, duration_text(self.draining_s)
        source = "not asked: the topic is compacted" if plan.compacted else "agrees"
        lines = [
            f"run {plan.names.run}: {self.records:,} records of {plan.settings.topic} handled in {seconds}, "
            f"{self.rate:,.0f}/s",
            f"proof: what was carried was handled, count and sum equal in every partition; the source {source}",
            f"group {plan.settings.group} is home; temp topic {plan.temp.name} is deleted",
        ]
        if self.dead:
            lines.append(f"{self.dead:,} of them went to the dead letters")
        if self.restarts:
            lines.append(f"{self.restarts} workers died and were started again; what they had in hand ran once more")
        return [*lines, *self.left]


def _tally(count: int, total: int) -> dict[str, object]:
    return {"records": count, "sum": f"{total:016x}"}
