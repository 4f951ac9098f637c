"""The demo as it goes, on stderr: a line for each chapter that is over, and a live one for the chapter that is not."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fanout.config.durations import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fanout.demo.gauge import Gauge
    from fanout.demo.result import Result

__all__ = ["LiveStory", "LoggedStory", "open_story"]

logger = logging.getLogger("fanout.demo")

LOG_EVERY_S = 5.0
BAR = 30
"""Columns of the bar."""

Show = Callable[["Result"], None]


class LoggedStory:
    """A log line for each event, and one with numbers every few seconds."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._title = ""
        self._next_s = 0.0

    def begin(self, title: str) -> None:
        """Logs the chapter."""
        self._title = title
        self._next_s = time.monotonic() + LOG_EVERY_S
        logger.info("%s …", title)

    def detail(self, text: str) -> None:
        """Logs the detail."""
        logger.info("%s", text)

    def end(self, summary: str) -> None:
        """Logs the summary."""
        logger.info("%s", summary)

    def result(self, result: Result) -> None:
        """Prints the result."""
        self._show(result)

    def glance(self, gauge: Gauge | None) -> None:
        """Logs the numbers when the last ones are old enough."""
        if gauge is not None and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + LOG_EVERY_S
            logger.info("%s: %s", self._title, _numbers(gauge))

    def close(self) -> None:
        """Leaves nothing behind."""


class LiveStory:
    """On a terminal: what is over stays, what goes on moves."""

    def __init__(self, show: Show) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._show = show
        self._title = self._detail = ""
        self._began_s = time.monotonic()
        self._gauge: Gauge | None = None
        self._spinner = Spinner("dots", style="cyan")
        console = Console(stderr=True, highlight=False)
        # Standard output is left alone: it may lead elsewhere, and is for the result.
        self._live = Live(
            console=console, get_renderable=self._moving, refresh_per_second=8, transient=True, redirect_stdout=False
        )

    def begin(self, title: str) -> None:
        """Shows the chapter as what goes on."""
        self._title, self._detail, self._began_s = title, "", time.monotonic()
        self._live.start()

    def detail(self, text: str) -> None:
        """Shows the detail until the next one."""
        self._detail = text

    def end(self, summary: str) -> None:
        """Leaves a line with the summary, and how long it took."""
        took = duration_text(time.monotonic() - self._began_s)
        self._title = self._detail = ""
        self._live.console.print(f"[green]✓[/] {summary} [dim]{took}[/]")

    def result(self, result: Result) -> None:
        """Prints the result below all lines."""
        self._live.stop()
        self._live.console.print()
        self._show(result)

    def glance(self, gauge: Gauge | None) -> None:
        """Takes the numbers to show."""
        self._gauge = gauge

    def close(self) -> None:
        """Removes what moves."""
        self._live.stop()

    def _moving(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not self._title:
            return Text()
        line = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [self._spinner, Text(self._title)]
        gauge = self._gauge
        if gauge is not None:
            now = gauge.now
            cells += [ProgressBar(total=now.acknowledged, completed=now.handled, width=BAR), Text(_numbers(gauge))]
        line.add_row(*cells)
        return Group(line, Text(f"  {self._detail}", style="dim")) if self._detail else line


def open_story(show: Show) -> LiveStory | LoggedStory:
    """The way of telling that fits where stderr goes."""
    return LiveStory(show) if sys.stderr.isatty() else LoggedStory(show)


def _numbers(gauge: Gauge) -> str:
    """How fast it goes, what is left, and for how long at this rate."""
    from fanout.demo.result import empty_in_s
    from fanout.demo.stage import ARRIVING

    waiting, rate = gauge.now.waiting, gauge.rate
    empty_s = empty_in_s(waiting, rate, ARRIVING) if waiting > ARRIVING else None
    until = f" · empty in {duration_text(empty_s)}" if empty_s is not None else ""
    return f"{rate:,.0f}/s · {waiting:,} wait{until}"
