"""The chapters of the demo, each by its name. They share a stage and never call each other; `scenario` orders them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from fanout.config.durations import duration_text
from fanout.drain.doors import open_doors
from fanout.drain.flow import Drain
from fanout.drain.ports import Live
from fanout.errors import FanoutError, NotFinishedError

from .gauge import steady_rate
from .killer import Killer
from .result import After, Before, Drained, empty_in_s
from .stage import ARRIVING, WORKERS

if TYPE_CHECKING:
    from fanout.drain.report import Report
    from fanout.work.supervisor import Supervisor

    from .effects import Verdict
    from .stage import Stage
    from .story import Story

__all__ = ["Chapters"]

BEFORE_S, AFTER_S = 8.0, 5.0
BEFORE_SHARE = 0.2
"""Of the backlog, the old consumers get no more than this: a small demo must leave something to drain."""

LATEST_S = 120.0
"""For what takes seconds: workers that start, an end that is in sight."""

CHUNK = 20_000
GLANCE_S = 0.1


class Chapters:
    """What happens in the demo on `stage`. `stop` ends a chapter at its next wait, with NotFinishedError."""

    def __init__(self, stage: Stage, story: Story, stop: threading.Event) -> None:
        self._stage = stage
        self._story = story
        self._stop = stop
        self._old: set[int] = set()

    def pile_up(self) -> None:
        """Writes the backlog."""
        messages = self._stage.settings.messages
        self._story.begin("pile up a backlog")
        for begun in range(0, messages, CHUNK):
            self._require_going()
            self._stage.feeder.pile_up(min(CHUNK, messages - begun))
        self._story.end(f"{messages:,} orders wait; {ARRIVING} more arrive every second from now on")

    def old_consumers(self) -> Before:
        """Lets the old consumers work for some seconds, and stops them."""
        stage, gauge = self._stage, self._stage.gauge
        consumers = stage.settings.partitions
        self._story.begin(f"before: {consumers} old consumers")
        with stage.old_consumers() as old:
            self._wait(stage.all_at_work, old)
            began = gauge.look()
            enough = began.handled + stage.settings.messages * BEFORE_SHARE
            self._wait(lambda: gauge.now.at_s - began.at_s >= BEFORE_S or gauge.now.handled >= enough, old)
            rate = steady_rate(gauge.since(began.at_s))
            self._old.update(old.pids())
        computed_s = empty_in_s(gauge.look().waiting, rate, ARRIVING)
        alone = "would never be done" if computed_s is None else f"would need {duration_text(computed_s)} (computed)"
        self._story.end(f"{consumers} old consumers handle {rate:,.0f}/s; they alone {alone}")
        return Before(consumers=consumers, rate=rate)

    def drain(self) -> Drained:
        """Drains through a temp topic with many workers, and hands the group back."""
        stage, gauge = self._stage, self._stage.gauge
        settings = stage.drain_settings()
        self._story.begin(f"drain: {WORKERS} workers, {settings.targets} partitions")
        began = gauge.look()
        killer = Killer(lambda: stage.latest_workers() - self._old, self._story.detail)
        with killer.at_work() if stage.settings.kill else nullcontext():
            report = self._run(Drain(settings, open_doors(settings), _Steps(self._story)))
        rate = steady_rate(gauge.since(began.at_s))
        self._story.end(f"{WORKERS} workers handled {report.records:,} orders, {rate:,.0f}/s; the group is handed back")
        return Drained(
            workers=WORKERS,
            targets=settings.targets,
            began=began,
            records=report.records,
            rate=rate,
            killed=frozenset(killer.killed),
        )

    def home_again(self, old: Supervisor, drain: Drained) -> After:
        """Lets the old consumers go on: until no more waits than arrives in a second, then some seconds."""
        stage, gauge = self._stage, self._stage.gauge
        self._story.begin(f"after: {stage.settings.partitions} old consumers again")
        handled = gauge.look().handled
        # So little may wait at first that it says nothing yet of consumers which are still starting.
        self._wait(lambda: gauge.now.handled > handled and stage.lag() <= ARRIVING, old)
        emptied_s = time.monotonic() - drain.began.at_s
        self._wait(lambda: time.monotonic() - drain.began.at_s - emptied_s >= AFTER_S, old)
        rate = steady_rate(gauge.since(drain.began.at_s + emptied_s))
        self._story.end(f"the {stage.settings.partitions} old consumers are back and keep up: {rate:,.0f}/s")
        return After(emptied_s=emptied_s, rate=rate, last=gauge.look())

    def finish(self, old: Supervisor) -> None:
        """Lets the old consumers handle and commit everything, now that nothing more arrives."""
        self._wait(lambda: self._stage.lag() == 0, old)

    def compare(self, killed: frozenset[int]) -> Verdict:
        """Holds every effect against every acknowledged order."""
        self._story.begin("compare")
        verdict = self._stage.verdict(killed)
        self._story.end(f"kafka-python read {verdict.effects:,} effects")
        return verdict

    def _run(self, drain: Drain) -> Report:
        """Runs the drain; a stop of the demo stops it."""
        over = threading.Event()

        def pass_on() -> None:
            while not over.wait(GLANCE_S):
                if self._stop.is_set():
                    drain.stop()
                    return

        threading.Thread(target=pass_on, name="stop-drain", daemon=True).start()
        try:
            return drain.run()
        except FanoutError as error:
            # What a drain leaves standing, and how to go on from there, is gone with this Kafka.
            error.__notes__ = []
            raise
        finally:
            over.set()

    def _wait(self, until: Callable[[], bool], old: Supervisor) -> None:
        deadline = time.monotonic() + LATEST_S
        while not until():
            self._stop.wait(GLANCE_S)
            self._require_going()
            self._stage.feeder.check()
            stats = old.poll()
            if time.monotonic() > deadline:
                raise NotFinishedError(f"the old consumers did not come far enough in {LATEST_S:g} s: {stats}")

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise NotFinishedError("the demo was stopped before its end")


class _Steps:
    """Passes the drain's steps on to the story."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def step(self, _name: str, detail: str) -> None:
        """One step of the drain."""
        self._story.detail(detail)

    def live(self, _live: Live) -> None:
        """The gauge looks at the effects themselves."""
