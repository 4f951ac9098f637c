"""
Tells a blocked event loop from a dead process, and says what blocks it.

The loop beats, a thread listens. The thread goes on reporting while the loop stands still, names the record and the
stack once a standstill, and ends the process when it stands for too long: nothing else in it would go on either.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BEAT_S", "Pulse", "Vitals"]

logger = logging.getLogger("fanout.work")

BEAT_S = 0.5
TELL_S = 5.0
"""A loop that stands for this long is told of. Below it, it is as likely a machine that is short of processors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What the thread needs of its process.

    figures: what to report; called on the loop.
    report: sends figures; called by the thread, also while the loop stands still.
    culprit: names what a task runs; called by the thread.
    end: ends the process at once.
    """

    figures: Callable[[], dict[str, Any]]
    report: Callable[[dict[str, Any]], None]
    culprit: Callable[[asyncio.Task[Any] | None], str]
    end: Callable[[], object]


class Pulse:
    """The pulse of the loop it is made on. `most_s` is how long that loop may stand still."""

    def __init__(self, vitals: Vitals, most_s: float) -> None:
        self._vitals = vitals
        self._most_s = most_s
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._figures = vitals.figures()
        self._beats = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="pulse", daemon=True)

    async def beat(self) -> None:
        """Beats until it is cancelled."""
        self._thread.start()
        try:
            while True:
                self._figures = self._vitals.figures()
                self._beats += 1
                await asyncio.sleep(BEAT_S)
        finally:
            self._ended.set()

    def _listen(self) -> None:
        heard, stood_s, told, looked_at = -1, 0.0, False, time.monotonic()
        while not self._ended.wait(BEAT_S):
            self._vitals.report(self._figures)
            now = time.monotonic()
            if self._beats != heard:
                heard, stood_s, told = self._beats, 0.0, False
            else:
                # A process that was stopped as a whole wakes with a loop that looks old and is not at fault.
                stood_s += min(now - looked_at, 2 * BEAT_S)
            looked_at = now
            if not told and stood_s >= min(TELL_S, self._most_s / 2):
                told = True
                self._tell(stood_s)
            if stood_s >= self._most_s:
                logger.error("the event loop stood still for %.0f s: this process ends, another takes over", stood_s)
                self._vitals.end()

    def _tell(self, stood_s: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  the only way to another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        what = self._vitals.culprit(asyncio.current_task(self._loop))
        logger.warning("%s blocks the event loop, for %.1f s now:\n%s", what, stood_s, stack.rstrip())
