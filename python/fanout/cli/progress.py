"""How far long work has come: a live line on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fanout.config.durations import duration_text

__all__ = ["Meter", "Progress", "Tick", "open_progress"]

logger = logging.getLogger("fanout.progress")

LOG_EVERY_S = 5.0
WINDOW_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """One look: what is done, what there is in all (None: no end), how fast, until when, and a word about now.

    `eta_s` None is unknown.
    """

    done: int
    total: int | None
    rate: float
    eta_s: float | None
    note: str = ""

    def __str__(self) -> str:
        parts = [f"{self.done:,} records" if self.total is None else f"{self.done:,} of {self.total:,} records"]
        parts.append(f"{self.rate:,.0f}/s")
        if self.total is not None:
            parts.append(f"ETA {duration_text(self.eta_s)}" if self.eta_s is not None else "ETA unknown")
        return " · ".join([*parts, *([self.note] if self.note else [])])


class Meter:
    """Rate over the last seconds, and when the rest will be done at that rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int) -> None:
        """Notes that `done` is done by now."""
        now = self._clock()
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Per second; 0 until two looks were taken."""
        if len(self._seen) < 2:
            return 0.0
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        return max(0.0, (done - before) / (now - then)) if now > then else 0.0

    def eta_s(self, left: int) -> float | None:
        """Seconds until `left` more are done; None while nothing moves."""
        return left / self.rate if self.rate > 0 else None


class Progress:
    """What a verb shows while it works; this one shows nothing."""

    def show(self, tick: Tick) -> None:
        """Takes one look; shows it when it is time."""

    def close(self) -> None:
        """Leaves the terminal as it was."""


class LoggedProgress(Progress):
    """A log line every few seconds."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next = 0.0

    def show(self, tick: Tick) -> None:
        """Logs the look when the last line is old enough."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOG_EVERY_S
            logger.info("%s: %s", self._title, tick)


class LiveProgress(Progress):
    """A live line at the bottom of the terminal, with a bar when there is an end."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}")]
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(title, total=None, line="")
        self._bar.start()

    def show(self, tick: Tick) -> None:
        """Redraws the line."""
        self._bar.update(self._task, completed=tick.done, total=tick.total, line=str(tick))

    def close(self) -> None:
        """Removes the line."""
        self._bar.stop()


def open_progress(title: str, *, quiet: bool) -> Progress:
    """The way of showing that fits where stderr goes."""
    if quiet:
        return Progress()
    return LiveProgress(title) if sys.stderr.isatty() else LoggedProgress(title)
