"""
What a plain forward looks at before its lanes start: is it allowed, where does it begin, where does it end.

Everything here only reads. The group is the forwarder's own: its offsets say what was
carried to *one* target, so a group that has members, or that carried to another
target before, is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fanout.config.forward import ForwardSettings
from fanout.config.selection import Selection
from fanout.config.when import When, resolve
from fanout.errors import ConfigError, RefusedError

from .groups import Group
from .names import forward_prefix
from .ports import Cluster, OpenTransaction
from .standstill import describe
from .tally import TallyNote, parse_note, zero_note

if TYPE_CHECKING:
    from .skip import Skipped

__all__ = [
    "OLDEST_PRODUCE",
    "Above",
    "Carry",
    "Errand",
    "LeftOut",
    "Pace",
    "commit_start",
    "is_finished",
    "prepare",
    "require_transactions",
]

OLDEST_PRODUCE = 10
"""Came with Kafka 3.7, whose brokers are the first to look at the transaction of an offset as at that of a record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Records and bytes a second that all lanes of this process may carry, and how long a commit waits for more.

    None: no bound, and the engine's own interval. of_group: the bounds hold for all processes that share the lanes.
    """

    max_rate: float | None = None
    max_bytes: float | None = None
    commit_ms: int | None = None
    of_group: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """What the user asked for. `end` None follows the source; `When("latest")` is the last stable offset now.

    share: other processes carry lanes of the same group.
    """

    source: Selection
    target: str
    group: str
    start: When | None
    end: When | None
    route: str
    partitioner: str
    origin: str
    compression: str
    delivery: str = "exactly-once"
    share: bool = False
    pace: Pace = Pace()


@dataclass(frozen=True, kw_only=True, slots=True)
class Above:
    """What lies above the last stable offset of one partition, and the open transactions that hold it there."""

    partition: int
    stable: int
    high_watermark: int
    holders: Sequence[OpenTransaction]

    def __str__(self) -> str:
        held = ", ".join(map(describe, self.holders))
        offsets = f"offsets {self.stable} to {self.high_watermark - 1}"
        return f"partition {self.partition}: {offsets} lie in transactions that are open: {held or 'just ended'}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Offsets `start` to `end - 1` of a source partition that no lane has carried: a user said so."""

    topic: str
    partition: int
    start: int
    end: int

    def __str__(self) -> str:
        last = self.end - 1
        offsets = f"offset {last}" if last == self.start else f"offsets {self.start} to {last}"
        return f"{self.topic}/{self.partition} {offsets}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Carry:
    """Settings the engine can start with, and what they leave behind.

    begin: where each lane goes on or starts.
    skipped: broken batches that the user had left out before the lanes start.
    left_out: those and all left out before, as the group remembers them.
    """

    settings: ForwardSettings
    begin: Mapping[int, int]
    above: Sequence[Above] = field(default=())
    skipped: Sequence[Skipped] = field(default=())
    left_out: Sequence[LeftOut] = field(default=())


def require_transactions(cluster: Cluster) -> None:
    """Raises RefusedError when the brokers are too old for transactions that can promise exactly-once."""
    _, newest = cluster.api_versions().get("Produce", (0, 0))
    if newest < OLDEST_PRODUCE:
        raise RefusedError(
            f"the brokers take Produce up to version {newest}, and exactly-once needs {OLDEST_PRODUCE}",
            "use Apache Kafka 3.7 or newer",
        )


def prepare(errand: Errand, cluster: Cluster, group: Group, properties: Mapping[str, str]) -> Carry:
    """Looks at the cluster and returns what to start. Raises ConfigError or RefusedError; changes nothing."""
    source = errand.source.topic
    if source == errand.target:
        raise ConfigError("--to-topic", f"{source} cannot be carried into itself")
    if errand.share and errand.source.partitions is not None:
        raise ConfigError("-t", f"--share shares the whole topic: write -t {source}")
    if errand.delivery == "exactly-once":
        require_transactions(cluster)
    partitions = errand.source.of(cluster.partitions(source), "-t")
    cluster.partitions(errand.target)
    _require_idle(group)
    committed = _own_commits(errand, cluster)
    start = _starts(errand, cluster, partitions, committed)
    left_out = [LeftOut(source, p, *pair) for p in partitions if p in committed for pair in committed[p][1].skipped]
    end, above = _ends(errand, cluster, partitions)
    settings = ForwardSettings(
        properties=dict(properties),
        source=source,
        target=errand.target,
        group=errand.group,
        transactional_prefix=forward_prefix(errand.group),
        partitions=partitions,
        start=start,
        end=end,
        route=errand.route,
        partitioner=errand.partitioner,
        allotments=None,
        origin=errand.origin,
        compression=errand.compression,
        delivery=errand.delivery,
        max_rate=errand.pace.max_rate,
        max_bytes=errand.pace.max_bytes,
    )
    if errand.pace.commit_ms is not None:
        settings = replace(settings, transaction_ms=errand.pace.commit_ms)
    return Carry(
        settings=settings,
        begin={p: committed[p][0] if p in committed else start[p] for p in partitions},
        above=above,
        left_out=left_out,
    )


