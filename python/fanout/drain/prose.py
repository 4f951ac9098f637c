"""A plan in words and numbers: each step, what it would do, and what decides how long it takes."""

from __future__ import annotations

import math
from collections import Counter

from fanout.config.durations import duration_text

from .plan import Plan

__all__ = ["plan_document", "plan_lines", "plan_rows"]

NEARLY_EQUAL = 1.25
"""Backlogs that differ by less than this are equal work for a plan."""

COLUMNS = ("partition", "from", "backlog", "inflow_per_s", "targets", "share", "eta")


def plan_lines(plan: Plan) -> list[str]:
    """The steps in the order they would be taken."""
    settings, names, temp = plan.settings, plan.names, plan.temp
    waiting, arriving = sum(plan.backlog.values()), sum(plan.inflow.values())
    in_force = ", ".join(f"{name}={value}" for name, value in sorted(temp.settings.items()))
    return [
        f"run {names.run}: {settings.topic} for group {settings.group} with {settings.app}",
        f"1 check      group {settings.group} is Empty; {waiting:,} offsets wait, {arriving:,.0f}/s arrive",
        f"2 expand     topic {temp.name}: {temp.partitions} partitions, {temp.replication} replicas; {in_force}",
        f"3 drain      {len(plan.start)} lanes by {settings.route}; {settings.workers} workers in {names.work_group}; "
        f"group {settings.group} follows what is finished every {duration_text(settings.round_s)}",
        f"4 cut        when less is left than the workers finish in {duration_text(settings.cutover_s)}, "
        "three times in a row: lanes stop and are fenced",
        "5 finish     wait until everything forwarded is finished; the workers stop",
        "6 prove      carried = handled = what the source holds, count and sum, partition by partition",
        f"7 hand back  group {settings.group} to the cut, read back; {temp.name} is deleted by its id",
        *_verdict(plan),
    ]


def plan_rows(plan: Plan) -> list[tuple[int, int, int, float, int, str, str]]:
    """A line for each source partition, under `COLUMNS`."""
    return [
        (
            partition,
            plan.start[partition],
            plan.backlog[partition],
            plan.inflow[partition],
            len(targets),
            _span(targets[0], targets[-1]),
            _eta(plan.eta_s(partition)),
        )
        for partition, targets in sorted(plan.allotments.items())
    ]


def plan_document(plan: Plan) -> dict[str, object]:
    """The plan for programs. An ETA is null when no handler rate is known, and "never" when it never ends."""
    return {
        "outcome": "planned",
        "run": plan.names.run,
        "topic": plan.settings.topic,
        "group": plan.settings.group,
        "app": plan.settings.app,
        "workers": plan.settings.workers,
        "temp_topic": {
            "name": plan.temp.name,
            "partitions": plan.temp.partitions,
            "replication": plan.temp.replication,
            "settings": dict(plan.temp.settings),
        },
        "partitions": [
            {
                "partition": partition,
                "from": plan.start[partition],
                "backlog": plan.backlog[partition],
                "inflow_per_s": round(plan.inflow[partition], 2),
                "targets": list(targets),
                "eta_s": _plain(plan.eta_s(partition)),
            }
            for partition, targets in sorted(plan.allotments.items())
        ],
        "eta_s": _plain(_slowest(plan)[1]),
    }


def _verdict(plan: Plan) -> list[str]:
    shares = "/".join(str(len(targets)) for _, targets in sorted(plan.allotments.items()))
    lines = [f"{plan.temp.partitions} targets over {len(plan.start)} source partitions are {shares}{_uneven(plan)}"]
    slowest, eta_s = _slowest(plan)
    if eta_s is None:
        lines.append("ETA: unknown without --handler-rate; it is shown once the workers run")
    elif math.isinf(eta_s):
        lines.append(f"ETA: never; partition {slowest} gets more than its workers finish: more workers are needed")
    else:
        lines.append(f"ETA: {duration_text(eta_s)}, decided by partition {slowest}")
    return lines


def _uneven(plan: Plan) -> str:
    """Says when equal work meets unequal shares: then the slowest partition decides, and more targets would help."""
    counts = Counter(len(targets) for targets in plan.allotments.values())
    equal = max(plan.backlog.values()) <= NEARLY_EQUAL * min(plan.backlog.values())
    if len(counts) < 2 or not equal:
        return ""
    whole = math.lcm(len(plan.start), plan.settings.workers)
    return f": the slowest decides; {whole} targets would be even"


def _slowest(plan: Plan) -> tuple[int, float | None]:
    etas = {partition: plan.eta_s(partition) for partition in plan.start}
    if any(eta is None for eta in etas.values()):
        return 0, None
    return max(((p, eta) for p, eta in etas.items() if eta is not None), key=lambda pair: pair[1])


def _eta(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return "never" if math.isinf(seconds) else duration_text(seconds)


def _plain(seconds: float | None) -> float | str | None:
    if seconds is None:
        return None
    return "never" if math.isinf(seconds) else round(seconds, 1)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
