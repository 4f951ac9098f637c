"""
The backlog scenario, before and after, on a throw-away Kafka.

    pile up ─▶ 3 old consumers ─▶ drain, 10 workers ─▶ the old consumers again ─▶ compare every effect
                      └──────────── more orders arrive all the time ───────────┘

This file is the order of the chapters; `chapters` is what happens in them.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from .chapters import Chapters
from .cluster import Cluster
from .gauge import Gauge
from .handlers import EFFECTS, ORDERS, environment
from .release import KAFKA_VERSION
from .result import After, Before, Drained, Result
from .stage import ARRIVING, DemoSettings, Stage
from .story import Story
from .witness import find_kafka_python

__all__ = ["Demo"]

JOIN_MS = "1000"
"""`group.initial.rebalance.delay.ms`: processes that start together should join together."""


class Demo:
    """One demo. `run` leaves nothing behind, however it ends; `stop`, from any thread, ends it early."""

    def __init__(self, settings: DemoSettings, story: Story) -> None:
        self.gauge: Gauge | None = None
        """How it goes; None until records are handled."""
        self._settings = settings
        self._story = story
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ends the demo at its next wait: `run` raises NotFinishedError, or returns if all is compared already."""
        self._stop.set()

    def run(self) -> Result:
        """The whole story. The result says whether the proof holds."""
        find_kafka_python()
        settings, story = self._settings, self._story
        began_s = time.monotonic()
        story.begin("start Kafka")
        with Cluster(properties={"group.initial.rebalance.delay.ms": JOIN_MS}) as kafka:
            stage = Stage(settings, kafka.bootstrap)
            stage.make_topics()
            story.end(f"Apache Kafka {KAFKA_VERSION}, one node; topic {ORDERS} with {settings.partitions} partitions")
            chapters = Chapters(stage, story, self._stop)
            chapters.pile_up()
            with environment(kafka.bootstrap, settings.handler_ms), stage.gauge.running():
                self.gauge = stage.gauge
                before, drain, after = _play(stage, chapters)
                self.gauge = None
            result = Result(
                handler_ms=settings.handler_ms,
                arriving=ARRIVING,
                before=before,
                drain=drain,
                after=after,
                verdict=chapters.compare(drain.killed),
                elapsed_s=time.monotonic() - began_s,
            )
            story.result(result)
            if settings.keep:
                story.begin(f"Kafka stays at {kafka.bootstrap}, with topics {ORDERS} and {EFFECTS}; Ctrl-C ends it")
                self._stop.wait()
        return result


def _play(stage: Stage, chapters: Chapters) -> tuple[Before, Drained, After]:
    with ExitStack() as arriving:
        arriving.enter_context(stage.feeder.arriving(ARRIVING))
        before = chapters.old_consumers()
        drain = chapters.drain()
        with stage.old_consumers() as old:
            after = chapters.home_again(old, drain)
            arriving.close()
            chapters.finish(old)
    return before, drain, after
