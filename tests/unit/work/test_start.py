"""Where a worker begins a partition."""

from __future__ import annotations

import pytest

from fanout.config.work import RunWork
from fanout.errors import WorkError
from fanout.work.start import Starts

from .twins import TwinCluster

NOTE = "fanout1 0 0000000000000000 r"
RUN = RunWork(run="r", source="orders", topic="temp", sources={0: 0, 1: 0})


def test_a_run_begins_at_its_own_commits_with_their_notes() -> None:
    starts = Starts(cluster=TwinCluster({0: (5, NOTE), 1: (0, NOTE)}), topic="temp", group="g", run=RUN)
    assert starts.of([0, 1]) == {0: (5, NOTE), 1: (0, NOTE)}


def test_a_partition_that_no_lane_writes_is_left_alone() -> None:
    starts = Starts(cluster=TwinCluster({0: (5, NOTE)}), topic="temp", group="g", run=RUN)
    assert starts.of([0, 7]) == {0: (5, NOTE)}


def test_a_run_without_its_commit_is_not_begun() -> None:
    starts = Starts(cluster=TwinCluster({0: (5, NOTE)}), topic="temp", group="g", run=RUN)
    with pytest.raises(WorkError, match="temp/1: group g has no commit for run r"):
        starts.of([0, 1])


def test_outside_a_run_a_new_group_begins_where_it_was_told() -> None:
    cluster = TwinCluster({}, starts={0: 3, 1: 4})
    assert Starts(cluster=cluster, topic="orders", group="g").of([1]) == {1: (4, "")}
    assert Starts(cluster=cluster, topic="orders", group="g", where_new="latest").of([0]) == {0: (3, "")}
    assert cluster.asked[1::2] == ["offsets orders earliest", "offsets orders latest"]
    with pytest.raises(WorkError, match="group g has no commit for orders"):
        Starts(cluster=cluster, topic="orders", group="g", where_new="error").of([0])


def test_no_partition_is_no_question() -> None:
    cluster = TwinCluster({})
    assert Starts(cluster=cluster, topic="orders", group="g").of([]) == {}
    assert cluster.asked == []
