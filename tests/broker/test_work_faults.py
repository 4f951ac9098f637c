"""Handlers that take their process with them, on a real Kafka: others go on, and nothing is committed past a record."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conftest import unique_name
from fanout.errors import WorkError
from fanout.work import supervisor as supervisor_module
from fanout.work.supervisor import Supervisor

from .test_work import read
from .working import Handled, app_environment, committed, ends, settings_of, wait_until, write

if TYPE_CHECKING:
    from conftest import Kafka, Topics

QUICK_SESSION = {"session.timeout.ms": "6000"}
STOP_S = 15
"""No handler here that is waited for takes as long; a machine may stall."""


class Shop:
    """A topic, its group, and workers over it."""

    def __init__(self, kafka: Kafka, topic: str, log: Path) -> None:
        self.kafka, self.topic, self.group = kafka, topic, unique_name("workers")
        self.handled = Handled(log)

    @contextmanager
    def working(self, consumer: Mapping[str, str] = QUICK_SESSION, **more: Any) -> Iterator[Supervisor]:
        """Workers that are killed at the end, if they still run."""
        settings = settings_of(self.kafka.bootstrap, self.group, consumer, **{"stop_s": STOP_S, **more})
        supervisor = Supervisor(settings)
        supervisor.start()
        try:
            yield supervisor
        finally:
            supervisor.abort()

    def is_finished(self, supervisor: Supervisor) -> bool:
        """Whether all is committed; raises what stopped the workers."""
        supervisor.poll()
        return committed(self.kafka.bootstrap, self.group, self.topic) == ends(self.kafka.bootstrap, self.topic)


@pytest.fixture
def shop(kafka: Kafka, topics: Topics, tmp_path: Path) -> Shop:
    return Shop(kafka, topics("orders", 2), tmp_path / "handled.log")


def behave(shop: Shop, monkeypatch: pytest.MonkeyPatch, behaviour: str, **more: object) -> None:
    """Sets what the application of the next workers does."""
    monkeypatch.setenv("FANOUT_TEST_APP", app_environment(shop.handled.path, shop.topic, behaviour, **more))


def test_a_blocked_loop_is_told_of_and_its_process_replaced(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % i, i) for i in range(200)))
    behave(shop, monkeypatch, "block")
    with shop.working(most_blocked_s=8) as supervisor:
        wait_until(lambda: shop.is_finished(supervisor), "the records of the blocked process")
        restarts = supervisor.stop().restarts
    blocked = next(line.id for line in shop.handled.lines() if line.sequence == 0)
    blocks = f"the handler of {blocked} blocks the event loop"
    told = [record.getMessage() for record in caplog.records if blocks in record.getMessage()]
    ended = shop.handled.ended()
    print(f"records=200 handled={len(ended)} restarts={dict(restarts)} told={len(told)}")
    assert restarts == {"blocked": 1}
    assert len(ended) == 200
    assert len(told) == 1
    assert "time.sleep(600)" in told[0]


def test_a_process_that_is_stopped_from_outside_is_killed_and_its_records_are_handled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 50), i) for i in range(400)))
    behave(shop, monkeypatch, "nap", sleep_s=[0.2, 0.4])
    monkeypatch.setattr(supervisor_module, "SILENCE_S", 3.0)
    with shop.working(workers=2, most_blocked_s=3, concurrency=10) as supervisor:
        wait_until(lambda: len({line.pid for line in shop.handled.lines()}) == 2, "both workers' records")
        frozen = supervisor.pids()[0]
        os.kill(frozen, signal.SIGSTOP)
        wait_until(lambda: shop.is_finished(supervisor), "the records of the frozen process")
        assert frozen not in supervisor.pids()
        restarts = supervisor.stop().restarts
    ended = shop.handled.ended()
    print(f"records=400 handled={len(ended)} repeats={sum(ended.values()) - 400} restarts={dict(restarts)}")
    assert len(ended) == 400
    assert restarts["SIGKILL"] == 1


def test_a_killed_worker_leaves_its_group_long_before_its_session_ends(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 50), i) for i in range(400)))
    behave(shop, monkeypatch, "nap", sleep_s=[0.2, 0.4])
    session_s = 300
    consumer = {"session.timeout.ms": str(session_s * 1000)}
    with shop.working(consumer, workers=2, concurrency=10) as supervisor:
        wait_until(lambda: len({line.pid for line in shop.handled.lines()}) == 2, "both workers' records")
        os.kill(supervisor.pids()[0], signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: shop.is_finished(supervisor), "the records of the killed process", 120)
        took = time.monotonic() - began
    ended = shop.handled.ended()
    print(f"records=400 handled={len(ended)} session={session_s} s, all done {took:.1f} s after the kill")
    assert len(ended) == 400


def test_processes_are_replaced_after_their_records_and_none_is_lost(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, slots = 4_000, 20
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 400), i) for i in range(count)))
    behave(shop, monkeypatch, "nap", sleep_s=[0.02, 0.05])
    with shop.working(workers=2, max_tasks=1_000, concurrency=slots) as supervisor:
        wait_until(lambda: shop.is_finished(supervisor), "the end", 120)
        restarts = supervisor.stop().restarts
    ended = shop.handled.ended()
    repeated = sum(line.kind == "begin" for line in shop.handled.lines()) - count
    print(f"records={count} lost={count - len(ended)} repeated={repeated} restarts={dict(restarts)}")
    assert restarts.keys() == {"max-tasks"}
    assert len(ended) == count
    # Done above a record that waited for its key when its partition moved: at each move less than one a slot.
    assert repeated < restarts["max-tasks"] * 4 * slots


def test_a_record_that_kills_its_process_is_a_dead_letter_at_the_third_death_and_holds_nobody_up(
    shop: Shop, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, dead = 400, topics("dead")
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 50), i) for i in range(count)))
    behave(shop, monkeypatch, "kill", dlq=dead)
    with shop.working(workers=2, concurrency=10) as supervisor:
        wait_until(lambda: shop.is_finished(supervisor), "the end", 120)
        stats = supervisor.stop()
    lines, ended = shop.handled.lines(), shop.handled.ended()
    deaths = sum(line.kind == "begin" and line.sequence == 100 for line in lines)
    ((value, headers),) = read(shop.kafka.bootstrap, dead, 1)
    print(f"records={count} lost={count - 1 - len(ended)} deaths={deaths} restarts={dict(stats.restarts)} "
          f"repeats={sum(ended.values()) - len(ended)}")  # fmt: skip
    assert (len(ended), deaths, stats.restarts) == (count - 1, 3, {"SIGSEGV": 2})
    assert value == b"100"
    assert headers["fanout.outcome"] == b"killed-worker"
    assert headers["__dlq.errors.delivery.count"] == b"3"
    assert b"alone (SIGSEGV)" in headers["__dlq.errors.message"]


def test_without_a_dead_letter_topic_a_record_that_kills_stops_the_work_and_nothing_is_committed_past_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop.kafka.bootstrap, shop.topic, [(b"k", 100)])
    behave(shop, monkeypatch, "kill")
    with shop.working(stop_s=3) as supervisor, pytest.raises(WorkError, match=r"died 3 times .* no dead-letter topic"):
        wait_until(lambda: shop.is_finished(supervisor), "the end", 120)
    assert sum(committed(shop.kafka.bootstrap, shop.group, shop.topic).values()) == 0
