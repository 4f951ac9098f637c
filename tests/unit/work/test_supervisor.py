"""Processes that die, that cannot go on, that do not end; with stand-ins for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.errors import FanoutError, NotFinishedError, UnreachableError, WorkError
from fanout.work import supervisor as supervisor_module
from fanout.work.farewell import Farewell, can_leave
from fanout.work.process import Brief, Place, Suspect, WorkerProcess
from fanout.work.supervisor import Supervisor


class StandIn:
    """A worker process whose life the test decides."""

    def __init__(self, pid: int, *, stubborn: bool = False) -> None:
        self.pid = pid
        self.ready = threading.Event()
        self.stats: dict[str, dict[str, Any]] = {}
        self.heard_at = time.monotonic()
        self.group = "workers"
        self.members: list[str] = []
        self.settled = 0
        self.last_words = ""
        self.ran: list[Place] = []
        self.suspects: list[Suspect] = []
        self.error: FanoutError | None = None
        self.code: int | None = None
        self.told = 0
        self._stubborn = stubborn

    def report(self, done: int, committed: dict[str, int]) -> None:
        self.ready.set()
        figures = {"outcomes": {"done": done, "dead": 1}, "running": 2, "in_flight": 5, "parked_named": ["orders/0/1"]}
        self.stats = {"orders": {**figures, "committed": committed}}

    def die(self, code: int, error: FanoutError | None = None) -> None:
        self.error, self.code = error, code

    def suspect(self, suspects: Sequence[Suspect]) -> None:
        self.suspects += suspects

    def is_running(self) -> bool:
        return self.code is None

    def stop(self) -> None:
        self.told += 1
        if not self._stubborn:
            self.code = 0

    def kill(self) -> None:
        if self.code is None:
            self.code = -9

    def wait(self, timeout_s: float) -> int | None:
        del timeout_s
        return self.code


class Crew:
    """Spawns stand-ins and remembers them."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.processes: list[StandIn] = []
        self._stubborn = stubborn

    def spawn(self, _settings: WorkSettings, brief: Brief) -> WorkerProcess:
        self.processes.append(StandIn(len(self.processes), stubborn=self._stubborn))
        self.processes[-1].suspects += brief.suspects
        return cast("WorkerProcess", self.processes[-1])

    def wait_for(self, count: int) -> None:
        """Until as many were started."""
        eventually(lambda: len(self.processes) == count)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "WATCH_S", 0.001)
    monkeypatch.setattr(supervisor_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(supervisor_module, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(supervisor_module, "LEAVE_S", 0.05)


def settings(workers: int = 2) -> WorkSettings:
    clients = Clients(common=Properties({"bootstrap.servers": "b:9092"}))
    return WorkSettings(clients=clients, app="shop:app", workers=workers, stop_s=0.05)


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_figures_of_living_and_dead_processes_are_added_up() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(), spawn=crew.spawn)
    supervisor.start()
    eventually(lambda: len(crew.processes) == 2)
    crew.processes[0].report(10, {"0": 7, "1": 3})
    crew.processes[0].die(-9)
    eventually(lambda: len(crew.processes) == 3)
    crew.processes[1].report(20, {"1": 2})
    crew.processes[2].report(30, {"0": 9})
    stats = supervisor.poll()
    assert (stats.processed["orders"]["done"], stats.dead_letters) == (60, 3)
    assert stats.committed == {"orders": {0: 9, 1: 3}}
    assert (stats.running, stats.in_flight, stats.workers) == (4, 10, 2)
    assert stats.restarts == {"SIGKILL": 1}
    assert supervisor.stop().processed["orders"]["done"] == 60


def test_a_process_that_dies_again_and_again_is_started_ever_more_rarely() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    began = time.monotonic()
    for number in range(5):
        crew.wait_for(number + 1)
        crew.processes[-1].ready.set()
        crew.processes[-1].settled = 1_000  # it changes nothing how much was done in between
        crew.processes[-1].die(1)
    eventually(lambda: len(crew.processes) == 6)
    assert time.monotonic() - began > 0.01 * (1 + 2 + 4 + 8)
    assert supervisor.poll().restarts == {"exit 1": 5}
    supervisor.abort()


def test_processes_that_settle_nothing_before_they_die_end_the_work_with_what_the_last_one_said() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    for number in range(supervisor_module.FRUITLESS_DEATHS):
        crew.wait_for(number + 1)
        crew.processes[-1].ready.set()
        crew.processes[-1].last_words = f"MemoryError: {number}"
        crew.processes[-1].die(1)
    eventually(lambda: supervisor._error)
    with pytest.raises(WorkError, match=r"10 worker processes in a row .* \(MemoryError: 9\)"):
        supervisor.poll()
    supervisor.abort()


def test_processes_that_do_some_work_before_they_die_are_no_crash_loop() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    for number in range(supervisor_module.FRUITLESS_DEATHS + 5):
        crew.wait_for(number + 1)
        crew.processes[-1].ready.set()
        crew.processes[-1].settled = 1
        crew.processes[-1].die(-9)
    crew.wait_for(supervisor_module.FRUITLESS_DEATHS + 6)
    assert supervisor.poll().workers == 1
    supervisor.abort()


def test_processes_are_replaced_after_their_records_one_by_one() -> None:
    crew = Crew(stubborn=True)
    supervisor = Supervisor(replace(settings(2), max_tasks=10), spawn=crew.spawn)
    supervisor.start()
    crew.wait_for(2)
    first, second = crew.processes
    for process in (first, second):
        process.members = ["m"]
        process.settled = 10
    eventually(lambda: first.told + second.told)
    time.sleep(0.05)
    assert first.told + second.told == 1, "both at once"
    leaving, staying = (first, second) if first.told else (second, first)
    leaving.die(0)
    crew.wait_for(3)
    time.sleep(0.05)
    assert staying.told == 0, "before the successor was given its partitions"
    crew.processes[2].members = ["n"]
    eventually(lambda: staying.told == 1)
    assert supervisor.poll().restarts == {"max-tasks": 1}
    supervisor.abort()


def test_a_dead_process_is_taken_out_of_its_group_and_one_that_left_is_not() -> None:
    gone: list[tuple[str, list[str]]] = []
    crew = Crew()
    supervisor = Supervisor(settings(2), spawn=crew.spawn)
    supervisor._farewell = Farewell(lambda: Leaver(gone))
    supervisor.start()
    crew.wait_for(2)
    crew.processes[0].members = ["m-0"]
    crew.processes[0].die(-11)
    eventually(lambda: gone)
    supervisor.stop()
    assert gone == [("workers", ["m-0"])]


def test_what_ran_at_two_deaths_is_told_to_the_living_and_to_those_who_come() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(2), spawn=crew.spawn)
    supervisor.start()
    crew.wait_for(2)
    other = crew.processes[1]
    crew.processes[0].ran = [("orders", 0, 4), ("orders", 1, 9)]
    crew.processes[0].die(-11)
    crew.wait_for(3)
    assert other.suspects == []
    crew.processes[2].ran = [("orders", 1, 9), ("orders", 1, 10)]
    crew.processes[2].die(-11)
    crew.wait_for(4)
    assert other.suspects == crew.processes[3].suspects == [("orders", 1, 9, 2)]
    supervisor.abort()


