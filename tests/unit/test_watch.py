"""Looking at a cluster while something runs, and once more at the end."""

from __future__ import annotations

import threading
import time

import pytest

from fanout.errors import UnreachableError
from fanout.kafka import watch
from fanout.kafka.watch import Watch


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look has as long as it needs."""
    monkeypatch.setattr(watch, "LAST_LOOK_S", 60)


@pytest.mark.usefixtures("patient")
def test_what_happened_just_before_the_end_is_seen_by_a_last_look() -> None:
    looks: list[str] = []
    with Watch(lambda: looks.append("first"), lambda: looks.append("second")):
        assert looks == []
    assert looks == ["first", "second"]


@pytest.mark.usefixtures("patient")
def test_a_look_that_learns_nothing_leaves_the_others_alone() -> None:
    looks: list[str] = []

    def unreachable() -> None:
        raise UnreachableError("no broker answers")

    with Watch(unreachable, lambda: looks.append("second")):
        pass
    assert looks == ["second"]


def test_a_look_that_nobody_answers_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    looking, answer = threading.Event(), threading.Event()

    def silent() -> None:
        looking.set()
        answer.wait(600)

    with Watch(silent):
        assert looking.wait(60)
        began = time.monotonic()
    took = time.monotonic() - began
    answer.set()
    assert took < watch.LAST_LOOK_S + 60
