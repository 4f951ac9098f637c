"""
The target's commit markers stalled: the finished mark does not move, so an early end loses nothing.

Node 1 coordinates: transactions, groups and the source live there. Node 2 leads the temp topic, and what node 1 tells
it passes through a proxy. Stalled, a commit is answered and the forward group's offset is visible while the records
below it are not: a reader sees the last stable offset far below the high watermark.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import fanout._fanout as core
from fanout.config.forward import ForwardSettings
from fanout.drain.finished_mark import FinishedMarks
from fanout.kafka.names import RunNames
from fanout.kafka.tally import zero_note
from faults.proxy import Proxy
from oracle import Recipe
from oracle.generate import Chunk, Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fanout.demo.cluster import Cluster

NAMES = RunNames("orders", "20260131-080000-test")
TEMP = NAMES.temp_topic
ONE_PARTITION_EACH = {"transaction.state.log.num.partitions": "1", "offsets.topic.num.partitions": "1"}


class World:
    """A run's topics and groups with one lane at work, and the proxy its markers pass through."""

    def __init__(self, cluster: Cluster, proxy: Proxy) -> None:
        self.proxy = proxy
        compacted, kept = {"cleanup.policy": "compact"}, {"retention.ms": "-1"}
        make_on(cluster, 1, {"__transaction_state": compacted, "__consumer_offsets": compacted, "orders": kept})
        make_on(cluster, 2, {TEMP: kept})
        properties = {"bootstrap.servers": cluster.bootstrap}
        self.generator = Generator(cluster.bootstrap, "orders", Recipe(keys=7))
        # What is written at once is one batch and so one transaction: a second one would wait for the markers.
        self.generator.linger_ms = 60_000
        self.core = core.Cluster(properties)
        target_id = self.core.topic_id(TEMP)
        self.core.commit(NAMES.forward_group, "orders", {0: (0, zero_note(target_id))})
        self.core.commit(NAMES.work_group, TEMP, {0: (0, zero_note(NAMES.run))})
        self.marks = FinishedMarks(core.Cluster(properties, timeout_s=3), NAMES, {0: 0}, {0: (0,)})
        self.forwarder = core.Forwarder(
            ForwardSettings(
                properties=properties,
                source="orders",
                target=TEMP,
                group=NAMES.forward_group,
                transactional_prefix=NAMES.transactional_prefix,
                partitions=[0],
                start={},
                end=None,
                route="key",
                partitioner="xxh3",
                allotments={0: [0]},
                origin="run",
                compression="same",
            )
        )

    @property
    def forwarded(self) -> int:
        """F: the forward group's offset."""
        return self.core.committed(NAMES.forward_group, "orders")[0][0]

    @property
    def stable(self) -> int:
        """The temp topic's last stable offset."""
        return self.core.offsets(TEMP, "stable")[0]

    @property
    def high(self) -> int:
        """The temp topic's high watermark."""
        return self.core.offsets(TEMP, "latest")[0]

    def finish_all_that_is_visible(self) -> None:
        """What workers would commit: everything below the last stable offset is settled."""
        self.core.commit(NAMES.work_group, TEMP, {0: (self.stable, zero_note(NAMES.run))})


@pytest.fixture
def world(own_cluster: Callable[..., Cluster]) -> Iterator[World]:
    """Two brokers and a lane that runs until the test is over."""
    from fanout.demo.cluster import Cluster  # noqa: PLC0415  only this fixture starts one

    cluster = Cluster(nodes=2, properties=ONE_PARTITION_EACH)
    with Proxy(cluster.node(2).internal_port) as proxy:
        cluster.node(2).advertised_internal_port = proxy.port
        own_cluster(cluster)
        made = World(cluster, proxy)
        lane = threading.Thread(target=made.forwarder.run)
        lane.start()
        try:
            yield made
        finally:
            proxy.flow()
            made.forwarder.abort()
            lane.join(60)


def test_the_finished_mark_does_not_move_while_the_markers_are_stalled(world: World) -> None:
    world.generator.write(Chunk(records=2))
    wait_until(lambda: world.forwarded == 2 and world.stable == world.high)
    world.finish_all_that_is_visible()
    wait_until(lambda: world.marks.read() == {0: 2})

    world.proxy.stall()
    world.generator.write(Chunk(records=10))
    wait_until(lambda: world.forwarded == 12)
    world.finish_all_that_is_visible()
    stalled = (world.forwarded, world.stable, world.high)
    marks = [world.marks.read()[0] for _ in range(3)]
    print(f"stalled: forwarded={stalled[0]} stable={stalled[1]} high={stalled[2]} marks={marks}")
    assert stalled[1] < stalled[2], "the markers were not stalled: void"
    assert marks == [2, 2, 2]

    world.proxy.flow()
    wait_until(lambda: world.stable == world.high)
    assert world.marks.read() == {0: 2}, "the ten records are visible now, and nobody has finished them"
    world.finish_all_that_is_visible()
    wait_until(lambda: world.marks.read() == {0: 12})


def make_on(cluster: Cluster, node: int, topics: Mapping[str, Mapping[str, str]]) -> None:
    """Makes topics of one partition that live on `node` alone, and waits until each node knows them as led."""
    admins = [AdminClient({"bootstrap.servers": f"127.0.0.1:{each.port}"}) for each in cluster.nodes]
    least = {"min.insync.replicas": "1"}
    new = [NewTopic(name, 1, replica_assignment=[[node]], config={**least, **kept}) for name, kept in topics.items()]
    for made in admins[0].create_topics(new).values():
        made.result()
    wait_until(lambda: all(set(topics) <= led_topics(admin) for admin in admins))


def led_topics(admin: AdminClient) -> set[str]:
    """Topics whose partitions have a leader."""
    known = admin.list_topics(timeout=10).topics
    return {name for name, topic in known.items() if all(one.leader >= 0 for one in topic.partitions.values())}


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Waits for what the lane or the brokers do."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)