def test_what_is_committed_is_suspected_no_more() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    crew.wait_for(1)
    for number, committed in enumerate((0, 5)):
        crew.wait_for(number + 1)
        crew.processes[-1].report(1, {"0": committed})
        crew.processes[-1].ran = [("orders", 0, 4)]
        crew.processes[-1].die(-11)
    crew.wait_for(3)
    assert crew.processes[2].suspects == []
    supervisor.abort()


class Leaver:
    """Notes who leaves."""

    def __init__(self, gone: list[tuple[str, list[str]]]) -> None:
        self._gone = gone

    def leave(self, group: str, members: list[str]) -> None:
        self._gone.append((group, members))


def test_static_members_and_those_of_the_consumer_protocol_are_left_to_their_group() -> None:
    assert can_leave({})
    assert can_leave({"group.protocol": "classic"})
    assert not can_leave({"group.instance.id": "a"})
    assert not can_leave({"group.protocol": "consumer"})


def test_an_error_that_another_start_cannot_cure_stops_them_all() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(), spawn=crew.spawn)
    supervisor.start()
    eventually(lambda: len(crew.processes) == 2)
    crew.processes[1].die(1, WorkError("orders/0 at offset 5: forged", "look"))
    eventually(lambda: crew.processes[0].told)
    with pytest.raises(WorkError, match="forged"):
        supervisor.poll()
    assert len(crew.processes) == 2
    supervisor.stop()


