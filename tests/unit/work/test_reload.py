"""`--reload`: what works takes the place of what runs, what does not leaves it alone."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from fanout.errors import ConfigError, FanoutError, WorkError
from fanout.work.check import Checked
from fanout.work.reload import Changes, Reloading
from fanout.work.supervisor import WorkStats


class FakeCrew:
    """Workers that say what is done with them."""

    def __init__(self, name: str, said: list[str], problems: dict[str, FanoutError]) -> None:
        self._name = name
        self._said = said
        self._problems = problems

    def _do(self, step: str) -> WorkStats:
        self._said.append(f"{step} {self._name}")
        if step in self._problems:
            raise self._problems[step]
        return cast("WorkStats", self._name)

    def check(self) -> Checked:
        return cast("Checked", self._do("check"))

    def start(self) -> None:
        self._do("start")

    def poll(self) -> WorkStats:
        return self._do("poll")

    def stats(self) -> WorkStats:
        return cast("WorkStats", self._name)

    def stop(self) -> WorkStats:
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
    """A crew a change; `problems` are what the next one meets."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.problems: dict[str, FanoutError] = {}
        self.changes = FakeChanges()
        self._made = 0
        self.reloading = Reloading(self._make, self.changes)
        self.reloading.start()
        self.said.clear()

    def _make(self) -> FakeCrew:
        self._made += 1
        return FakeCrew(f"crew {self._made}", self.said, self.problems)

    def change(self, **problems: FanoutError) -> str:
        self.problems = problems
        self.changes.is_changed = True
        return str(self.reloading.poll())


def test_a_change_that_works_takes_the_place_of_what_runs() -> None:
    bench = Bench()
    assert str(bench.reloading.poll()) == "crew 1"
    assert bench.change() == "crew 2"
    assert bench.said == ["poll crew 1", "check crew 2", "stop crew 1", "start crew 2", "poll crew 2"]
    bench.reloading.stop()
    assert bench.said[-1] == "stop crew 2"


def test_a_change_that_does_not_import_leaves_the_workers_alone_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO):
        assert bench.change(check=ConfigError("shop:app", "does not import: SyntaxError: oh")) == "crew 1"
    assert bench.said == ["check crew 2", "poll crew 1"]
    assert "does not import: SyntaxError: oh; the workers go on with the source as it was" in caplog.text


def test_workers_that_stopped_by_themselves_start_again_after_the_next_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO):
        bench.change(poll=WorkError("out of disk", "make room"))
        bench.reloading.poll()
    assert bench.said.count("poll crew 2") == 1
    assert "the workers stopped: out of disk: make room; they start again after the next change" in caplog.text
    assert bench.change() == "crew 3"


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
