"""Where a worker begins a partition: at its group's commit, fetched once, owner and position in one answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fanout.errors import WorkError

if TYPE_CHECKING:
    from fanout.config.work import RunWork

__all__ = ["Offsets", "Starts", "WhereNew"]

WhereNew = Literal["earliest", "latest", "error"]
"""Where a group outside a run begins a partition it has never committed."""


class Offsets(Protocol):
    """What is asked of `fanout._fanout.Cluster`."""

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]: ...
    def offsets(self, topic: str, at: Literal["earliest", "latest"]) -> dict[int, int]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Starts:
    """Answers where `group` stands in `topic`."""

    cluster: Offsets
    topic: str
    group: str
    run: RunWork | None = None
    where_new: WhereNew = "earliest"

    def of(self, partitions: list[int]) -> Mapping[int, tuple[int, str]]:
        """Next offset and metadata of each partition to read. WorkError when one may not be begun.

        A partition that the temp topic got after its run was allotted is not among them: no lane writes to it.
        """
        if not partitions:
            return {}
        committed = self.cluster.committed(self.group, self.topic)
        run = self.run
        if run is not None:
            return {p: self._in_run(run, p, committed) for p in partitions if p in run.sources}
        new = [partition for partition in partitions if partition not in committed]
        fresh = self._new(new) if new else {}
        return {p: committed[p] if p in committed else (fresh[p], "") for p in partitions}

    def gone(self, topic: str, message: Any) -> WorkError:
        """The error for a position the log no longer holds."""
        first = self.cluster.offsets(topic, "earliest").get(message.partition())
        return WorkError(
            f"{topic}/{message.partition()}: what {self.group} has not read yet is gone; the log starts at {first}",
            "those records expired unread or the topic was made again; to go on at the first one left, "
            "set -X consumer.auto.offset.reset=earliest",
        )

    def _in_run(self, run: RunWork, partition: int, committed: Mapping[int, tuple[int, str]]) -> tuple[int, str]:
        if partition in committed:
            return committed[partition]
        raise WorkError(
            f"{self.topic}/{partition}: group {self.group} has no commit for run {run.run}, "
            "so its offsets were moved by another tool",
            "the run cannot be proven any more; end it and drain again",
        )

    def _new(self, partitions: list[int]) -> dict[int, int]:
        if self.where_new == "error":
            raise WorkError(
                f"group {self.group} has no commit for {self.topic}, partitions {partitions}",
                "commit where it is to begin, or set -X consumer.auto.offset.reset=earliest",
            )
        found = self.cluster.offsets(self.topic, self.where_new)
        return {partition: found[partition] for partition in partitions}
