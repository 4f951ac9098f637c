"""What a lane has never read it cannot send again: connections that break around such a batch leave no trace."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.lanes import settings
from fanout._fanout import Forwarder

from .frames import Api
from .rules import Cut, Drop, Rule
from .world import BRIEF_MS, PATIENT_MS, Road

if TYPE_CHECKING:
    from .world import Faulty

RECORDS = 24_000
SMALL = {"fetch_bytes": 256 << 10, "transaction_bytes": 4 << 20}
"""The first fetches show that batches can travel whole; from the third on nobody reads them. Only the first request of
a transaction is read all the same: here each lane has one."""

MIDDLE = 2_000
"""So many bytes into an answer or a request: in the payload of its first batch, whichever it is."""

FAULTS = {
    "a fetch is cut": (Rule(Api.FETCH, "response", Cut(at=MIDDLE), after=8), "asked again"),
    "a fetch is lost": (Rule(Api.FETCH, "response", Drop(), after=8), "asked again"),
    "a request is cut": (Rule(Api.PRODUCE, "request", Cut(at=MIDDLE), after=9), "given up"),
    "a request is lost": (Rule(Api.PRODUCE, "request", Drop(), after=9), "given up"),
    "an answer is lost": (Rule(Api.PRODUCE, "response", Cut(), after=9), "given up"),
    "an end is lost": (Rule(Api.END_TXN, "response", Cut(), after=1), "given up"),
    "fetches are cut again and again": (
        Rule(Api.FETCH, "response", Cut(at=MIDDLE), times=1_000, chance=1 / 4),
        "asked again",
    ),
    "requests are cut again and again": (
        Rule(Api.PRODUCE, "request", Cut(at=MIDDLE), times=1_000, chance=1 / 6),
        "given up",
    ),
}


@pytest.mark.parametrize("faulty", [2, 1], indirect=True, ids=["v2", "v1"])
def test_a_connection_that_breaks_around_an_unread_batch_leaves_no_trace(faulty: Faulty) -> None:
    road = Road.laid(faulty.direct).in_long_batches()
    for name, (planned, done) in FAULTS.items():
        # One that counts what it does is used up.
        rule = replace(planned)
        road.write(RECORDS)
        plan = settings(road.bootstrap, road.source, road.target, route="batch", **SMALL)
        patience_ms = BRIEF_MS if isinstance(rule.fault, Drop) else PATIENT_MS
        properties = {"bootstrap.servers": faulty.bootstrap, "socket.timeout.ms": patience_ms}
        faulty.rules.set(rule)
        forwarder = Forwarder(replace(plan, properties=properties))
        ends = forwarder.run()
        assert {end.outcome for end in ends} == {"end"}, [str(end.error) for end in ends]
        fired = faulty.rules.fired()
        ways: Counter[str] = Counter()
        for lane in forwarder.stats():
            ways.update(lane.batches)
        renewals = sum(lane.renewals for lane in forwarder.stats())
        print(f"{name}: fired={fired} renewals={renewals} unread={ways['pass:unread']}")
        assert (renewals > 0) == (done == "given up"), name
        assert ways["pass:unread"] > 0, f"void: {name}: {dict(ways)}"
    road.prove(placed=False)
