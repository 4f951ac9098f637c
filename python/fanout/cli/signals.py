"""
SIGTERM and SIGINT: the first stops cleanly, the second ends the process at once. So does the first while nothing has
begun, which counts as clean.

The work runs on a thread of its own. Python runs signal handlers on the main thread
between bytecodes, and a main thread inside a long call into the core would not see them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

__all__ = ["Stoppable", "as_usual", "at_once"]

T = TypeVar("T")

logger = logging.getLogger("fanout.cli")

INTERRUPTED = 130
"""Exit code after Ctrl-C; a clean end after SIGTERM is 0, as service managers expect."""

GLANCE_S = 0.25

BOTH = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def at_once() -> Iterator[None]:
    """Outside of `Stoppable.run` a signal ends the process at once: with 0 for SIGTERM, 130 for Ctrl-C.

    The default would be no clean end, and for the first process of a container none at all.
    """
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    watching = threading.Thread(target=_watch, args=[told], name="signals", daemon=True)
    watching.start()
    # Written to by the interpreter itself, whatever the main thread waits in.
    wakes = signal.set_wakeup_fd(tells)
    before = {number: signal.signal(number, _nothing_begun) for number in BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakes)
        os.close(tells)
        watching.join()
        os.close(told)


def as_usual() -> None:
    """For commands that answer a question: one that a signal ended has not answered, and may not look as if it had."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _watch(told: int) -> None:
    """Sees to signals while the main thread is inside a long call. Otherwise that thread may be first."""
    while one := os.read(told, 1):
        number = signal.Signals(one[0])
        if signal.getsignal(number) is _nothing_begun:
            _end(number)


def _nothing_begun(number: int, _frame: FrameType | None) -> None:
    # Not left to `_watch`: until that looks, `Stoppable` may have begun, and the signal would be nobody's.
    _end(signal.Signals(number))


def _end(number: signal.Signals) -> None:
    if _ending.acquire(blocking=False):
        os.write(2, f"fanout: {number.name}: nothing is under way, ending at once\n".encode())
        os._exit(INTERRUPTED if number == signal.SIGINT else 0)


_ending = threading.Lock()
"""Taken by who ends the process."""


class Stoppable(Generic[T]):
    """Runs `work` on a thread until it ends; the first signal calls `stop`, the second ends the process.

    `glance` is called on the main thread a few times a second meanwhile.
    """

    def __init__(self, work: Callable[[], T], stop: Callable[[], None], glance: Callable[[], None]) -> None:
        self._work = work
        self._stop = stop
        self._glance = glance
        self._signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What to exit with after a clean stop: 130 for Ctrl-C, 0 for SIGTERM or no signal."""
        return INTERRUPTED if self._signal == signal.SIGINT else 0

    @property
    def was_stopped(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    def run(self) -> T:
        """The result of `work`; its exception is raised here."""
        from concurrent.futures import ThreadPoolExecutor

        before = {number: signal.signal(number, self._on_signal) for number in BOTH}
        done = threading.Event()
        try:
            with ThreadPoolExecutor(1, "fanout-command") as pool:
                future = pool.submit(self._work)
                future.add_done_callback(lambda _: done.set())
                while not done.wait(GLANCE_S):
                    self._glance()
                return future.result()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._signal is not None:
            sys.stderr.write(f"fanout: {name} again: ending at once\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self._signal = number
        logger.warning("%s: stopping cleanly; a second one ends at once", name)
        # Stopping may take a lock that the interrupted code on this thread holds.
        threading.Thread(target=self._stop, name="fanout-stop", daemon=True).start()
