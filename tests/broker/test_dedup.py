"""Repeats on a real Kafka: ids that come again, groups that read again, runs that carry what was done before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from commands import fanout
from conftest import unique_name
from fanout.config.dedup import DedupSettings
from fanout.work.supervisor import Supervisor
from redis_server import RedisServer

from .working import TempTopic, settings_of, wait_until

if TYPE_CHECKING:
    from conftest import Kafka, Topics

APPS = Path(__file__).parents[1] / "chaos" / "apps"

Work = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def topic(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: RedisServer) -> str:
    """An empty topic that the app handles, with a store and a sink."""
    name = topics("orders")
    sink = tmp_path / "sink.db"
    with sqlite3.connect(sink) as made:
        made.execute("CREATE TABLE effects (partition INTEGER, offset INTEGER, PRIMARY KEY (partition, offset))")
    made.close()
    monkeypatch.setenv("ONCE_TOPIC", name)
    monkeypatch.setenv("ONCE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("ONCE_SINK", str(sink))
    monkeypatch.setenv("FANOUT_DEDUP__URL", redis.url)
    return name


@pytest.fixture
def work(kafka: Kafka, topic: str) -> Work:
    """Works to the end in a group of its own; returns the outcomes."""

    def worked() -> dict[str, Any]:
        group = unique_name("once")
        words = ("work", "once:app", "--app-dir", str(APPS), "-g", group, "--until", "end", "-o", "json")
        outcomes: dict[str, Any] = fanout(kafka.bootstrap, *words).require().document["handlers"][topic]
        return outcomes

    return worked


def fill(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value=value)
    assert producer.flush(60) == 0


def effects(log: Path) -> int:
    return log.read_text(encoding="utf-8").count("end ")


def test_an_order_that_is_sent_three_times_is_handled_once_and_again_only_under_a_new_namespace(
    kafka: Kafka, topic: str, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCE_KEY", "json:/id")
    fill(kafka.bootstrap, topic, [b'{"id": "order-%d"}' % (number % 100) for number in range(300)])
    first = work()
    assert (first["done"], first["repeated"], effects(tmp_path / "log")) == (100, 200, 100)
    again = work()
    assert (again.get("done", 0), again["repeated"], effects(tmp_path / "log")) == (0, 300, 100)
    monkeypatch.setenv("FANOUT_DEDUP__NAMESPACE", "replay-1")
    replayed = work()
    print(f"records=300 ids=100 first={first} again={again} replayed={replayed}")
    assert (replayed["done"], replayed["repeated"], effects(tmp_path / "log")) == (100, 200, 200)


def test_a_run_knows_what_was_handled_before_it_by_its_place_in_the_source(
    kafka: Kafka, topics: Topics, topic: str, work: Work, redis: RedisServer
) -> None:
    count, before = 40, 25
    fill(kafka.bootstrap, topic, [b"%d" % number for number in range(before)])
    assert work()["done"] == before
    fill(kafka.bootstrap, topic, [b"%d" % number for number in range(before, count)])
    run = unique_name("run")
    temp = TempTopic(topics("temp", 2), topic, run, f"fanout.{run}.work", {0: 0, 1: 0})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for offset in range(count):
        temp.send(producer, offset % 2, (b"key-%d" % offset, offset), (0, offset))
    assert producer.flush(60) == 0
    temp.begin(kafka.bootstrap)
    dedup = DedupSettings(url=redis.url)
    settings = settings_of(kafka.bootstrap, temp.group, run=temp.work(), dedup=dedup)
    supervisor = Supervisor(replace(settings, app="once:app", app_dir=str(APPS)))
    supervisor.check()
    supervisor.start()
    try:
        wait_until(lambda: temp.is_finished(kafka.bootstrap), "the run is finished")
        counts = supervisor.stop().processed[topic]
    finally:
        supervisor.abort()
    print(f"records={count} before={before} done={counts['done']} repeated={counts['repeated']}")
    assert (counts["done"], counts["repeated"]) == (count - before, before)
