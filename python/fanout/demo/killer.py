"""Kills some of the workers in the middle of their handlers."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ["Killer"]

logger = logging.getLogger("fanout.demo")

VICTIMS = 3
APART_S = 4.0


class Killer:
    """Sends SIGKILL to one worker after another while its block lasts. `killed` are their process ids."""

    def __init__(self, workers: Callable[[], set[int]], tell: Callable[[str], None]) -> None:
        self.killed: set[int] = set()
        self._workers = workers
        self._tell = tell

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kills on a thread of its own."""
        stop = threading.Event()
        with ThreadPoolExecutor(1, "killer") as pool:
            killing = pool.submit(self._keep_killing, stop)
            try:
                yield
            finally:
                stop.set()
            killing.result()

    def _keep_killing(self, stop: threading.Event) -> None:
        while len(self.killed) < VICTIMS and not stop.wait(APART_S):
            victims = self._workers() - self.killed
            if victims:
                self._kill(min(victims))

    def _kill(self, worker: int) -> None:
        # A worker leads a process group of its own: an id that was given away meanwhile does not.
        try:
            if os.getpgid(worker) == worker:
                os.kill(worker, signal.SIGKILL)
                self.killed.add(worker)
                self._tell(f"worker {worker} is killed; another one takes its place")
        except ProcessLookupError:
            logger.info("worker %d had ended before it could be killed", worker)
