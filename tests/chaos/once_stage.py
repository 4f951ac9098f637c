"""A topic of records, a store of claims and a sink, for workers that are to be killed and stopped."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka import Producer

from broker.working import committed, ends
from conftest import unique_name
from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.work.supervisor import Supervisor
from redis_server import RedisServer

if TYPE_CHECKING:
    from conftest import Kafka, Topics

__all__ = ["PARTITIONS", "Line", "Stage", "stage"]

APPS = Path(__file__).parent / "apps"
PARTITIONS = 4
SESSION_S = 6


class Line(NamedTuple):
    """One line of the handlers' log, and where it stands in it."""

    kind: str
    pid: int
    id: str


@dataclass(frozen=True)
class Stage:
    """A topic full of records, a store, and what the handlers left."""

    kafka: Kafka
    topic: str
    group: str
    log: Path
    sink: Path
    redis: RedisServer

    def fill(self, count: int) -> None:
        """Records without a key: all may run at once."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 20})
        for number in range(count):
            producer.produce(self.topic, value=b"%d" % number, partition=number % PARTITIONS)
        assert producer.flush(60) == 0

    @contextmanager
    def working(self, workers: int) -> Iterator[Supervisor]:
        """Supervised processes, killed at the end if they still run."""
        session = {"session.timeout.ms": str(SESSION_S * 1000), "partition.assignment.strategy": "cooperative-sticky"}
        common = Properties({"bootstrap.servers": self.kafka.bootstrap})
        settings = WorkSettings(
            clients=Clients(common=common, consumer=Properties(session)),
            app="once:app",
            app_dir=str(APPS),
            group=self.group,
            workers=workers,
            stop_s=5,
            dedup=DedupSettings(url=self.redis.url),
        )
        supervisor = Supervisor(settings)
        supervisor.check()
        supervisor.start()
        try:
            yield supervisor
        finally:
            supervisor.abort()

    def lines(self) -> list[Line]:
        """Every whole line so far."""
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        words = (line.split() for line in text[: text.rfind("\n") + 1].splitlines())
        return [Line(kind, int(pid), name) for kind, pid, name in words]

    def in_hand(self, pid: int) -> set[str]:
        """Records that this process has begun and not ended."""
        mine = [line for line in self.lines() if line.pid == pid]
        return {line.id for line in mine if line.kind == "begin"} - {line.id for line in mine if line.kind == "end"}

    def ended(self) -> Counter[str]:
        """Effects by record."""
        return Counter(line.id for line in self.lines() if line.kind == "end")

    def in_sink(self) -> int:
        """Effects that the conditional sink took."""
        with sqlite3.connect(self.sink) as sink:
            count: int = sink.execute("SELECT count(*) FROM effects").fetchone()[0]
        sink.close()
        return count

    def is_finished(self) -> bool:
        """Whether the group has committed everything."""
        return committed(self.kafka.bootstrap, self.group, self.topic) == ends(self.kafka.bootstrap, self.topic)


@pytest.fixture
def stage(kafka: Kafka, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    redis = RedisServer()
    redis.start()
    topic = topics("once", PARTITIONS)
    made = Stage(kafka, topic, unique_name("once"), tmp_path / "log", tmp_path / "sink.db", redis)
    with sqlite3.connect(made.sink) as sink:
        sink.execute("PRAGMA journal_mode = WAL")
        sink.execute("CREATE TABLE effects (partition INTEGER, offset INTEGER, PRIMARY KEY (partition, offset))")
    sink.close()
    monkeypatch.setenv("ONCE_TOPIC", topic)
    monkeypatch.setenv("ONCE_LOG", str(made.log))
    monkeypatch.setenv("ONCE_SINK", str(made.sink))
    yield made
    redis.remove()
