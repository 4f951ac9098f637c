"""
Who holds up a lane that waits below the high watermark, and since when.

A transaction that somebody opened and never ended keeps the last stable offset where it began: every read_committed
reader of the partition stands there, a forwarder too, and nothing looks wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ports import Cluster, LaneStats, OpenTransaction

__all__ = ["Standstill", "describe"]

logger = logging.getLogger("fanout.forward")

STILL_S = 30.0


def describe(holder: OpenTransaction) -> str:
    """One holder in a line: who, since which offset, and since when, as far as its coordinator tells."""
    who = f"producer {holder.producer_id} epoch {holder.epoch} since offset {holder.first_offset}"
    if holder.began_ms is None:
        return f"{who} (last write {_utc(holder.last_write_ms)})"
    return f"{who} (transactional id {holder.transactional_id}, open since {_utc(holder.began_ms)})"


def _utc(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Standstill:
    """Looks at the lanes.

    A lane that stands below the high watermark for 30 s is told of once, at warning, until it moves.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        lanes: Callable[[], Sequence[LaneStats]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held: Mapping[int, str] = {}
        """What holds each partition that stands still now."""
        self._cluster = cluster
        self._topic = topic
        self._lanes = lanes
        self._clock = clock
        self._stands: dict[int, tuple[int, float]] = {}

    @property
    def note(self) -> str:
        """For the progress line; empty while nothing is held."""
        return "; ".join(f"partition {partition} {held}" for partition, held in sorted(self.held.items()))

    def look(self) -> None:
        """Takes one look. Raises FanoutError when the cluster does not answer."""
        still = self._still()
        high = self._cluster.offsets(self._topic, "latest") if still else {}
        held = {}
        for partition, position in still.items():
            holders = self._cluster.stuck_by(self._topic, partition) if position < high[partition] else ()
            if holders:
                held[partition] = f"held at {position} by {', '.join(map(describe, holders))}"
        for partition, line in held.items():
            if self.held.get(partition) != line:
                below = f"below the high watermark {high[partition]}"
                logger.warning("%s/%d stands still %s: %s", self._topic, partition, below, line)
        self.held = held

    def _still(self) -> dict[int, int]:
        """Position of each lane that waits and has not moved for long."""
        now = self._clock()
        waiting = {lane.partition: lane.position for lane in self._lanes() if lane.state == "waiting"}
        self._stands = {
            partition: self._stands[partition]
            if self._stands.get(partition, (-1, now))[0] == position
            else (position, now)
            for partition, position in waiting.items()
        }
        return {partition: at for partition, (at, since) in self._stands.items() if now - since >= STILL_S}
