"""SIGTERM under load ends a forwarder in time and leaves nothing open, even when no broker answers."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from broker.working import wait_until
from commands import Running, fanout
from oracle.read import read
from oracle.state import committed_offsets, end_state

from .world import Road

if TYPE_CHECKING:
    from .world import Faulty

RATE = 10_000
STOP_BUDGET_S = 14.0
"""A stop that no broker answers is given up after 8 s. Without that it would wait for the 15 s of an answer."""


def test_sigterm_under_load_commits_what_was_carried_and_leaves_nothing_open(faulty: Faulty) -> None:
    road = Road.laid(faulty.direct)
    with road.generator.feed(RATE), Running(faulty.bootstrap, *road.arguments) as running:
        road.wait_for_more(than=RATE)
        asked = time.monotonic()
        running.signal(signal.SIGTERM)
        ran = running.wait(60)
        took = time.monotonic() - asked
        carried = sum(committed_offsets(road.bootstrap, road.group, road.source).values())
    ran.require(0)
    left = end_state(road.bootstrap, road.group, road.source, road.target)
    shown = sum(1 for _ in read(road.bootstrap, road.target))
    print(f"stop_s={took:.2f} committed={carried} shown={shown} open={len(left.unstable) + len(left.ongoing)}")
    assert took < STOP_BUDGET_S
    assert (left.unstable, left.ongoing) == ({}, ())
    assert carried == shown

    fanout(faulty.bootstrap, *road.arguments, "--until", "end").require()
    road.prove()


def test_a_silent_cluster_does_not_hold_a_stop_up_and_a_second_signal_forces_it(faulty: Faulty) -> None:
    road = Road.laid(faulty.direct)
    took = []
    for signals in (1, 2):
        road.write(2_000)
        with Running(faulty.bootstrap, *road.arguments) as running:
            road.wait_for_more(than=2_000 * signals - 1)
            for proxy in faulty.proxies:
                proxy.stall()
            road.write(2_000)
            asked = time.monotonic()
            running.signal(signal.SIGTERM)
            if signals == 2:
                wait_until(lambda: "stopping cleanly" in running.said(), "the first signal to be heard")
                assert running.runs, "void: it ended before the second signal"
                running.signal(signal.SIGTERM)
            ran = running.wait(60)
            took.append(time.monotonic() - asked)
            for proxy in faulty.proxies:
                proxy.flow()
        assert (ran.code == 128 + signal.SIGTERM) == (signals == 2), ran
    print(f"stop_of_a_silent_cluster_s={took[0]:.2f} forced_s={took[1]:.2f}")
    assert max(took) < STOP_BUDGET_S

    fanout(faulty.bootstrap, *road.arguments, "--until", "end").require()
    road.prove()
