"""A drain's steps and numbers on stderr while it runs."""

from __future__ import annotations

import logging

from fanout.drain.ports import Live

from .progress import Tick, open_progress

__all__ = ["DrainProgress"]

logger = logging.getLogger("fanout.drain")


class DrainProgress:
    """Takes what the drain's thread tells, and shows it from the main thread."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._tick: Tick | None = None
        self._progress = open_progress("drain", quiet=True)

    def step(self, name: str, detail: str) -> None:
        """Logs the step."""
        logger.info("%s: %s", name, detail)
        if name == "drain":
            self._progress = open_progress("drain", quiet=self._quiet)
        elif name == "prove":
            self.close()

    def live(self, live: Live) -> None:
        """Keeps the latest numbers."""
        dead = f", {live.dead:,} dead letters" if live.dead else ""
        parked = f", waiting for another attempt: {'; '.join(live.parked)}" if live.parked else ""
        note = f"{live.forwarded:,} forwarded{dead}{parked}"
        self._tick = Tick(done=live.finished, total=live.total, rate=live.rate, eta_s=live.eta_s, note=note)

    def glance(self) -> None:
        """Shows the latest numbers."""
        tick = self._tick
        if tick is not None:
            self._progress.show(tick)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._tick = None
        self._progress.close()
