"""In-memory twins of what a drain talks to: logs with transactions, groups, a forwarder and workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fanout.config.forward import ForwardSettings
from fanout.drain.ports import WorkOrder
from fanout.errors import FanoutError, RefusedError, UnreachableError, WorkError
from fanout.kafka.groups import Group, Member
from fanout.kafka.tally import NOTHING, Tally, parse_note
from fanout.kafka.topics import Topic, TopicSpec

MASK = 2**64 - 1


def mix(partition: int, offset: int) -> int:
    """The number one record adds to a conservation sum, written down a second time."""
    z = (partition * 0x9E3779B97F4A7C15 + offset) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def tally_of(origins: Sequence[tuple[int, int]]) -> Tally:
    return Tally(len(origins), sum(mix(*origin) for origin in origins) % 2**64)


@dataclass
class Entry:
    """One offset: a record that is committed, open or aborted, or a marker."""

    kind: Literal["committed", "open", "aborted", "marker"]
    origin: tuple[int, int] | None = None


@dataclass(frozen=True)
class Found:
    """`FirstRecord`."""

    state: Literal["record", "end", "unknown"]
    offset: int
    origin: tuple[int, int] | None = None


@dataclass(frozen=True)
class Held:
    """`OpenTransaction`."""

    first_offset: int
    producer_id: int = 4711
    epoch: int = 3
    last_write_ms: int = 0
    transactional_id: str | None = None
    began_ms: int | None = None


@dataclass
class MemoryCluster:
    """Topics as lists of entries, groups as their commits. Thread-safe as the real one: one call at a time."""

    topics: dict[str, list[list[Entry]]] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    commits: dict[tuple[str, str], dict[int, tuple[int, str]]] = field(default_factory=dict)
    members: dict[str, list[Member]] = field(default_factory=dict)
    unstable: set[str] = field(default_factory=set)
    version: int = 2
    newest_produce: int = 13
    ids: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    deleted_groups: list[str] = field(default_factory=list)
    taken_over: list[str] = field(default_factory=list)
    log_start: dict[tuple[str, int], int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    before: Callable[[str], None] = lambda _call: None

    def add_topic(self, name: str, partitions: int, **settings: str) -> None:
        self.topics[name] = [[] for _ in range(partitions)]
        self.ids[name] = f"id-{len(self.ids)}-{name}"
        self.settings[name] = settings

    def append(self, topic: str, partition: int, *entries: Entry) -> None:
        with self.lock:
            self.topics[topic][partition].extend(entries)

    # The control door.

    def transaction_version(self) -> int:
        return self.version

    def api_versions(self) -> dict[str, tuple[int, int]]:
        return {"Produce": (0, self.newest_produce)}

    def partitions(self, topic: str) -> int:
        if topic not in self.topics:
            raise RefusedError(f"topic {topic} does not exist", "make it")
        return len(self.topics[topic])

    def topic_id(self, topic: str) -> str:
        return self.ids[topic]

    def offsets(self, topic: str, at: str | int) -> dict[int, int]:
        self.before(f"offsets {topic} {at}")
        with self.lock:
            logs = self.topics[topic]
            if at == "earliest":
                return {p: self.log_start.get((topic, p), 0) for p in range(len(logs))}
            if at == "stable":
                return {p: _stable(log) for p, log in enumerate(logs)}
            return {p: len(log) for p, log in enumerate(logs)}

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        self.before(f"committed {group}")
        with self.lock:
            if group in self.unstable:
                raise UnreachableError(f"the offsets of {group} are unstable")
            return dict(self.commits.get((group, topic), {}))

    def last_committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        self.before(f"last_committed {group}")
        with self.lock:
            return dict(self.commits.get((group, topic), {}))

    def commit(self, group: str, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        self.before(f"commit {group}")
        with self.lock:
            self.commits.setdefault((group, topic), {}).update(offsets)

    def broken_batch(self, topic: str, partition: int, offset: int) -> tuple[int, int | None, str] | None:
        assert self.topics[topic][partition][offset:]
        return None  # what is kept as entries has no bytes to be damaged

    def take_over(self, transactional_id: str) -> None:
        self.before("take_over")
        self.taken_over.append(transactional_id)

    def first_record(self, topic: str, partition: int, start: int, end: int) -> Found:
        self.before("first_record")
        with self.lock:
            for offset, entry in enumerate(self.topics[topic][partition][start:end], start=start):
                if entry.kind == "open":
                    return Found("unknown", offset)
                if entry.kind == "committed":
                    return Found("record", offset, entry.origin)
            return Found("end", end)

    def count(self, topic: str, partition: int, start: int, end: int) -> tuple[int, int]:
        self.before("count")
        log = self.topics[topic][partition]
        found = [(partition, offset) for offset in range(start, end) if log[offset].kind == "committed"]
        tally = tally_of(found)
        return tally.count, tally.sum

    def delete_topic(self, topic_id: str) -> None:
        self.before("delete_topic")
        [name] = [name for name, known in self.ids.items() if known == topic_id]
        del self.topics[name], self.ids[name]
        self.deleted.append(name)

    def stuck_by(self, topic: str, partition: int) -> list[Held]:
        stable = _stable(self.topics[topic][partition])
        return [Held(first_offset=stable)] if stable < len(self.topics[topic][partition]) else []


def _stable(log: Sequence[Entry]) -> int:
    return next((offset for offset, entry in enumerate(log) if entry.kind == "open"), len(log))


@dataclass
class MemoryTopics:
    """`Topics` over the same topics. `instead`: settings that read back other than asked for are refused."""

    cluster: MemoryCluster
    refuse: str | None = None

    def names(self) -> list[str]:
        return sorted(self.cluster.topics)

    def describe(self, name: str) -> Topic | None:
        if name not in self.cluster.topics:
            return None
        return Topic(name=name, partitions=len(self.cluster.topics[name]), replication=3)

    def settings(self, name: str) -> dict[str, str]:
        return self.cluster.settings[name]

    def make(self, spec: TopicSpec) -> Topic:
        self.cluster.before("make")
        self.cluster.add_topic(spec.name, spec.partitions, **spec.settings)
        if self.refuse:
            raise RefusedError(self.refuse, "the cluster overrides it")
        return Topic(name=spec.name, partitions=spec.partitions, replication=spec.replication)


@dataclass
class MemoryGroups:
    """`Groups` over the same groups."""

    cluster: MemoryCluster

    def describe(self, name: str) -> Group:
        members = self.cluster.members.get(name, [])
        return Group(name=name, state="STABLE" if members else "EMPTY", members=members)

    def delete(self, name: str) -> None:
        self.cluster.deleted_groups.append(name)


@dataclass
class Lane:
    """`LaneStats` and `LaneEnd` in one."""

    partition: int
    position: int
    state: str = "running"
    records: int = 0
    bytes: int = 0
    commits: int = 0
    renewals: int = 0
    resends: int = 0
    stripped: int = 0
    throttled_ms: int = 0
    began: int = 0
    forwarded: int = 0
    count: int = 0
    sum: int = 0
    error: FanoutError | None = None
    outcome: str = "stopped"
    batches: dict[str, int] = field(default_factory=dict)


class MemoryForwarder:
    """Carries committed records, a few at a time, with the tally in each commit. `spoil` may alter what is written."""

    def __init__(
        self,
        cluster: MemoryCluster,
        settings: ForwardSettings,
        spoil: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = lambda origins: origins,
    ) -> None:
        self.settings = settings
        self._cluster = cluster
        self._spoil = spoil
        self._stop = threading.Event()
        starts = cluster.commits[settings.group, settings.source]
        self.lanes = {p: Lane(partition=p, position=starts[p][0]) for p in settings.partitions}

    def run(self) -> list[Lane]:
        while not self._stop.wait(0.001):
            for lane in self.lanes.values():
                self._step(lane)
        for lane in self.lanes.values():
            lane.state = "ended"
        return list(self.lanes.values())

    def _step(self, lane: Lane) -> None:
        cluster, settings = self._cluster, self.settings
        with cluster.lock:
            log = cluster.topics[settings.source][lane.partition]
            end = min(lane.position + 50, _stable(log))
            origins = [(lane.partition, o) for o in range(lane.position, end) if log[o].kind == "committed"]
            assert settings.allotments is not None
            targets = settings.allotments[lane.partition]
            for origin in self._spoil(origins):
                cluster.append(settings.target, targets[origin[1] % len(targets)], Entry("committed", origin))
            touched = {targets[origin[1] % len(targets)] for origin in origins}
            for target in touched:
                cluster.append(settings.target, target, Entry("marker"))
            note = parse_note(cluster.commits[settings.group, settings.source][lane.partition][1])
            assert note is not None
            tally = note.tally + tally_of(origins)
            lane.position, lane.records = end, lane.records + len(origins)
            metadata = f"fanout1 {tally.count} {tally.sum:016x} {note.tag}"
            cluster.commit(settings.group, settings.source, {lane.partition: (end, metadata)})

    def stop(self) -> None:
        self._stop.set()

    def abort(self) -> None:
        self._stop.set()

    def stats(self) -> list[Lane]:
        return list(self.lanes.values())


class MemoryWorkers:
    """Settles committed records of every target, `pace` at a time."""

    def __init__(self, cluster: MemoryCluster, order: WorkOrder, pace: int = 20) -> None:
        self.handled: list[tuple[int, int]] = []
        self.order = order
        self.trouble: WorkError | None = None
        self.stopped = 0
        self.paused = False
        self._cluster = cluster
        self._pace = pace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> list[str]:
        if self.trouble is not None:
            raise self.trouble
        return []

    def restarts(self) -> int:
        return 0

    def stop(self) -> None:
        self.stopped += 1
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.001):
            if self.paused:
                continue
            for target in range(len(self._cluster.topics[self.order.names.temp_topic])):
                self._settle(target)

    def _settle(self, target: int) -> None:
        names, cluster = self.order.names, self._cluster
        with cluster.lock:
            offset, metadata = cluster.commits[names.work_group, names.temp_topic][target]
            log = cluster.topics[names.temp_topic][target]
            end = min(offset + self._pace, _stable(log))
            origins = [entry.origin for entry in log[offset:end] if entry.kind == "committed" and entry.origin]
            self.handled += origins
            note = parse_note(metadata)
            assert note is not None
            tally = (note.tally if note else NOTHING) + tally_of(origins)
            written = f"fanout1 {tally.count} {tally.sum:016x} {note.tag}"
            cluster.commit(names.work_group, names.temp_topic, {target: (end, written)})
