"""An end of transaction that comes late, loses its answer or comes twice never ends another transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.lanes import settings
from fanout._fanout import Forwarder

from .forked import forward_in_process
from .frames import Api
from .rules import Cut, Fault, Late, Rule, Slow, Twice, commits
from .world import BRIEF_MS, PATIENT_MS, SMALL, Road

if TYPE_CHECKING:
    from pathlib import Path

    from fanout.config.forward import ForwardSettings

    from .frames import Way
    from .world import Faulty

RECORDS = 12_000
INJECTED = 5


def plan(road: Road, faulty: Faulty, patience_ms: str = PATIENT_MS) -> ForwardSettings:
    """Some twenty-five transactions through the proxy, by a client that waits so long for an answer."""
    direct = settings(road.bootstrap, road.source, road.target, transaction_bytes=100_000, **SMALL)
    return replace(direct, properties={"bootstrap.servers": faulty.bootstrap, "socket.timeout.ms": patience_ms})


@pytest.mark.parametrize(
    ("faulty", "way", "fault", "replaced"),
    [
        (2, "request", Late(behind=Api.PRODUCE), INJECTED),
        (2, "request", Slow(0.3), INJECTED),
        (2, "response", Cut(), INJECTED),
        (2, "response", Cut(at=9), INJECTED),
        (2, "request", Twice(), 0),
        (2, "request", Twice(behind=Api.PRODUCE), 0),
        (1, "request", Late(behind=Api.PRODUCE), INJECTED),
        (1, "response", Cut(), INJECTED),
        (1, "request", Twice(), 0),
    ],
    ids=["late", "slow", "answer-lost", "answer-torn", "twice", "twice-late", "late-v1", "answer-lost-v1", "twice-v1"],
    indirect=["faulty"],
)
def test_a_faulty_end_replaces_the_producer_where_it_is_unclear_and_leaves_no_trace(
    faulty: Faulty, way: Way, fault: Fault, replaced: int
) -> None:
    # One lane: the Produce that a late end comes behind is then one of the next transaction.
    road = Road.laid(faulty.direct, sources=1)
    road.write(RECORDS)
    faulty.rules.set(Rule(Api.END_TXN, way, fault, times=INJECTED, chance=0.4, only=commits))
    forwarder = Forwarder(plan(road, faulty, BRIEF_MS if isinstance(fault, Slow) else PATIENT_MS))

    ends = forwarder.run()

    injected, renewals = faulty.rules.fired(), sum(lane.renewals for lane in forwarder.stats())
    print(f"injected={injected} producers_replaced={renewals} late_answers={faulty.late.codes}")
    assert {end.outcome for end in ends} == {"end"}
    road.prove()
    assert (injected, renewals) == (INJECTED, replaced)
    if isinstance(fault, Late) or (isinstance(fault, Twice) and fault.behind):
        assert len(faulty.late.codes) == INJECTED, "void: not every late request was delivered"
        assert 0 not in faulty.late.codes, "a late end was taken"


@pytest.mark.parametrize(
    ("faulty", "fault", "seen"),
    [
        # The lane goes on behind what it believes committed, and that was aborted.
        (2, "unclear-end-guessed", r" lost=[1-9]"),
        # The epoch is still that of the transaction before, whose late end commits half of the new one.
        (1, "unclear-end-asked-again", r" duplicated=[1-9]"),
    ],
    ids=["guessed", "asked-again-v1"],
    indirect=["faulty"],
)
def test_the_oracle_sees_an_unclear_end_that_was_not_cleared_up(
    faulty: Faulty, extension: Path, fault: str, seen: str
) -> None:
    # One lane: the Produce that a late end comes behind is then one of the next transaction.
    road = Road.laid(faulty.direct, sources=1)
    road.write(RECORDS)
    late = Rule(Api.END_TXN, "request", Late(behind=Api.PRODUCE), times=INJECTED, after=3, chance=0.4)
    faulty.rules.set(late)

    forked = forward_in_process(plan(road, faulty), extension, f"{fault}=plant")

    assert set(forked.ended.values()) == {"end"}, forked
    assert faulty.rules.fired() == INJECTED
    with pytest.raises(AssertionError, match=seen):
        road.prove()
