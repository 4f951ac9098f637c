"""The demo as a newcomer runs it: its figures, its exit code, and that nothing of it stays."""

from __future__ import annotations

import re
import signal
import time
import uuid
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from commands import Running
from oracle.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_BROKER = "127.0.0.1:1"
"""What is configured for other commands: the demo must not so much as dial it."""

MARK = "DEMO_TEST_MARK"
TRIES = 3
SMALL = ("demo", "--messages", "6000", "--handler-ms", "2")


class Room:
    """A temporary folder and a mark in the environment, both inherited by every process the demo starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex

    def processes(self) -> list[str]:
        """The command lines of all processes that bear the mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def files(self) -> list[str]:
        """What lies in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def wait_deserted(self) -> None:
        """Until nothing is left: the last processes may be on their way out."""
        deadline = time.monotonic() + 60
        while left := (*self.processes(), *self.files()):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    made = Room(tmp_path / "tmp")
    made.folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(made.folder))
    monkeypatch.setenv(MARK, made.mark)
    yield made
    made.wait_deserted()


def wait_for(running: Running, words: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while words not in running.said():
        assert running.runs, running.said()
        assert time.monotonic() < deadline, running.said()
        time.sleep(0.1)


def test_the_demo_proves_itself_and_leaves_nothing(room: Room) -> None:
    # Rates are taken over a few seconds each, which a machine that stalls may spoil; what is proven they do not touch.
    for _ in range(TRIES):
        document = prove_a_demo(room)
        rates = {chapter: document[chapter]["records_per_s"] for chapter in ("before", "drain", "after")}
        waiting = document["after"]["waiting"]
        print(f"{rates=} {waiting=}")
        if min(rates.values()) > 0 and 50 < rates["after"] < 200 and waiting <= 100:
            return
    pytest.fail("the old consumers should do what arrives, and have nothing to catch up")


def prove_a_demo(room: Room) -> dict[str, Any]:
    """Runs a small one that is proven; returns what it said."""
    # Kept until it is told to end, so that others can look at the effects too.
    with Running(NO_BROKER, *SMALL, "--keep", "-o", "json") as running:
        wait_for(running, "; Ctrl-C ends it")
        assert any("kafka.Kafka" in command for command in room.processes()), "the search finds no broker"
        assert room.files() != []
        kept = re.search(r"Kafka stays at (127\.0\.0\.1:\d+)", running.said())
        assert kept is not None
        effects = sum(1 for _ in read(kept[1], "demo.effects"))
        running.signal(signal.SIGINT)
        document = running.wait().require(0).document
    assert document["outcome"] == "proven"
    assert {name: document[name] for name in ("lost", "duplicated", "out_of_order", "foreign", "repeated")} == {
        "lost": 0,
        "duplicated": 0,
        "out_of_order": 0,
        "foreign": 0,
        "repeated": 0,
    }
    assert document["records"] == effects > 6_000
    assert document["drain"]["records"] > 1_000
    # How much faster it goes is for whoever runs it to see: handlers of 2 ms on a busy machine wait for the processor.
    return document


def test_what_killed_workers_repeat_is_counted_apart(room: Room) -> None:
    with Running(NO_BROKER, "demo", "--messages", "12000", "--kill", "-o", "json") as running:
        document = running.wait(600).require(0).document
    assert document["drain"]["workers_killed"] > 0
    assert (document["lost"], document["duplicated"], document["out_of_order"]) == (0, 0, 0)
    # A worker commits four times a second, and gets 200 records done in it.
    assert document["repeated"] <= 500 * document["drain"]["workers_killed"]
    assert room.files() == []


@pytest.mark.parametrize("words", ["pile up", "3 lanes, 10 workers"], ids=["early", "in the middle of the drain"])
def test_ctrl_c_leaves_nothing(room: Room, words: str) -> None:
    with Running(NO_BROKER, *SMALL) as running:
        wait_for(running, words)
        running.signal(signal.SIGINT)
        ended = running.wait(60).require(130)
    assert ended.out == ""
    assert room.files() == []


def test_a_killed_demo_leaves_nothing(room: Room) -> None:
    with Running(NO_BROKER, *SMALL) as running:
        wait_for(running, "before: 3 old consumers")
        running.kill()
    room.wait_deserted()
