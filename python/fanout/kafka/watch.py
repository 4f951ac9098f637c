"""Looks at a cluster every few seconds while something runs, on a thread of its own: an answer may take long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from fanout.errors import FanoutError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Watch"]

logger = logging.getLogger("fanout.forward")

LOOK_S = 5.0

LAST_LOOK_S = 0.5
"""How long the last look may hold an end up: a cluster that is silent answers neither it nor anybody else."""


class Watch:
    """Calls each of `looks` in turn; one that raises FanoutError has learned nothing and is called again.

    Leaving it takes a last look, for what has happened since the one before.
    """

    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks: Sequence[Callable[[], None]] = looks
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fanout-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(LAST_LOOK_S)

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._glance()
        self._glance()

    def _glance(self) -> None:
        for look in self._looks:
            try:
                look()
            except FanoutError as error:
                logger.debug("nothing was learned by looking: %s", error)
