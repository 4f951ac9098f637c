"""A lane that dies anywhere, by SIGKILL's equal or by a panic, leaves nothing that its successor cannot put right."""

from __future__ import annotations

import random
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fanout._fanout
from broker.lanes import forward, settings

from .forked import CRATE, forward_in_process
from .world import Road

if TYPE_CHECKING:
    from .world import Faulty

SEED = 10


def places(route: str) -> list[str]:
    """Every crash point in the source of the core that lanes reach on this route."""
    sources = (path.read_text(encoding="utf-8") for path in sorted(CRATE.rglob("*.rs")))
    found = {place for source in sources for place in re.findall(r'failpoint::reach\(\s*"([a-z-]+)"', source)}
    # Only long batches that travel whole wait in pipes, and behind some that showed that they can.
    return sorted(place for place in found if place.startswith("parked-") == (route == "batch"))


@pytest.mark.parametrize(("route", "records", "least"), [("key", 1_600, 15), ("batch", 12_000, 2)])
def test_a_lane_may_die_anywhere(faulty: Faulty, extension: Path, route: str, records: int, least: int) -> None:
    dice = random.Random(SEED)
    road = Road.laid(faulty.direct)
    if route == "batch":
        road.in_long_batches()
    survived = []
    for place in places(route):
        for act in ("abort", "panic"):
            road.write(records)
            # There are two lanes, so even what a lane does once is done twice.
            nth = dice.randint(1, 2)
            small = {"transaction_bytes": 30_000, "fetch_bytes": 64 << 10}
            if route == "batch":
                # One request a transaction is read all the same.
                small = {"transaction_bytes": 4 << 20, "fetch_bytes": 256 << 10}
            plan = settings(road.bootstrap, road.source, road.target, route=route, **small)
            died = forward_in_process(plan, extension, f"{place}:{nth}={act}")
            if act == "abort":
                reached = died.code == -signal.SIGABRT
            else:
                reached = any("a fault of fanout's own stopped the lane" in error for error in died.errors)
            if not reached:
                survived.append((place, nth, act, died))

    assert survived == [], "void: nobody died there"
    plan = settings(road.bootstrap, road.source, road.target, route=route)
    assert {end.outcome for end in forward(plan).values()} == {"end"}
    road.prove(placed=route == "key")
    points = len(places(route))
    print(f"route={route} points={points}/{points} deaths={2 * points} seed={SEED}")
    assert points >= least


def test_the_released_extension_has_no_crash_points(extension: Path) -> None:
    traces = [b"FANOUT_FAILPOINT", b"told to panic at"]
    released = Path(fanout._fanout.__file__).read_bytes()
    assert [trace for trace in traces if trace in released] == []
    assert [trace for trace in traces if trace not in extension.read_bytes()] == [], "the search finds nothing"
