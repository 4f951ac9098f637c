"""`--reload`: what works takes the place of what runs, what does not leaves it alone."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from fanout.errors import ConfigError, FanoutError, NotFinishedError, WorkError
from fanout.work.check import Checked
from fanout.work.reload import Changes, Reloading
from fanout.work.supervisor import WorkStats


class FakeCrew:
    """Workers that say what is done with them; `problems` are what they meet."""

    def __init__(self, name: str, bench: Bench) -> None:
        self._name = name
        self._bench = bench
        self._problems = bench.problems
        self._stopped = threading.Event()

    def _do(self, step: str) -> WorkStats:
        self._bench.said.append(f"{step} {self._name}")
        return self._meet(step)

    def _meet(self, step: str) -> WorkStats:
        if step in self._problems:
            raise self._problems[step]
        return cast("WorkStats", self._name)

    def check(self) -> Checked:
        self._do("check")
        if self._bench.hangs:
            assert self._stopped.wait(30)
            self._bench.said.append(f"end check {self._name}")
            raise NotFinishedError("its import was given up")
        return cast("Checked", self._name)

    def start(self) -> None:
        self._do("start")

    def poll(self) -> WorkStats:
        return self._meet("poll")

    def stats(self) -> WorkStats:
        return cast("WorkStats", self._name)

    def stop(self) -> WorkStats:
        self._stopped.set()
        return self._do("stop")


class FakeChanges:
    """Changes that a test makes."""

    def __init__(self) -> None:
        self.is_changed = False

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def take(self) -> bool:
        changed, self.is_changed = self.is_changed, False
        return changed


class Bench:
    """A crew a change; `problems` are what the next one meets. While it `hangs`, a check ends with a stop alone."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.problems: dict[str, FanoutError] = {}
        self.hangs = False
        self.changes = FakeChanges()
        self._made = 0
        self.reloading = Reloading(self._make, self.changes)
        self.reloading.start()
        self.said.clear()

    def _make(self) -> FakeCrew:
        self._made += 1
        return FakeCrew(f"crew {self._made}", self)

    def change(self, **problems: FanoutError) -> None:
        self.problems = problems
        self.changes.is_changed = True
        self.poll()

    def poll(self) -> str:
        return str(self.reloading.poll())

    def poll_until(self, said: str) -> None:
        wait_until(lambda: said in self.said or not self.poll())


def test_a_change_that_works_takes_the_place_of_what_runs() -> None:
    bench = Bench()
    assert bench.poll() == "crew 1"
    bench.change()
    bench.poll_until("start crew 2")
    assert bench.poll() == "crew 2"
    assert bench.said == ["check crew 2", "stop crew 1", "start crew 2"]
    bench.reloading.stop()
    assert bench.said[-1] == "stop crew 2"


def test_a_change_that_does_not_import_leaves_the_workers_alone_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO):
        bench.change(check=ConfigError("shop:app", "does not import: SyntaxError: oh"))
        wait_until(lambda: bool(bench.poll()) and "does not work" in caplog.text)
    assert bench.poll() == "crew 1"
    assert bench.said == ["check crew 2"]
    assert "does not import: SyntaxError: oh; the workers go on with the source as it was" in caplog.text


def test_workers_that_stopped_by_themselves_start_again_after_the_next_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO):
        bench.change(poll=WorkError("out of disk", "make room"))
        bench.poll_until("start crew 2")
        bench.poll()
    told = "the workers stopped: out of disk: make room; they start again after the next change"
    assert caplog.text.count(told) == 1
    bench.change()
    bench.poll_until("start crew 3")
    assert bench.poll() == "crew 3"


def test_a_stop_while_a_change_hangs_in_its_import_ends_that_and_the_workers() -> None:
    bench = Bench()
    bench.hangs = True
    bench.change()
    wait_until(lambda: bench.poll() == "crew 1" and "check crew 2" in bench.said)
    assert str(bench.reloading.stop()) == "crew 1"
    assert sorted(bench.said) == ["check crew 2", "end check crew 2", "stop crew 1", "stop crew 2"]


def test_a_change_of_one_that_hangs_in_its_import_takes_its_place() -> None:
    bench = Bench()
    bench.hangs = True
    bench.change()
    wait_until(lambda: "check crew 2" in bench.said)
    bench.hangs = False
    bench.change()
    bench.poll_until("start crew 3")
    assert "start crew 2" not in bench.said


def test_a_stop_while_the_workers_before_are_ended_starts_no_new_ones() -> None:
    bench = Bench()
    bench.change()
    bench.poll_until("stop crew 1")
    assert str(bench.reloading.stop()) == "crew 2"
    assert bench.said == ["check crew 2", "stop crew 1", "stop crew 2"]


def test_without_the_package_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError, match=r"^--reload: needs watchfiles: pip install 'kafka-fanout\[reload\]'$"):
        Changes(".")


def test_changed_python_files_are_seen(tmp_path: Path) -> None:
    changes = Changes(str(tmp_path))
    changes.start()
    written = 0

    def touch() -> bool:
        # Again and again: nobody tells from when on the folder is watched.
        nonlocal written
        written += 1
        (tmp_path / "shop.py").write_text(f"number = {written}\n", encoding="utf-8")
        return changes.take()

    try:
        wait_until(touch)
        wait_until(touch)
    finally:
        changes.stop()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
