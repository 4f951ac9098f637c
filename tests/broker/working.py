"""What the worker tests share: records in, workers over them, and what their handlers logged."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from fanout._fanout import Cluster
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import RunWork, WorkSettings

HERE = Path(__file__).parent
APP = "work_app:app"


class Line(NamedTuple):
    """One line of the handlers' log."""

    kind: str
    pid: int
    key: str
    sequence: int
    id: str
    attempt: int


@dataclass
class Handled:
    """What handlers logged; each look reads what came since the one before."""

    path: Path
    _lines: list[Line] = field(default_factory=list)
    _read: int = 0

    def lines(self) -> list[Line]:
        """Every whole line so far."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as log:
            log.seek(self._read)
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        self._lines += [
            Line(kind, int(pid), key, int(sequence), name, int(attempt))
            for kind, pid, key, sequence, name, attempt in map(str.split, whole.decode().splitlines())
        ]
        return self._lines

    def ended(self) -> Counter[str]:
        """How often each record was handled to its end, by id."""
        return Counter(line.id for line in self.lines() if line.kind == "end")

    def order(self) -> Order:
        """What ran at once and what came out of order."""
        return order_of(self.lines())


@dataclass
class Order:
    """Faults and figures of a log whose processes were not killed."""

    two_of_a_key: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    most_at_once: int = 0


def order_of(lines: Iterable[Line]) -> Order:
    """Replays the log. Records without a key (`-`) have no order."""
    found, running, last, now = Order(), set[str](), dict[str, int](), 0
    for line in lines:
        now += 1 if line.kind == "begin" else -1
        found.most_at_once = max(found.most_at_once, now)
        if line.key == "-":
            continue
        if line.kind == "end":
            running.discard(line.key)
            continue
        if line.key in running:
            found.two_of_a_key.append(line.id)
        if line.sequence <= last.get(line.key, -1):
            found.out_of_order.append(line.id)
        running.add(line.key)
        last[line.key] = line.sequence
    return found


def writer(bootstrap: str) -> Producer:
    """Keeps the order of what it writes, whatever has to be sent again."""
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True}
    return Producer({**settings, "queue.buffering.max.messages": 1_000_000})


def write(bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, int]]) -> None:
    """Appends records of a key and a sequence number."""
    producer = writer(bootstrap)
    for key, sequence in records:
        producer.produce(topic, key=key, value=str(sequence).encode())
    assert producer.flush(60) == 0


def settings_of(bootstrap: str, group: str, consumer: Mapping[str, str] | None = None, **more: Any) -> WorkSettings:
    """Workers of the test's application."""
    clients = Clients(common=Properties({"bootstrap.servers": bootstrap}), consumer=Properties(consumer or {}))
    return WorkSettings(clients=clients, app=APP, app_dir=str(HERE), group=group, **more)


def app_environment(log: Path, topic: str, behaviour: str, **more: Any) -> str:
    """`FANOUT_TEST_APP`."""
    return json.dumps({"log": str(log), "topic": topic, "behaviour": behaviour, **more})


def work(group: str, *options: str) -> tuple[str, ...]:
    """Arguments of `fanout` that run the test's application."""
    return ("work", APP, "--app-dir", str(HERE), "-g", group, *options)


def children_of(pid: int) -> list[int]:
    """Process ids of the workers of a supervisor."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in _words_of(path)]


def _words_of(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []  # that thread has ended since it was listed


def kill(pid: int) -> bool:
    """SIGKILL; whether the process was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether the process still runs; a zombie of a dead parent does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Where the group stands."""
    return {p: offset for p, (offset, _) in Cluster({"bootstrap.servers": bootstrap}).committed(group, topic).items()}


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """High watermarks."""
    return Cluster({"bootstrap.servers": bootstrap}).offsets(topic, "latest")


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 120) -> None:
    """Looks again and again. Raises AssertionError when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)


@dataclass
class TempTopic:
    """A temp topic as a run's lanes leave it: `sources` by target partition, and where each record went."""

    name: str
    source: str
    run: str
    group: str
    sources: dict[int, int]
    origins: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Target partition and offset by the record's id."""
    acknowledged: dict[tuple[bytes, int], tuple[int, int]] = field(default_factory=dict)
    """Source partition and offset by key and sequence."""
    _next_offset: Counter[int] = field(default_factory=Counter)
    _next_sequence: Counter[bytes] = field(default_factory=Counter)

    def fill(self, bootstrap: str, count: int, keys: int) -> None:
        """Carries `count` records more: a key keeps its source partition and its target, sources count from 0."""
        producer = writer(bootstrap)
        by_source: dict[int, list[int]] = {}
        for target, source in sorted(self.sources.items()):
            by_source.setdefault(source, []).append(target)
        for number in range(count):
            key = b"key-%d" % (number % keys)
            source = number % keys % len(by_source)
            target = by_source[source][number % keys // len(by_source) % len(by_source[source])]
            self.send(producer, target, (key, self._next_sequence[key]), (source, self._next_offset[source]))
            self._next_offset[source] += 1
            self._next_sequence[key] += 1
        assert producer.flush(60) == 0

    def send(self, producer: Producer, target: int, record: tuple[bytes, int], origin: tuple[int, int]) -> None:
        """Writes one record with its origin."""

        def delivered(error: KafkaError | None, message: Message[bytes, bytes]) -> None:
            assert error is None
            offset = message.offset()
            assert offset is not None
            self.origins[f"{self.source}/{origin[0]}/{origin[1]}"] = (target, offset)

        self.acknowledged[record] = origin
        producer.produce(
            self.name,
            key=record[0],
            value=str(record[1]).encode(),
            partition=target,
            headers=[("fanout.origin", struct.pack(">iq", *origin))],
            on_delivery=delivered,
        )
        producer.poll(0)

    def begin(self, bootstrap: str) -> None:
        """Commits the start of the run, as the drain does."""
        zero = f"fanout1 0 {0:016x} {self.run}"
        cluster = Cluster({"bootstrap.servers": bootstrap})
        cluster.commit(self.group, self.name, dict.fromkeys(self.sources, (0, zero)))

    def work(self) -> RunWork:
        """What the run's workers are told."""
        return RunWork(run=self.run, source=self.source, topic=self.name, sources=self.sources)

    def is_finished(self, bootstrap: str) -> bool:
        """Whether the group has committed everything."""
        return committed(bootstrap, self.group, self.name) == ends(bootstrap, self.name)


def mix64(partition: int, offset: int) -> int:
    """What a record adds to the conservation sum, written once more after DESIGN.md."""
    z = (partition * 0x9E3779B97F4A7C15 + offset) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31
