"""
The finished mark of each source partition: every record below it is finished.

The order in which things are read is the proof (DESIGN.md, "The finished mark"):

1. F, the forward group's offset. All records below F were acknowledged before it was
   committed.
2. c of each target, the work group's offset: everything below c is settled.
3. E of each target, its high watermark. Not the last stable offset: the markers of a
   transaction are written after its end is answered, so records below F may lie above
   the last stable offset, and taking it for the end would call them finished.

The first record of [c, E) is the first unfinished one, and its origin bounds the mark.
No record up to E means that everything forwarded to this target is finished, and F
bounds it. Anything unclear keeps the old mark. A mark never goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from fanout.errors import ProofError, UnreachableError
from fanout.kafka.names import RunNames
from fanout.kafka.ports import Cluster
from fanout.kafka.tally import TallyNote, parse_note

__all__ = ["MOVED", "FinishedMarks", "lane_notes", "worker_notes"]

logger = logging.getLogger("fanout.drain")

MOVED = "stop that tool; nothing of this run was deleted"


class FinishedMarks:
    """The marks of one run. `cluster` should have a short timeout: an answer that is late keeps the old mark."""

    def __init__(
        self, cluster: Cluster, names: RunNames, start: Mapping[int, int], allotments: Mapping[int, Sequence[int]]
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._allotments = allotments
        self._target_id = cluster.topic_id(names.temp_topic)
        self.marks = dict(start)

    def read(self) -> Mapping[int, int]:
        """Computes the marks again. Raises ProofError when another tool wrote where only the run may."""
        for partition, bound in self._bounds().items():
            self.marks[partition] = max(self.marks[partition], bound)
        return dict(self.marks)

    def _bounds(self) -> dict[int, int]:
        """The least unfinished offset of each source partition that could be told this time."""
        temp = self._names.temp_topic
        try:
            forwarded = lane_notes(self._cluster, self._names, self._target_id)
            settled = worker_notes(self._cluster, self._names)
            begin = self._cluster.offsets(temp, "earliest")
            end = self._cluster.offsets(temp, "latest")
        except UnreachableError as error:
            logger.info("the finished marks stay where they are this time: %s", error)
            return {}
        bounds = {}
        for partition, targets in self._allotments.items():
            stretches = {t: (settled[t][0] if t in settled else begin[t], end[t]) for t in targets}
            bound = self._bound(partition, forwarded[partition][0], stretches)
            if bound is not None:
                bounds[partition] = bound
        return bounds

    def _bound(self, partition: int, forwarded: int, stretches: Mapping[int, tuple[int, int]]) -> int | None:
        bound = forwarded
        for target, (settled, end) in stretches.items():
            try:
                found = self._cluster.first_record(self._names.temp_topic, target, settled, end)
            except UnreachableError:
                return None
            if found.state == "unknown":
                return None
            if found.state == "record":
                if found.origin is None or found.origin[0] != partition:
                    raise ProofError(
                        f"{self._names.temp_topic}/{target} at offset {found.offset}: a record that no lane of "
                        f"partition {partition} wrote",
                        MOVED,
                    )
                bound = min(bound, found.origin[1])
        return bound


def lane_notes(cluster: Cluster, names: RunNames, target_id: str) -> dict[int, tuple[int, TallyNote]]:
    """What each lane has carried: F and its tally, from one read of the forward group."""
    return _notes(cluster, names.forward_group, names.source, target_id)


def worker_notes(cluster: Cluster, names: RunNames) -> dict[int, tuple[int, TallyNote]]:
    """What was settled of each target: its offset and tally, from one read of the work group."""
    return _notes(cluster, names.work_group, names.temp_topic, names.run)


def _notes(cluster: Cluster, group: str, topic: str, tag: str) -> dict[int, tuple[int, TallyNote]]:
    notes = {}
    for partition, (offset, metadata) in cluster.committed(group, topic).items():
        note = parse_note(metadata)
        if note is None or note.tag != tag:
            raise ProofError(f"group {group} was moved by another tool: {topic}/{partition} is at {offset}", MOVED)
        notes[partition] = (offset, note)
    return notes
