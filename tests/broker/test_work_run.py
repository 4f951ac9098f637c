"""The workers of a run: their sums, what they refuse, and what a kill costs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from conftest import unique_name
from fanout._fanout import Cluster
from fanout.errors import WorkError
from fanout.kafka.tally import Tally, parse_note
from fanout.work.supervisor import Supervisor
from killing import at_rest, freeze
from oracle.effects import Effect, check_effects

from .working import Handled, Line, TempTopic, app_environment, committed, mix64, settings_of, wait_until

if TYPE_CHECKING:
    from conftest import Kafka, Topics

KILLS = 10
STOP_S = 15
"""No handler here takes as long; a machine may stall."""
SOURCES = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}


@pytest.fixture
def temp(topics: Topics) -> TempTopic:
    """An empty temp topic of three source partitions, two targets each."""
    run = unique_name("run")
    return TempTopic(topics("temp", len(SOURCES)), "orders", run, f"fanout.{run}.work", SOURCES)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "handled.log"


@contextmanager
def working(kafka: Kafka, temp: TempTopic, **more: Any) -> Iterator[Supervisor]:
    """Workers of the run; they are killed at the end if they still run."""
    settings = settings_of(
        kafka.bootstrap, temp.group, {"session.timeout.ms": "6000"}, run=temp.work(), stop_s=STOP_S, **more
    )
    supervisor = Supervisor(settings)
    supervisor.check()
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.abort()


def test_the_sums_of_the_commits_are_those_of_every_record_and_dead_letters_stand_apart(
    kafka: Kafka, topics: Topics, temp: TempTopic, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = topics("dead")
    monkeypatch.setenv("FANOUT_TEST_APP", app_environment(log, "orders", "poison", dlq=dead))
    temp.fill(kafka.bootstrap, 3_000, keys=1)
    temp.begin(kafka.bootstrap)
    with working(kafka, temp, workers=2) as supervisor:
        wait_until(lambda: supervisor.poll() and temp.is_finished(kafka.bootstrap), "the end")
        stats = supervisor.stop()
    notes = [parse_note(note) for _, note in Cluster({"bootstrap.servers": kafka.bootstrap}).committed(
        temp.group, temp.name).values()]  # fmt: skip
    done = Tally.total(note.tally for note in notes if note)
    gone = Tally.total(note.dead for note in notes if note)
    expected = sum(mix64(*origin) for origin in temp.acknowledged.values()) % 2**64
    assert {note.tag for note in notes if note} == {temp.run}
    assert (done + gone) == Tally(3_000, expected)
    assert gone.count == stats.dead_letters == 12


def test_a_forged_origin_stops_the_workers_and_names_its_place(
    kafka: Kafka, temp: TempTopic, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANOUT_TEST_APP", app_environment(log, "orders", "nap", sleep_s=[0, 0]))
    temp.fill(kafka.bootstrap, 60, keys=6)
    forged = Producer({"bootstrap.servers": kafka.bootstrap})
    temp.send(forged, 2, (b"forged", 0), (2, 99))
    assert forged.flush(60) == 0
    temp.begin(kafka.bootstrap)
    with working(kafka, temp) as supervisor, pytest.raises(WorkError, match=rf"{temp.name}/2 at offset 10: .*forged"):
        wait_until(lambda: not supervisor.poll(), "the refusal")
    assert committed(kafka.bootstrap, temp.group, temp.name)[2] <= 10
    assert "forged" not in {line.key for line in Handled(log).lines()}


def test_offsets_that_another_tool_moved_stop_the_workers(
    kafka: Kafka, temp: TempTopic, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANOUT_TEST_APP", app_environment(log, "orders", "nap", sleep_s=[0, 0]))
    temp.fill(kafka.bootstrap, 60, keys=6)
    temp.begin(kafka.bootstrap)
    Cluster({"bootstrap.servers": kafka.bootstrap}).commit(temp.group, temp.name, {4: (5, "")})
    with working(kafka, temp) as supervisor, pytest.raises(WorkError, match=rf"{temp.name}/4: .*moved by another tool"):
        wait_until(lambda: not supervisor.poll(), "the refusal")
    assert committed(kafka.bootstrap, temp.group, temp.name)[4] == 5
    assert Handled(log).lines() == []


def test_killed_workers_leave_nothing_unhandled_and_repeat_only_what_was_in_flight(
    kafka: Kafka, temp: TempTopic, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANOUT_TEST_APP", app_environment(log, "orders", "nap", sleep_s=[0.02, 0.12], concurrency=20))
    temp.fill(kafka.bootstrap, 9_000, keys=600)
    temp.begin(kafka.bootstrap)
    handled, kills, dice = Handled(log), list[Kill](), random.Random(7)
    with working(kafka, temp, workers=3) as supervisor:
        while len(kills) < KILLS:
            if len(temp.acknowledged) - len(handled.ended()) < 2_000:
                temp.fill(kafka.bootstrap, 2_000, keys=600)
            wait_until(lambda: supervisor.poll() and busy(handled, supervisor.pids()), "a worker in its handlers")
            time.sleep(dice.uniform(0.2, 0.8))
            kills += kill_one(kafka, temp, handled, (supervisor.pids(), dice))
        wait_until(lambda: supervisor.poll() and temp.is_finished(kafka.bootstrap), "the end", 180)
        stats = supervisor.stop()
    lines = handled.lines()
    for number, kill in enumerate(kills, start=1):
        kill.repeats = repeats_after(lines, kill.pid)
        print(f"kill {number}: {kill.running} handlers ran, {kill.in_flight} in flight, {kill.repeats} repeated")
    effects = [
        Effect(line.key.encode(), line.sequence, (int(line.id.split("/")[1]), int(line.id.split("/")[2])))
        for line in lines
        if line.kind == "end"
    ]
    check_effects(effects, temp.acknowledged).require()
    assert all(kill.running > 0 for kill in kills)
    assert [kill for kill in kills if kill.repeats > kill.in_flight] == []
    assert stats.restarts == {"SIGKILL": KILLS}


class Kill:
    """A killed worker: its handlers that ran, its records not covered by a commit, and how many came again."""

    def __init__(self, pid: int, running: int, in_flight: int) -> None:
        self.pid, self.running, self.in_flight, self.repeats = pid, running, in_flight, 0


def busy(handled: Handled, pids: list[int]) -> dict[int, set[str]]:
    """Records whose handlers run now, by process."""
    running: dict[int, set[str]] = {pid: set() for pid in pids}
    for line in handled.lines():
        if line.pid in running:
            (running[line.pid].add if line.kind == "begin" else running[line.pid].discard)(line.id)
    return {pid: records for pid, records in running.items() if records}


def kill_one(kafka: Kafka, temp: TempTopic, handled: Handled, among: tuple[list[int], random.Random]) -> list[Kill]:
    """Kills one of these processes in the middle of its handlers; nothing if none was."""
    pids, dice = among
    candidates = busy(handled, pids)
    if not candidates:
        return []
    pid = dice.choice(sorted(candidates))
    # Frozen, it is still in its group: nobody else can commit for its partitions before they are looked at.
    freeze(pid)
    running = len(busy_of(handled, pid))
    if not running:  # it has got through since
        os.kill(pid, signal.SIGCONT)
        return []
    begun = [temp.origins[line.id] for line in handled.lines() if line.kind == "begin" and line.pid == pid]

    def uncommitted() -> int:
        places = committed(kafka.bootstrap, temp.group, temp.name)
        return sum(offset >= places[target] for target, offset in set(begun))

    in_flight = at_rest(uncommitted)
    os.kill(pid, signal.SIGKILL)
    return [Kill(pid, running, in_flight)]


def busy_of(handled: Handled, pid: int) -> set[str]:
    """Records a process had begun and not ended."""
    return busy(handled, [pid]).get(pid, set())


def repeats_after(lines: list[Line], pid: int) -> int:
    """Records that process had begun and another began again later."""
    begun: set[str] = set()
    again: set[str] = set()
    for line in lines:
        if line.kind != "begin":
            continue
        if line.pid == pid:
            begun.add(line.id)
        elif line.id in begun:
            again.add(line.id)
    return len(again)
