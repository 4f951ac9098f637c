"""Three brokers, replication 3: whoever leads what is killed or cut off while records are forwarded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from broker.working import wait_until
from fanout.demo.cluster import Cluster

from .trio import ONE_EACH, PARTS, Trio
from .world import Faulty

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 4_000
CUT_OFF_S = 3.0


def test_killed_leaders_and_partitions_leave_no_trace(own_cluster: Callable[..., Cluster]) -> None:
    cluster = Cluster(nodes=3, properties=ONE_EACH)
    with Faulty(cluster) as faulty:
        own_cluster(cluster)
        trio = Trio(faulty)
        with trio.road.generator.feed(RATE), trio:
            trio.wait_for_more()
            cut_off(trio)
            killed = kill_every_part(trio)
            trio.settle()
        trio.finish()
    cuts, kills = trio.recoveries[:3], trio.recoveries[3:]
    print(f"cut_off_s={[round(one, 1) for one in cuts]} killed={killed} kills_s={[round(one, 1) for one in kills]}")
    assert {part for parts in killed for part in parts} == set(PARTS)


def cut_off(trio: Trio) -> None:
    """Nothing passes between the forwarder and one broker, then all brokers, then from them only; each heals."""
    one, *_ = proxies = trio.faulty.proxies
    for cut, ways in (([one], ()), (proxies, ()), (proxies, ("response",))):
        for proxy in cut:
            proxy.stall(*ways)
        time.sleep(CUT_OFF_S)
        if len(cut) == len(proxies):
            wait_until(lambda: stands_still(trio), "nothing gets through")
        for proxy in cut:
            proxy.flow()
        trio.resumes()


def stands_still(trio: Trio) -> bool:
    """Whether nothing arrives for a moment; what was let through before the cut may have needed some time."""
    before = trio.visible()
    time.sleep(0.5)
    return trio.visible() == before


def kill_every_part(trio: Trio) -> list[list[str]]:
    """Kills one node after the other until each part was played by a node that died of it."""
    killed: list[list[str]] = []
    left = set(PARTS)
    while left:
        trio.settle()
        parts = trio.parts()
        number = parts[min(left)]
        trio.cluster.node(number).kill()
        played = [part for part in PARTS if parts[part] == number]
        killed.append(played)
        left -= set(played)
        trio.resumes()
        trio.cluster.node(number).start()
    return killed
