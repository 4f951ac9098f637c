"""The finished mark, over logs with transactions in every state."""

from __future__ import annotations

import pytest

from fanout.drain.finished_mark import FinishedMarks
from fanout.errors import ProofError
from fanout.kafka.names import RunNames

from .twins import Entry, MemoryCluster

NAMES = RunNames("orders", "20260131-080000-test")
TEMP = NAMES.temp_topic


class Run:
    """One source partition with two targets."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.cluster.add_topic("orders", 1)
        self.cluster.add_topic(TEMP, 2)
        self.forwarded(0)
        self.settled(0, 0)
        self.settled(1, 0)
        self.marks = FinishedMarks(self.cluster, NAMES, {0: 0}, {0: (0, 1)})

    def forwarded(self, offset: int, tag: str | None = None) -> None:
        metadata = f"fanout1 0 {0:016x} {tag or self.cluster.topic_id(TEMP)}"
        self.cluster.commit(NAMES.forward_group, "orders", {0: (offset, metadata)})

    def settled(self, target: int, offset: int) -> None:
        self.cluster.commit(NAMES.work_group, TEMP, {target: (offset, f"fanout1 0 {0:016x} {NAMES.run}")})

    def wrote(self, target: int, *offsets: int, kind: str = "committed") -> None:
        self.cluster.append(TEMP, target, *(Entry(kind, (0, offset)) for offset in offsets))  # type: ignore[arg-type]

    def marker(self, target: int) -> None:
        self.cluster.append(TEMP, target, Entry("marker"))

    def mark(self) -> int:
        return self.marks.read()[0]


def test_the_first_unfinished_record_of_the_slowest_target_is_the_mark() -> None:
    run = Run()
    run.wrote(0, 0, 2, 4)
    run.wrote(1, 1, 3, 5)
    run.forwarded(6)
    run.settled(0, 2)
    run.settled(1, 1)
    assert run.mark() == 3


def test_nothing_unfinished_up_to_the_high_watermark_is_what_was_forwarded() -> None:
    run = Run()
    run.wrote(0, 0)
    run.forwarded(1)
    run.settled(0, 1)
    assert run.mark() == 1


def test_trailing_markers_and_aborted_data_do_not_hold_the_mark_below_the_cut() -> None:
    run = Run()
    run.wrote(0, 0)
    run.marker(0)
    run.wrote(0, 1, 1, kind="aborted")
    run.marker(0)
    run.marker(1)
    run.forwarded(7)
    run.settled(0, 1)
    assert run.mark() == 7


def test_records_whose_markers_are_missing_keep_the_old_mark() -> None:
    run = Run()
    run.wrote(0, 0)
    run.forwarded(1)
    run.settled(0, 1)
    assert run.mark() == 1

    run.wrote(0, *range(1, 11), kind="open")  # acknowledged, and their commit was answered, but no marker is written
    run.forwarded(11)
    assert run.cluster.offsets(TEMP, "stable")[0] == 1
    assert run.mark() == 1


def test_taking_the_last_stable_offset_for_the_end_would_pass_them() -> None:
    """What the high watermark is for: with the last stable offset as E, the same state reads as finished."""
    run = Run()
    run.wrote(0, *range(10), kind="open")
    run.forwarded(10)
    honest = run.cluster.offsets
    run.cluster.offsets = lambda topic, at: honest(topic, "stable" if at == "latest" else at)  # type: ignore[method-assign]
    assert run.mark() == 10


def test_unstable_offsets_of_the_forward_group_keep_the_old_mark() -> None:
    run = Run()
    run.wrote(0, 0, 1)
    run.forwarded(2)
    run.settled(0, 1)
    assert run.mark() == 1
    run.settled(0, 2)
    run.cluster.unstable.add(NAMES.forward_group)
    assert run.mark() == 1
    run.cluster.unstable.clear()
    assert run.mark() == 2


def test_a_mark_is_never_lowered() -> None:
    run = Run()
    run.wrote(0, 0, 1)
    run.forwarded(2)
    run.settled(0, 2)
    assert run.mark() == 2
    run.settled(0, 0)
    assert run.mark() == 2


def test_a_target_without_a_commit_is_read_from_its_start() -> None:
    run = Run()
    run.wrote(0, 0)
    run.forwarded(1)
    run.cluster.commits[NAMES.work_group, TEMP] = {}
    assert run.mark() == 0


def test_each_thing_is_read_before_what_depends_on_it() -> None:
    run = Run()
    run.wrote(0, 0)
    calls: list[str] = []
    run.cluster.before = calls.append
    run.mark()
    assert calls == [
        f"committed {NAMES.forward_group}",
        f"committed {NAMES.work_group}",
        f"offsets {TEMP} earliest",
        f"offsets {TEMP} latest",
        "first_record",
        "first_record",
    ]


@pytest.mark.parametrize("metadata", ["", "fanout1 0 0000000000000000 another-topic", "someone else", "fanout1 x"])
def test_a_commit_of_another_tool_in_the_forward_group_stops_the_run(metadata: str) -> None:
    run = Run()
    run.cluster.commit(NAMES.forward_group, "orders", {0: (5, metadata)})
    with pytest.raises(ProofError, match="moved by another tool: orders/0 is at 5"):
        run.mark()


@pytest.mark.parametrize("origin", [None, (1, 7)])
def test_a_record_that_no_lane_of_the_partition_wrote_stops_the_run(origin: tuple[int, int] | None) -> None:
    run = Run()
    run.cluster.append(TEMP, 0, Entry("committed", origin))
    run.forwarded(1)
    with pytest.raises(ProofError, match="a record that no lane of partition 0 wrote"):
        run.mark()
