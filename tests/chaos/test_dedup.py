"""Workers that share a store of claims, killed and stopped: who takes over, how soon, and what runs twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka import Producer

from broker.working import committed, ends, wait_until
from conftest import unique_name
from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.dedup.store import OWNER_LIFE_S
from fanout.work.supervisor import Supervisor
from redis_server import RedisServer

if TYPE_CHECKING:
    from conftest import Kafka, Topics

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


def test_what_a_killed_worker_had_in_hand_is_taken_over_once_its_owner_key_has_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3_000
    monkeypatch.setenv("ONCE_NAP_S", "2")
    stage.fill(count)
    with stage.working(2) as supervisor:
        wait_until(lambda: any(len(stage.in_hand(pid)) >= 1_000 for pid in supervisor.pids()), "1,000 in hand")
        victim = max(supervisor.pids(), key=lambda pid: len(stage.in_hand(pid)))
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        in_hand = stage.in_hand(victim)
        wait_until(lambda: in_hand <= begun_by_others(stage, victim), "taken over")
        took_over_s = time.monotonic() - killed_at
        wait_until(stage.is_finished, "finished")
        stats = supervisor.poll().processed[stage.topic]
    ended = stage.ended()
    twice = {name for name, times in ended.items() if times > 1}
    mine = {line.id for line in stage.lines() if line.pid == victim}
    print(
        f"records={count} lost={count - len(ended)} in_hand={len(in_hand)} taken_over_s={took_over_s:.1f} "
        f"ended_twice={len(twice)} repeats_suppressed={stats.get('repeated', 0)} in_sink={stage.in_sink()}"
    )
    assert len(in_hand) >= 900, "the kill came too late to tell anything"
    assert len(ended) == stage.in_sink() == count
    assert twice <= mine, "only the killed one may have left effects that were not marked"
    assert took_over_s < 30


def begun_by_others(stage: Stage, pid: int) -> set[str]:
    return {line.id for line in stage.lines() if line.pid != pid and line.kind == "begin"}


def test_a_worker_stopped_for_longer_than_its_owner_key_lives_is_refused_and_the_sink_has_each_effect_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 400
    monkeypatch.setenv("ONCE_NAP_S", "1")
    stage.fill(count)
    with stage.working(2) as supervisor:
        wait_until(lambda: any(len(stage.in_hand(pid)) >= 100 for pid in supervisor.pids()), "100 in hand")
        victim = max(supervisor.pids(), key=lambda pid: len(stage.in_hand(pid)))
        os.kill(victim, signal.SIGSTOP)
        try:
            stopped_at = time.monotonic()
            in_hand = stage.in_hand(victim)
            wait_until(lambda: in_hand <= begun_by_others(stage, victim), "taken over")
            wait_until(lambda: stage.ended().keys() >= in_hand, "handled by its heirs")
            away_s = time.monotonic() - stopped_at
        finally:
            os.kill(victim, signal.SIGCONT)
        wait_until(lambda: not stage.in_hand(victim), "the stopped one went on")
        wait_until(stage.is_finished, "finished")
        lost = wait_for_lost(supervisor, stage.topic)
    ended = stage.ended()
    print(
        f"records={count} lost={count - len(ended)} in_hand={len(in_hand)} away_s={away_s:.1f} refused={lost} "
        f"most_effects={max(ended.values())} in_sink={stage.in_sink()}"
    )
    assert away_s > OWNER_LIFE_S / 2
    assert len(in_hand) > 0
    assert len(ended) == stage.in_sink() == count
    assert max(ended.values()) == 2


def wait_for_lost(supervisor: Supervisor, topic: str) -> int:
    """Completions that were refused or came after another one's, as reported."""

    def refused() -> int:
        counts = supervisor.poll().processed[topic]
        return counts.get("dedup.lost", 0) + counts.get("dedup.already", 0)

    wait_until(refused, "a completion that comes too late is refused")
    return refused()
