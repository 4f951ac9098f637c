"""What one drain is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.when import When

__all__ = ["TARGETS_PER_WORKER", "DrainSettings"]

TARGETS_PER_WORKER = 3
"""A group hands out whole partitions: with three a worker, one more or less is a third, not all or nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainSettings:
    """One drain of `topic` for `group`, by `workers` processes that run `app` (`pkg.mod:attr`).

    app_dir: the folder `app` is imported from.
    partitions: of the temp topic; None makes it three for each worker.
    route: one of `fanout.config.forward.ROUTES`; only `key` keeps the order of a key.
    start: where to begin in a partition the group has no commit on; None refuses such a partition.
    handler_rate: records a second one worker finishes, for the ETA before it can be measured.
    cutover_s: the old structure comes back once less is left than the workers finish in this time.
    timeout_s: stop cleanly when it takes longer; None lets it take as long as it takes.
    round_s: how often the finished mark is computed and the old group moved up to it.
    dedup: where the workers remember repeats.
    """

    clients: Clients
    app: str
    topic: str
    group: str
    workers: int
    app_dir: Path | None = None
    partitions: int | None = None
    route: str = "key"
    start: When | None = None
    handler_rate: float | None = None
    cutover_s: float = 5.0
    timeout_s: float | None = None
    round_s: float = 2.0
    dedup: DedupSettings | None = None

    @property
    def targets(self) -> int:
        """Partitions of the temp topic, as asked for or by default."""
        return self.partitions if self.partitions is not None else self.workers * TARGETS_PER_WORKER
