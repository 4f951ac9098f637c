"""A lane that dies anywhere, by SIGKILL's equal or by a panic, leaves nothing that its successor cannot put right."""

from __future__ import annotations

import random
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import fanout._fanout
from broker.lanes import forward, settings

from .forked import CRATE, forward_in_process
from .world import Road

if TYPE_CHECKING:
    from .world import Faulty

STEP = 1_600
SEED = 10
LEAST_PLACES = 15


def places() -> list[str]:
    """Every crash point in the source of the core."""
    sources = (path.read_text(encoding="utf-8") for path in sorted(CRATE.rglob("*.rs")))
    return sorted({place for source in sources for place in re.findall(r'failpoint::reach\(\s*"([a-z-]+)"', source)})


def test_a_lane_may_die_anywhere(faulty: Faulty, extension: Path) -> None:
    dice = random.Random(SEED)
    road = Road.laid(faulty.direct)
    survived = []
    for place in places():
        for act in ("abort", "panic"):
            road.write(STEP)
            # There are two lanes, so even what a lane does once is done twice.
            nth = dice.randint(1, 2)
            plan = settings(road.bootstrap, road.source, road.target, transaction_bytes=30_000, fetch_bytes=64 << 10)
            died = forward_in_process(plan, extension, f"{place}:{nth}={act}")
            if act == "abort":
                reached = died.code == -signal.SIGABRT
            else:
                reached = any("a fault of fanout's own stopped the lane" in error for error in died.errors)
            if not reached:
                survived.append((place, nth, act, died))

    assert survived == [], "void: nobody died there"
    assert {end.outcome for end in forward(settings(road.bootstrap, road.source, road.target)).values()} == {"end"}
    road.prove()
    print(f"points={len(places())}/{len(places())} deaths={2 * len(places())} seed={SEED}")
    assert len(places()) >= LEAST_PLACES


def test_the_released_extension_has_no_crash_points(extension: Path) -> None:
    traces = [b"FANOUT_FAILPOINT", b"told to panic at"]
    released = Path(fanout._fanout.__file__).read_bytes()
    assert [trace for trace in traces if trace in released] == []
    assert [trace for trace in traces if trace not in extension.read_bytes()] == [], "the search finds nothing"