def test_an_unreachable_cluster_is_tried_again() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    eventually(lambda: crew.processes)
    crew.processes[0].ready.set()
    crew.processes[0].die(75, UnreachableError("127.0.0.1:9"))
    eventually(lambda: len(crew.processes) == 2)
    assert supervisor.poll().restarts == {"UnreachableError": 1}
    supervisor.abort()


def test_a_process_that_says_nothing_is_killed_and_replaced() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    eventually(lambda: crew.processes)
    silent = crew.processes[0]
    silent.ready.set()
    silent.heard_at -= 1000
    crew.wait_for(2)
    assert supervisor.poll().restarts == {"SIGKILL": 1}
    supervisor.abort()


def test_a_supervisor_that_slept_blames_nobody_for_it() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    seat = supervisor._seats[0]
    seat.process = crew.spawn(settings(), Brief())
    seat.process.ready.set()
    seat.process.heard_at = supervisor._looked_at = time.monotonic() - 1000
    supervisor._note_pause()
    supervisor._look_after(seat)
    assert seat.process.is_running()


def test_a_machine_that_starts_no_process_is_an_error_and_no_silence() -> None:
    def refuse(_settings: WorkSettings, _brief: Brief) -> WorkerProcess:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    supervisor = Supervisor(settings(), spawn=refuse)
    supervisor.start()
    eventually(lambda: supervisor._error)
    with pytest.raises(WorkError, match="no worker process can be started"):
        supervisor.poll()
    supervisor.stop()


def test_processes_that_never_begin_are_not_started_for_ever() -> None:
    crew = Crew()
    supervisor = Supervisor(settings(1), spawn=crew.spawn)
    supervisor.start()
    for number in range(5):
        crew.wait_for(number + 1)
        crew.processes[-1].die(3)
    eventually(lambda: supervisor._error)
    with pytest.raises(WorkError, match=r"5 worker processes in a row ended before they could begin \(exit 3\)"):
        supervisor.poll()
    supervisor.abort()


def test_a_process_that_does_not_end_is_killed_and_that_is_said() -> None:
    crew = Crew(stubborn=True)
    supervisor = Supervisor(settings(), spawn=crew.spawn)
    supervisor.start()
    eventually(lambda: len(crew.processes) == 2)
    with pytest.raises(NotFinishedError, match="2 workers did not end in time"):
        supervisor.stop()
    assert [process.code for process in crew.processes] == [-9, -9]


def test_deaths_of_processes_that_had_lived_and_had_nothing_to_do_are_no_crash_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "STABLE_S", 0.0)
    crew = Crew()
    supervisor = Supervisor(settings(workers=1), spawn=crew.spawn)
    supervisor.start()
    for count in range(1, supervisor_module.FRUITLESS_DEATHS + 2):
        crew.wait_for(count)
        crew.processes[-1].ready.set()
        crew.processes[-1].die(-15)
    crew.wait_for(supervisor_module.FRUITLESS_DEATHS + 2)
    supervisor.poll()
    supervisor.stop()
