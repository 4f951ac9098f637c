"""Every request of a lane loses its answer once, somewhere: what the lane does then, and that nothing shows of it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.lanes import settings
from fanout._fanout import Forwarder
from oracle.read import read

from .frames import Api
from .rules import Cut, Drop, Fault, Rule
from .world import BRIEF_MS, PATIENT_MS, SMALL, Road

if TYPE_CHECKING:
    from fanout._fanout import LaneStats

    from .world import Faulty

STEP = 2_500
SEED = 8

ACTIONS = {
    Api.API_VERSIONS: "asked again",
    Api.METADATA: "asked again",
    Api.LIST_OFFSETS: "asked again",
    Api.FIND_COORDINATOR: "asked again",
    Api.INIT_PRODUCER_ID: "asked again",
    Api.OFFSET_FETCH: "asked again",
    Api.FETCH: "asked again",
    Api.PRODUCE: "sent again",
    Api.TXN_OFFSET_COMMIT: "asked again",
    Api.END_TXN: "producer replaced",
}
"""What the lane does about a lost answer, by the request it was for."""

ACTIONS_KEEPING_EPOCHS = ACTIONS | {
    Api.ADD_PARTITIONS_TO_TXN: "asked again",
    Api.ADD_OFFSETS_TO_TXN: "asked again",
    Api.TXN_OFFSET_COMMIT: "producer replaced",
}
"""The same below transaction version 2: a late copy of an offset could set a later transaction's back."""

OFTEN = {Api.FETCH: 4, Api.PRODUCE: 8, Api.TXN_OFFSET_COMMIT: 4, Api.END_TXN: 4}
"""Requests a run makes at least so many of: any of these may be hit."""


class Walk:
    """One road, carried on step by step, each step with faults of its own."""

    def __init__(self, faulty: Faulty) -> None:
        self.faulty = faulty
        self.road = Road.laid(faulty.direct)

    def step(self, *rules: Rule, records: int = STEP, **changes: Any) -> str:
        """Carries on to the new end of the source under `rules`; what the lanes did about them."""
        road = self.road
        road.write(records)
        changes = {"transaction_bytes": 60_000, **SMALL, **changes}
        plan = settings(road.bootstrap, road.source, road.target, **changes)
        patience_ms = BRIEF_MS if any(isinstance(rule.fault, Drop) for rule in rules) else PATIENT_MS
        properties = {"bootstrap.servers": self.faulty.bootstrap, "socket.timeout.ms": patience_ms}
        self.faulty.rules.set(*rules)
        forwarder = Forwarder(replace(plan, properties=properties))
        ends = forwarder.run()
        assert {end.outcome for end in ends} == {"end"}, [str(end.error) for end in ends]
        self.faulty.rules.fired()
        return action(forwarder.stats())


def action(lanes: list[LaneStats]) -> str:
    """What the counters tell of a run that met one fault."""
    renewals, resends = sum(lane.renewals for lane in lanes), sum(lane.resends for lane in lanes)
    if renewals:
        return "producer replaced"
    return "sent again" if resends else "asked again"


@pytest.mark.parametrize(
    ("faulty", "fault", "actions"),
    [(2, Cut(), ACTIONS), (2, Drop(), ACTIONS), (1, Cut(), ACTIONS_KEEPING_EPOCHS)],
    ids=["cut", "dropped", "cut-v1"],
    indirect=["faulty"],
)
def test_an_answer_that_is_lost_once_leaves_no_trace(faulty: Faulty, fault: Fault, actions: dict[Api, str]) -> None:
    dice = random.Random(SEED)
    walk = Walk(faulty)
    taken = {}
    for api in actions:
        after = dice.randrange(OFTEN.get(api, 1))
        taken[api] = walk.step(Rule(api, "response", fault, after=after))

    for api, done in taken.items():
        print(f"{type(fault).__name__.lower():>5}  {api.name.lower():<18} {done}")
    walk.road.prove()
    assert taken == actions


def test_a_renewal_whose_own_answer_is_lost_is_not_taken_for_another_owner(faulty: Faulty) -> None:
    walk = Walk(faulty)
    lost = Rule(Api.END_TXN, "response", Cut(), after=1)
    lost_too = Rule(Api.INIT_PRODUCER_ID, "response", Cut(), after=2)
    done = walk.step(lost, lost_too)
    assert done == "producer replaced"
    walk.road.prove()


def test_transactions_given_up_at_random_leave_no_trace(faulty: Faulty) -> None:
    walk = Walk(faulty)
    rule = Rule(Api.END_TXN, "request", Cut(at=20), times=1_000, chance=1 / 3)
    small = {"batch_bytes": 1024, "grown_batch_bytes": 1024, "lane_memory_bytes": 256 << 10}
    assert walk.step(rule, records=10_000, **small) == "producer replaced"
    verdict = walk.road.prove()
    written = sum(1 for _ in read(faulty.direct, walk.road.target, isolation="read_uncommitted"))
    print(f"aborted_transactions={rule.fired} aborted_records={written - verdict.records}")
    assert written > verdict.records, "void: no acknowledged record was aborted"
