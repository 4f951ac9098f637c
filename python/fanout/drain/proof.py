"""
The conservation proof: what the lanes wrote is what the workers settled, and what the source holds.

Three witnesses for each source partition, over the same records [C, F): the lane's
tally in the forward group's metadata, the workers' tallies in the work group's, and a
separate pass over the source itself. A count alone would miss a record lost and
another doubled; the sum over their places does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fanout.errors import ProofError
from fanout.kafka.names import RunNames
from fanout.kafka.ports import Cluster
from fanout.kafka.tally import NOTHING, Tally

from .finished_mark import lane_notes, worker_notes

__all__ = ["Witness", "count_source", "judge", "testify"]

STRETCH = 250_000
"""Offsets counted by one question, so that none outlasts its timeout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """What was said about [start, end) of one source partition. `source` is None where the source cannot tell."""

    partition: int
    start: int
    end: int
    lanes: Tally
    settled: Tally
    dead: Tally
    source: Tally | None


def testify(
    cluster: Cluster, names: RunNames, start: Mapping[int, int], allotments: Mapping[int, Sequence[int]]
) -> list[Witness]:
    """Reads the tallies of lanes and workers. The source is not asked yet."""
    carried = lane_notes(cluster, names, cluster.topic_id(names.temp_topic))
    settled = worker_notes(cluster, names)
    return [
        Witness(
            partition=partition,
            start=start[partition],
            end=carried[partition][0],
            lanes=carried[partition][1].tally,
            settled=Tally.total(settled[t][1].tally for t in targets if t in settled),
            dead=Tally.total(settled[t][1].dead for t in targets if t in settled),
            source=None,
        )
        for partition, targets in sorted(allotments.items())
    ]


def count_source(cluster: Cluster, topic: str, partition: int, start: int, end: int) -> Tally:
    """The source's own count and sum over [start, end)."""
    tally = NOTHING
    for first in range(start, end, STRETCH):
        tally += Tally(*cluster.count(topic, partition, first, min(first + STRETCH, end)))
    return tally


def judge(topic: str, witnesses: Sequence[Witness]) -> None:
    """Raises ProofError naming each partition whose witnesses disagree, and what each of them says."""
    wrong = []
    for one in witnesses:
        handled = one.settled + one.dead
        if handled != one.lanes or one.source not in (None, one.lanes):
            source = f", its source holds {one.source}" if one.source is not None else ""
            wrong.append(
                f"{topic}/{one.partition} [{one.start}, {one.end}): carried {one.lanes}, handled {handled}{source}"
            )
    if wrong:
        raise ProofError("; ".join(wrong), "nothing was deleted: compare source and temp topic before going on")
