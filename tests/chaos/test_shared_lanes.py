"""Processes that share lanes come, go and are killed: nothing is lost, doubled or reordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharing import Plan, share_and_prove

if TYPE_CHECKING:
    from conftest import Kafka, Topics


def test_lanes_move_between_processes_that_come_go_and_are_killed(kafka: Kafka, topics: Topics) -> None:
    plan = Plan(seconds=25, rate=5_000, moves=6, kills=2)

    figures = share_and_prove(kafka, topics, plan)

    assert figures.moves >= plan.moves, "hardly anything moved: the run is void"
    assert figures.kills >= plan.kills, "hardly anyone was killed: the run is void"
    assert figures.renewals == 0, "a lane was disturbed"
