"""What is left out on the user's word stays remembered beside the group's offset, or is not left out."""

from __future__ import annotations

import pytest

from fanout.config.selection import Place, Selection
from fanout.errors import RefusedError
from fanout.kafka.carry import Errand
from fanout.kafka.skip import skip_broken
from fanout.kafka.tally import MOST_SKIPPED, Tally, TallyNote, parse_note

from .drain.twins import MemoryCluster

ERRAND = Errand(
    source=Selection("source", None),
    target="target",
    group="g",
    start=None,
    end=None,
    route="key",
    partitioner="murmur2",
    origin="none",
    compression="same",
)
DONE = Tally(100, 7)


class Damaged(MemoryCluster):
    """The batches of the source end at each tenth offset, and every one of them is broken."""

    def broken_batch(self, topic: str, partition: int, offset: int) -> tuple[int, int | None, str] | None:
        return offset, offset - offset % 10 + 10, f"{topic}/{partition}: its checksum is wrong"


def damaged(*skipped: tuple[int, int], at: int) -> Damaged:
    cluster = Damaged()
    cluster.commits["g", "source"] = {2: (at, TallyNote(DONE, "tag", skipped=skipped).text())}
    return cluster


def committed(cluster: Damaged) -> tuple[int, TallyNote]:
    offset, metadata = cluster.commits["g", "source"][2]
    note = parse_note(metadata)
    assert note is not None, metadata
    return offset, note


def test_a_batch_behind_one_that_was_left_out_makes_the_same_stretch_longer() -> None:
    cluster = damaged((10, 20), (40, 50), at=50)
    [skipped] = skip_broken(ERRAND, [Place("source", 2, 50)], cluster)
    assert (skipped.place.offset, skipped.end) == (50, 60)
    assert committed(cluster) == (60, TallyNote(DONE, "tag", skipped=((10, 20), (40, 60))))


def test_a_note_that_is_full_takes_what_joins_its_last_stretch() -> None:
    full = [(20 * number, 20 * number + 10) for number in range(MOST_SKIPPED)]
    end = full[-1][1]
    cluster = damaged(*full, at=end)
    skip_broken(ERRAND, [Place("source", 2, end)], cluster)
    assert committed(cluster) == (end + 10, TallyNote(DONE, "tag", skipped=(*full[:-1], (full[-1][0], end + 10))))


def test_what_a_note_cannot_hold_is_refused_before_anything_changes() -> None:
    full = [(20 * number, 20 * number + 10) for number in range(MOST_SKIPPED)]
    at = full[-1][1] + 10
    cluster = damaged(*full, at=at)
    cluster.commits["g", "source"][1] = (0, TallyNote(DONE, "tag").text())
    before = dict(cluster.commits["g", "source"])
    with pytest.raises(RefusedError) as refused:
        skip_broken(ERRAND, [Place("source", 1, 0), Place("source", 2, at)], cluster)
    assert cluster.commits["g", "source"] == before
    assert "remembers 32 stretches of that partition" in refused.value.problem
    assert "nothing was skipped" in refused.value.problem
    assert f"-t source:2 --from @{at + 10}" in refused.value.remedy