def commit_start(carry: Carry, cluster: Cluster) -> None:
    """Commits where lanes begin that have no commit yet.

    Without it, a forwarder that ends before its first commit and is started again with `--from latest` would begin
    at a later place, and pass over what came meanwhile.
    """
    settings = carry.settings
    if settings.start:
        note = zero_note(cluster.topic_id(settings.target))
        cluster.commit(settings.group, settings.source, {p: (offset, note) for p, offset in settings.start.items()})


def is_finished(carry: Carry, cluster: Cluster) -> bool:
    """Whether every partition has been carried to its end, by whichever process."""
    settings = carry.settings
    done = cluster.last_committed(settings.group, settings.source)
    return settings.end is not None and all(p in done and done[p][0] >= end for p, end in settings.end.items())


def _require_idle(group: Group) -> None:
    if not group.is_idle:
        named = "; ".join(map(str, group.members)) or "none shown yet"
        raise RefusedError(
            f"group {group.name} is {group.state} and has members ({named})",
            "give the forwarder a group of its own: its offsets say what was carried, not what was handled",
        )


def _own_commits(errand: Errand, cluster: Cluster) -> dict[int, tuple[int, TallyNote]]:
    """The group's commits on the source, all made by us for this very target."""
    commits = {}
    target_id = cluster.topic_id(errand.target)
    # Not waiting: a forwarder that was killed left a transaction open, which ends when our lanes take over and not
    # before. Each lane reads its place again, stable, once it has.
    committed = cluster.last_committed(errand.group, errand.source.topic)
    for partition, (offset, metadata) in sorted(committed.items()):
        at = f"group {errand.group} has offset {offset} on {errand.source.topic}/{partition}"
        note = parse_note(metadata)
        if note is None:
            raise RefusedError(f"{at}, committed by something else", "give the forwarder a group of its own")
        if note.tag != target_id:
            raise RefusedError(
                f"{at} for another target, topic id {note.tag}; {errand.target} is {target_id}",
                "use one group for each target (a topic made again under its old name is another target)",
            )
        commits[partition] = offset, note
    return commits


def _starts(errand: Errand, cluster: Cluster, partitions: Sequence[int], committed: Collection[int]) -> dict[int, int]:
    missing = [partition for partition in partitions if partition not in committed]
    if not missing:
        return {}
    if errand.start is None or errand.start.kind == "committed":
        named = ", ".join(map(str, missing))
        raise ConfigError(
            "--from",
            f"group {errand.group} has no commit on {errand.source.topic} partition {named}: say where to begin "
            "(earliest, latest, a time or @OFFSET), or check the group's name",
        )
    places = resolve(errand.start, errand.source.topic, cluster)
    return {partition: places[partition] for partition in missing}


def _ends(
    errand: Errand, cluster: Cluster, partitions: Sequence[int]
) -> tuple[dict[int, int] | None, tuple[Above, ...]]:
    if errand.end is None:
        return None, ()
    topic = errand.source.topic
    stable = cluster.offsets(topic, "stable")
    high = cluster.offsets(topic, "latest")
    wanted = stable if errand.end.kind == "latest" else resolve(errand.end, topic, cluster)
    above = tuple(
        Above(
            partition=partition,
            stable=stable[partition],
            high_watermark=high[partition],
            holders=tuple(cluster.stuck_by(topic, partition)),
        )
        for partition in partitions
        if high[partition] > stable[partition] and wanted[partition] >= stable[partition]
    )
    return {partition: min(wanted[partition], stable[partition]) for partition in partitions}, above
