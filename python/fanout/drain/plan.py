"""
What a drain would do, with its numbers, and everything that stands in its way.

Only reads. What is refused here is refused before anything is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fanout.config.when import resolve
from fanout.errors import ConfigError, RefusedError
from fanout.kafka.carry import require_transactions
from fanout.kafka.groups import Group
from fanout.kafka.names import RunNames, is_temp_topic, new_run_id, runs_of
from fanout.kafka.topics import Topic, TopicSpec

from .allotment import allot
from .ports import Doors
from .settings import DrainSettings

__all__ = ["Plan", "drains_note", "make_plan", "refuse_second_run", "require_idle"]

SAMPLE_S = 2.0
ROOM_BYTES = 1024 * 1024
"""Room for the origin header of every record of a batch that just fitted its source."""

LARGE_BYTES = 64 * 1024 * 1024
"""A compressed record may exceed its source's limit once it is unpacked."""

NEVER = str(2**63 - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A run that may begin.

    start: C, the old group's offset of each source partition. committed: those that the group really had.
    stable: last stable offsets when the plan was made. inflow: records a second, measured.
    """

    settings: DrainSettings
    names: RunNames
    source_id: str
    temp: TopicSpec
    start: Mapping[int, int]
    committed: Mapping[int, int]
    stable: Mapping[int, int]
    inflow: Mapping[int, float]
    allotments: Mapping[int, Sequence[int]]
    compacted: bool

    @property
    def backlog(self) -> dict[int, int]:
        """Offsets between each start and the last stable offset: at least the records that wait."""
        return {p: max(0, self.stable[p] - self.start[p]) for p in self.start}

    def capacity(self, partition: int) -> float | None:
        """Records a second that the workers of one source partition finish; None when no rate is known."""
        if self.settings.handler_rate is None:
            return None
        targets = len(self.allotments[partition])
        # A target is read by one worker, and a worker reads as many targets as the group hands it.
        workers = min(targets, self.settings.workers * targets / self.temp.partitions)
        return workers * self.settings.handler_rate

    def eta_s(self, partition: int) -> float | None:
        """Seconds until this partition is empty; infinite when more arrives than is finished; None when unknown."""
        capacity = self.capacity(partition)
        if capacity is None:
            return None
        backlog, spare = self.backlog[partition], capacity - self.inflow[partition]
        if backlog == 0:
            return 0.0
        return backlog / spare if spare > 0 else float("inf")


def make_plan(
    settings: DrainSettings, doors: Doors, now: datetime, sleep: Callable[[float], None] = time.sleep
) -> Plan:
    """Looks at everything and returns the plan. Raises ConfigError or RefusedError, naming what is in the way."""
    require_transactions(doors.cluster)
    source = _source(settings, doors)
    names = RunNames(settings.topic, new_run_id(now))
    doors.check_app(settings, names, doors.cluster)
    group = doors.groups.describe(settings.group)
    require_idle(group)
    refuse_second_run(settings, doors)
    committed = {p: offset for p, (offset, _) in doors.cluster.committed(settings.group, settings.topic).items()}
    start = _start(settings, doors, source, committed)
    _refuse_outside(settings, doors, start)
    before = doors.cluster.offsets(settings.topic, "latest")
    sleep(SAMPLE_S)
    after = doors.cluster.offsets(settings.topic, "latest")
    stable = doors.cluster.offsets(settings.topic, "stable")
    inflow = {p: (after[p] - before[p]) / SAMPLE_S for p in start}
    in_force = doors.topics.settings(settings.topic)
    backlog = {p: max(0, stable[p] - start[p]) for p in start}
    return Plan(
        settings=settings,
        names=names,
        source_id=doors.cluster.topic_id(settings.topic),
        temp=_temp(settings, names, source, in_force),
        start=start,
        committed=committed,
        stable=stable,
        inflow=inflow,
        allotments=allot(_work(settings, backlog, inflow), settings.targets),
        compacted="compact" in in_force.get("cleanup.policy", ""),
    )


def require_idle(group: Group) -> None:
    """Raises RefusedError naming the members of a group that is not Empty."""
    if not group.is_idle:
        named = "; ".join(map(str, group.members)) or "none shown yet"
        raise RefusedError(
            f"group {group.name} is {group.state}, not EMPTY: {named}",
            "stop its consumers first, and wait for the session timeout of static members",
        )


def refuse_second_run(settings: DrainSettings, doors: Doors, own: str | None = None) -> None:
    """Raises RefusedError naming a run of the same group, other than our `own`, whose temp topic is there."""
    for run in runs_of(settings.topic, doors.topics.names()):
        if run.run == own:
            continue
        noted = doors.cluster.committed(run.work_group, settings.topic).get(0)
        if noted is None or noted[1] == drains_note(settings.group):
            raise RefusedError(
                f"run {run.run} of group {settings.group} on {settings.topic} is not over: {run.temp_topic} is there",
                "wait for it; if it was interrupted, its group stands at what was finished, and the topic can be "
                f"deleted: kafka-topics --delete --topic {run.temp_topic}",
            )


def drains_note(group: str) -> str:
    """What a run leaves in its work group's metadata, so that a later one knows whom it drained."""
    return f"fanout1 drains {group}"


def _source(settings: DrainSettings, doors: Doors) -> Topic:
    found = doors.topics.describe(settings.topic)
    if found is None:
        raise RefusedError(f"topic {settings.topic} does not exist", "check the name and the cluster: fanout doctor")
    if is_temp_topic(settings.topic):
        raise RefusedError(f"topic {settings.topic} is itself a run's temp topic", "drain the topic it came from")
    return found


def _start(settings: DrainSettings, doors: Doors, source: Topic, committed: Mapping[int, int]) -> dict[int, int]:
    missing = [p for p in range(source.partitions) if p not in committed]
    if missing and (settings.start is None or settings.start.kind == "committed"):
        if len(missing) == source.partitions:
            raise RefusedError(
                f"group {settings.group} has no offsets on {settings.topic}",
                "check its name; to begin without any, say where: --from earliest",
            )
        named = ", ".join(map(str, missing))
        raise ConfigError("--from", f"group {settings.group} has no offset on partition {named}: say where to begin")
    places = resolve(settings.start, settings.topic, doors.cluster) if missing and settings.start else {}
    return {p: committed[p] if p in committed else places[p] for p in range(source.partitions)}


def _refuse_outside(settings: DrainSettings, doors: Doors, start: Mapping[int, int]) -> None:
    """An offset below the log's start means records were lost unread: never passed over in silence."""
    first, last = doors.cluster.offsets(settings.topic, "earliest"), doors.cluster.offsets(settings.topic, "latest")
    gone = [f"{settings.topic}/{p} offsets {start[p]} to {first[p] - 1}" for p in start if start[p] < first[p]]
    if gone:
        raise RefusedError(
            f"expired before group {settings.group} read them: {', '.join(gone)}",
            "they are lost; move the group to the log's start once that is dealt with, then drain",
        )
    beyond = [f"{settings.topic}/{p} at {start[p]}, its end is {last[p]}" for p in start if start[p] > last[p]]
    if beyond:
        raise RefusedError(
            f"group {settings.group} stands behind the end: {', '.join(beyond)}",
            "the topic was made again, or the group was moved: put its offsets right first",
        )


def _temp(settings: DrainSettings, names: RunNames, source: Topic, in_force: Mapping[str, str]) -> TopicSpec:
    limit = max(int(in_force.get("max.message.bytes", "0")) + ROOM_BYTES, LARGE_BYTES)
    return TopicSpec(
        name=names.temp_topic,
        partitions=settings.targets,
        replication=source.replication,
        settings={
            "cleanup.policy": "delete",
            "compression.type": "producer",
            "max.message.bytes": str(limit),
            "message.timestamp.after.max.ms": NEVER,
            "message.timestamp.before.max.ms": NEVER,
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": in_force.get("min.insync.replicas", "1"),
            "retention.bytes": "-1",
            "retention.ms": "-1",
            "unclean.leader.election.enable": "false",
        },
    )


def _work(settings: DrainSettings, backlog: Mapping[int, int], inflow: Mapping[int, float]) -> dict[int, float]:
    """What each source partition will bring until the end: its backlog, and its inflow for as long as that takes."""
    waiting, arriving = sum(backlog.values()), sum(inflow.values())
    spare = settings.workers * settings.handler_rate - arriving if settings.handler_rate else arriving
    # Without a rate, the workers are taken to be twice as fast as the inflow: backlog and inflow then count alike.
    eta_s = waiting / spare if spare > 0 else 0.0
    return {p: backlog[p] + inflow[p] * eta_s for p in backlog}
