"""
Leaving out one broken batch, on the user's word.

A lane never skips by itself. It halts and names topic, partition and offset; a user who names the same place back has
the group's offset moved behind that one batch, before any lane starts. Anything else at that place is refused: another
offset than the one the group stands at, a batch that is sound, an end that nothing tells for certain. What was left out
is remembered beside the group's offset, whoever carries the lane from there on; what could not be remembered is not
left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from fanout.config.selection import Place
from fanout.errors import ConfigError, RefusedError

from .carry import Errand, LeftOut
from .names import forward_prefix
from .ports import Cluster
from .tally import TallyNote, parse_note

__all__ = ["Skipped", "skip_broken"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Offsets `start` to `end - 1` of a partition were left out because of `problem`."""

    place: Place
    end: int
    problem: str

    def __str__(self) -> str:
        place = self.place
        left_out = LeftOut(place.topic, place.partition, place.offset, self.end)
        return f"{left_out}: {self.problem}"


def skip_broken(errand: Errand, places: Sequence[Place], cluster: Cluster) -> list[Skipped]:
    """Moves the group's offset behind each broken batch named; all are looked at before the first is moved."""
    found = [_look(errand, place, cluster) for place in places]
    for skipped, left_out in found:
        place = skipped.place
        cluster.commit(errand.group, place.topic, {place.partition: (skipped.end, left_out.text())})
        log.warning("skipped on the user's word: %s", skipped)
    return [skipped for skipped, _ in found]


def _look(errand: Errand, place: Place, cluster: Cluster) -> tuple[Skipped, TallyNote]:
    """What would be left out, and the note that says so, whose sums stay: no record of it was carried."""
    if place.topic != errand.source.topic:
        raise ConfigError("--skip", f"{place} is not of the source topic {errand.source.topic}")
    # Whoever carried the lane is fenced, and what it left open has ended: only now does its offset stand still.
    cluster.take_over(f"{forward_prefix(errand.group)}.{place.topic}.{place.partition}")
    committed = cluster.committed(errand.group, place.topic).get(place.partition)
    if committed is None or committed[0] != place.offset:
        stands = "has no commit there" if committed is None else f"stands at offset {committed[0]}"
        raise RefusedError(
            f"--skip {place}: group {errand.group} {stands}, and nothing was skipped",
            "name the place at which the lane halted, or take --skip away",
        )
    note = parse_note(committed[1])
    if note is None:
        raise RefusedError(
            f"--skip {place}: group {errand.group} has an offset there that something else committed",
            "give the forwarder a group of its own",
        )
    broken = cluster.broken_batch(place.topic, place.partition, place.offset)
    if broken is None or broken[0] != place.offset:
        where = "the batch there can be carried" if broken is None else f"the batch is sound up to offset {broken[0]}"
        raise RefusedError(f"--skip {place}: {where}, and nothing was skipped", "start again without --skip")
    _, end, problem = broken
    if end is None:
        raise RefusedError(
            f"--skip {place}: nothing tells for certain where the batch ends ({problem})",
            f"choose a place behind it under another group: -t {place.topic}:{place.partition} --from @OFFSET",
        )
    left_out = note.leaving_out(place.offset, end)
    if left_out.is_too_long:
        # One of them forgotten would be taken for carried, by whoever asks this group what it left out.
        raise RefusedError(
            f"--skip {place}: group {errand.group} remembers {len(note.skipped)} stretches of that partition that were "
            "left out, and cannot hold another; nothing was skipped",
            f"go on behind it under another group: -t {place.topic}:{place.partition} --from @{end}; "
            "this one keeps its list (left_out)",
        )
    return Skipped(place, end, problem), left_out
