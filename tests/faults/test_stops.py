"""SIGTERM under load ends a forwarder in time and leaves nothing open, even when no broker answers."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from commands import Running, fanout
from oracle.read import read
from oracle.state import committed_offsets, end_state, ends

from .world import Road

if TYPE_CHECKING:
    from conftest import Topics

    from .world import Faulty

RATE = 10_000
STOP_BUDGET_S = 10.0


def arguments(road: Road) -> tuple[str, ...]:
    """A plain forward of the whole road, as a daemon."""
    return ("forward", "-t", road.source, "-g", road.group, "--to-topic", road.target, "--from", "earliest")


def wait_for_records(road: Road, least: int) -> None:
    """Until read_committed readers of the target see so many."""
    deadline = time.monotonic() + 60
    while sum(ends(road.bootstrap, road.target).values()) < least:
        assert time.monotonic() < deadline, f"{least} records did not arrive"
        time.sleep(0.05)


def test_sigterm_under_load_commits_what_was_carried_and_leaves_nothing_open(faulty: Faulty, topics: Topics) -> None:
    road = Road.laid(faulty.direct, topics)
    with road.generator.feed(RATE), Running(faulty.bootstrap, *arguments(road)) as running:
        wait_for_records(road, RATE)
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

    fanout(faulty.bootstrap, *arguments(road), "--until", "end").require()
    road.prove()


def test_a_silent_cluster_does_not_hold_a_stop_up_and_a_second_signal_forces_it(faulty: Faulty, topics: Topics) -> None:
    road = Road.laid(faulty.direct, topics)
    took = []
    for signals in (1, 2):
        road.write(2_000)
        with Running(faulty.bootstrap, *arguments(road)) as running:
            wait_for_records(road, 2_000 * signals)
            for proxy in faulty.proxies:
                proxy.stall()
            road.write(2_000)
            asked = time.monotonic()
            running.signal(signal.SIGTERM)
            if signals == 2:
                time.sleep(0.5)
                assert running.runs, "void: it ended before the second signal"
                running.signal(signal.SIGTERM)
            ran = running.wait(60)
            took.append(time.monotonic() - asked)
            for proxy in faulty.proxies:
                proxy.flow()
        assert (ran.code == 128 + signal.SIGTERM) == (signals == 2), ran
    print(f"stop_of_a_silent_cluster_s={took[0]:.2f} forced_s={took[1]:.2f}")
    assert took[0] < STOP_BUDGET_S
    assert took[1] < 2

    fanout(faulty.bootstrap, *arguments(road), "--until", "end").require()
    road.prove()
