"""Ten minutes of processes that share lanes and come, go and are killed: nothing is lost, doubled or reordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharing import Plan, share_and_prove

if TYPE_CHECKING:
    from conftest import Kafka, Topics


def test_ten_minutes_of_lanes_that_move(kafka: Kafka, topics: Topics) -> None:
    figures = share_and_prove(kafka, topics, Plan(seconds=600, rate=5_000))

    assert figures.moves >= 100, "too little moved: the run is void"
    assert figures.kills >= 20, "too few were killed: the run is void"
    assert figures.renewals == 0, "a lane was disturbed"
