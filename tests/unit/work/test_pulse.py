"""A loop that stands still is told of once, with what blocks it, and not for ever."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from fanout.work import pulse
from fanout.work.pulse import Pulse, Vitals


class Watched:
    """A pulse whose reports and end are noted."""

    def __init__(self, most_s: float) -> None:
        self.beats = 0
        self.reports: list[dict[str, Any]] = []
        self.ended = threading.Event()
        vitals = Vitals(figures=self._figures, report=self.reports.append, culprit=self._culprit, end=self.ended.set)
        self.beating = asyncio.create_task(Pulse(vitals, most_s).beat())

    def _figures(self) -> dict[str, Any]:
        self.beats += 1
        return {"beats": self.beats}

    @staticmethod
    def _culprit(task: asyncio.Task[Any] | None) -> str:
        return f"the handler of {task.get_name()}" if task else "nobody"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_S", 0.02)
    monkeypatch.setattr(pulse, "TELL_S", 0.3)


async def stand_still(told: pytest.LogCaptureFixture, until: threading.Event | None = None) -> None:
    """Blocks the loop until it is told of, or until `until` is set."""
    deadline = time.monotonic() + 60
    while not (until.is_set() if until else told.records):
        assert time.monotonic() < deadline
        time.sleep(0.001)  # noqa: ASYNC251  the very fault that is tested


async def test_who_blocks_the_loop_is_named_with_its_stack_once(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(most_s=1000)
    await asyncio.sleep(0.1)
    before = len(watched.reports)
    with caplog.at_level(logging.WARNING):
        await asyncio.create_task(stand_still(caplog), name="orders/0/5")
        count = len(watched.reports)
        deadline = time.monotonic() + 60
        while len(watched.reports) < count + 20:  # the standstill goes on
            assert time.monotonic() < deadline, "reports go on"
            time.sleep(0.001)  # noqa: ASYNC251  the very fault that is tested
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert "the handler of orders/0/5 blocks the event loop" in text
    assert "in stand_still" in text
    assert count > before
    assert not watched.ended.is_set()
    watched.beating.cancel()


async def test_a_loop_that_stands_for_too_long_ends_its_process(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(most_s=0.5)
    await asyncio.sleep(0.1)
    await stand_still(caplog, watched.ended)
    watched.beating.cancel()


async def test_a_loop_that_goes_on_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(most_s=3)
    async with asyncio.timeout(60):
        while len(watched.reports) < 20:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.01)
    assert caplog.records == []
    assert watched.reports[-1]["beats"] > 3
    assert not watched.ended.is_set()
    watched.beating.cancel()
