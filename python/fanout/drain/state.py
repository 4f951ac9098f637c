"""One run while it is at work: what its steps share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from fanout.errors import NotFinishedError, UnreachableError

from .finished_mark import FinishedMarks
from .lanes import Lanes
from .old_group import OldGroup
from .plan import Plan
from .ports import Doors, Progress, Workers
from .standing import Standing

__all__ = ["Run"]

T = TypeVar("T")

PATIENCE_S = 300.0
"""How long a step that must not be left half done asks an unreachable cluster again."""


class Run:
    """Everything the steps of one run share."""

    def __init__(self, plan: Plan, doors: Doors, progress: Progress, stop: threading.Event) -> None:
        self.plan = plan
        self.doors = doors
        self.progress = progress
        self.standing = Standing(written=dict(plan.committed))
        self.old_group = OldGroup(plan, doors, self.standing)
        self.began_s = time.monotonic()
        self.lanes: Lanes | None = None
        self.workers: Workers | None = None
        self.steps: list[tuple[str, float]] = []
        self.forwarded = 0
        self.restarts = 0
        self.parked: Sequence[str] = ()
        self.marks: FinishedMarks | None = None
        self._stop = stop

    def step(self, name: str, detail: str) -> None:
        """Notes that a step begins, and tells."""
        self.steps.append((name, self.elapsed_s))
        self.progress.step(name, detail)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began_s

    def pause(self, seconds: float) -> None:
        """Waits. Raises NotFinishedError when told to stop or out of time, or what ended lanes or workers."""
        limit_s = self.plan.settings.timeout_s
        if self._stop.wait(seconds):
            raise NotFinishedError(f"stopped after {self.elapsed_s:.0f} s, before the backlog was finished")
        if limit_s is not None and self.elapsed_s > limit_s:
            raise NotFinishedError(f"not finished within {limit_s:.0f} s")
        if self.lanes is not None:
            self.lanes.check()
        if self.workers is not None:
            self.parked = self.workers.check()

    def patiently(self, ask: Callable[[], T]) -> T:
        """The answer to `ask`, asked again while the cluster is unreachable and the run is not told to stop."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except UnreachableError:
                if time.monotonic() > deadline_s:
                    raise
                self.pause(1.0)
