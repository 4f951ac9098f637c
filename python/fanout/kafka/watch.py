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


class Watch:
    """Calls each of `looks` in turn; one that raises FanoutError has learned nothing and is called again."""

    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks: Sequence[Callable[[], None]] = looks
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="fanout-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not joined: it may be waiting for a broker, and nobody needs its answer any more.
        self._over.set()

    def glance(self) -> None:
        """Takes each look once, now."""
        for look in self._looks:
            try:
                look()
            except FanoutError as error:
                logger.debug("nothing was learned by looking: %s", error)

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self.glance()
