"""Three brokers, replication 3, for as long as it takes: a million records, twenty deaths, every leader, half minutes
without a network, rolling restarts."""

from __future__ import annotations

import random
import signal
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from fanout.demo.cluster import Cluster
from faults.trio import ONE_EACH, PARTS, Trio
from faults.world import Faulty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults.frames import Way

RECORDS = 1_000_000
RATE = 4_000
LONG_RATE = 12_000
"""At which producers that wait fill long batches."""
KILLS = 20
SEED = 2
HALF_MINUTE_S = 30.0


@pytest.fixture
def trio(own_cluster: Callable[..., Cluster]) -> Iterator[Trio]:
    """Three brokers with a forwarder at work."""
    cluster = Cluster(nodes=3, properties=ONE_EACH)
    with Faulty(cluster) as faulty:
        own_cluster(cluster)
        with Trio(faulty) as made:
            yield made


@contextmanager
def fed(trio: Trio) -> Iterator[None]:
    """Feeds the source for the time of the block, then carries what is left and compares everything."""
    with trio.road.generator.feed(RATE):
        trio.wait_for_more()
        yield
    trio.settle()
    trio.finish()


def test_a_million_records_outlive_twenty_forwarders_and_every_leader(trio: Trio) -> None:
    dice = random.Random(SEED)
    counted = kills = 0
    roles = list(PARTS)
    with fed(trio):
        while counted < KILLS or roles or len(trio.road.generator.ledger) < RECORDS:
            time.sleep(dice.uniform(0.2, 1.5))
            counted += trio.kill_forwarder()
            kills += 1
            if roles and kills % 5 == 0:
                node = trio.cluster.node(trio.parts()[roles.pop()])
                node.kill()
                trio.resumes()
                node.start()
                trio.settle()
    recoveries = trio.recoveries
    print(
        f"kills={kills} counted={counted} broker_kills={len(PARTS)} "
        f"recovery_p50_s={statistics.median(recoveries):.2f} recovery_max_s={max(recoveries):.2f}"
    )


def test_batches_that_nobody_reads_outlive_every_leader(own_cluster: Callable[..., Cluster]) -> None:
    cluster = Cluster(nodes=3, properties=ONE_EACH)
    with Faulty(cluster) as faulty:
        own_cluster(cluster)
        trio = Trio(faulty, "--route", "batch")
        trio.arguments = ("-o", "json", *trio.arguments)
        trio.road.generator.linger_ms = 250
        with trio.road.generator.feed(LONG_RATE), trio:
            trio.wait_for_more()
            for node in cluster.nodes * 2:
                trio.settle()
                node.kill()
                trio.resumes()
                node.start()
            trio.settle()
            trio.running.signal(signal.SIGTERM)
            lanes = trio.running.wait().require().document["lanes"]
        trio.finish(placed=False)
    unread = sum(lane["batches"].get("pass:unread", 0) for lane in lanes)
    renewals = sum(lane["renewals"] for lane in lanes)
    print(f"broker_kills={2 * len(cluster.nodes)} unread={unread} renewals={renewals}")
    assert unread > 100, "void: nearly all were read"


def test_rolling_restarts_leave_no_error_line(trio: Trio) -> None:
    with fed(trio):
        for node in trio.cluster.nodes * 2:
            node.stop()
            trio.resumes()
            node.start()
            trio.settle()
        said = trio.running.said()
    errors = [line for line in said.splitlines() if '"level": "error"' in line or '"level": "critical"' in line]
    print(f"restarts={2 * len(trio.cluster.nodes)} lines={len(said.splitlines())} errors={len(errors)}")
    assert errors == []


def test_a_target_short_of_replicas_pauses_the_lanes_until_it_has_them(trio: Trio) -> None:
    with fed(trio):
        admin = AdminClient({"bootstrap.servers": trio.bootstrap})
        wanted = ConfigEntry("min.insync.replicas", "3", incremental_operation=AlterConfigOpType.SET)
        target = ConfigResource(ResourceType.TOPIC, trio.road.target, incremental_configs=[wanted])
        for done in admin.incremental_alter_configs([target]).values():
            done.result()
        node = trio.cluster.node(trio.parts()["target"] % 3 + 1)
        node.kill()
        time.sleep(HALF_MINUTE_S)
        before = trio.visible()
        time.sleep(5)
        paused = trio.visible() == before
        node.start()
        trio.resumes()
    print(f"paused={paused} resumed_after_start_s={trio.recoveries[-1]:.1f}")
    assert paused, "void: there was a replica to spare"


@pytest.mark.parametrize("ways", [(), ("request",), ("response",)], ids=["both-ways", "to-brokers", "from-brokers"])
@pytest.mark.parametrize("cut", [1, 3], ids=["one-broker", "all-brokers"])
def test_half_a_minute_without_a_network_leaves_no_trace(trio: Trio, cut: int, ways: tuple[Way, ...]) -> None:
    with fed(trio):
        for proxy in trio.faulty.proxies[:cut]:
            proxy.stall(*ways)
        time.sleep(HALF_MINUTE_S)
        for proxy in trio.faulty.proxies[:cut]:
            proxy.flow()
        trio.resumes()
    print(f"cut={cut} ways={ways or 'both'} resumed_s={trio.recoveries[-1]:.1f}")
