"""The forwarder of a run on a thread of its own, and what became of its lanes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from fanout.errors import FanoutError, NotFinishedError
from fanout.kafka.ports import Forwarder, LaneEnd

__all__ = ["Lanes"]

STOP_S = 30.0
"""Longer than a transaction may take to end; after it the next owner aborts what is open."""


class Lanes:
    """Runs a forwarder's lanes beside the drain."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._pool = ThreadPoolExecutor(1, "fanout-lanes")
        self._ends: Future[Sequence[LaneEnd]] | None = None

    def start(self) -> None:
        """Starts the lanes and returns."""
        self._ends = self._pool.submit(self._forwarder.run)

    def forwarded(self) -> int:
        """Records carried so far."""
        return sum(lane.records for lane in self._forwarder.stats())

    def check(self) -> None:
        """Raises a lane's own error when a lane ended by itself."""
        if self._ends is None:
            return
        if not self._ends.done() and not any(lane.state == "ended" for lane in self._forwarder.stats()):
            return
        self._raise_failures(self.stop())
        raise NotFinishedError("the lanes ended before they were told to")

    def finish(self) -> None:
        """Ends every lane with its transaction; raises a lane's error when one could not."""
        self._raise_failures(self.stop())

    def stop(self) -> Sequence[LaneEnd]:
        """Ends every lane with its transaction, by force when that takes too long. Safe to call again."""
        if self._ends is None:
            return ()
        self._forwarder.stop()
        try:
            return self._ends.result(STOP_S)
        except TimeoutError:
            self._forwarder.abort()
        finally:
            self._pool.shutdown(wait=False)
        try:
            return self._ends.result(STOP_S)
        except TimeoutError:
            raise NotFinishedError(
                "the lanes did not end; their open transactions are aborted when they expire"
            ) from None

    @staticmethod
    def _raise_failures(ends: Sequence[LaneEnd]) -> None:
        errors: list[FanoutError] = [end.error for end in ends if end.error is not None]
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"another lane: {other}")
            raise errors[0]
