"""A whole drain over in-memory twins: it ends proven and home, or falls through its proof."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from fanout.drain.flow import Drain
from fanout.errors import ProofError

from .twins import Entry, MemoryForwarder
from .world import Told, a_world, handled

pytestmark = pytest.mark.usefixtures("no_sampling")


def test_a_drain_handles_every_record_once_and_comes_home() -> None:
    world, told = a_world(records=300), Told()
    report = Drain(world.settings, world.doors, told).run()

    assert sorted(handled(world)) == [(p, o) for p in range(3) for o in range(300)]
    assert world.old_offsets == {0: 300, 1: 300, 2: 300}
    assert report.records == 900
    assert told.steps == ["check", "expand", "drain", "cut", "finish", "prove", "hand back", "clear"]
    assert world.cluster.deleted == [report.plan.temp.name]
    assert world.cluster.deleted_groups == [report.plan.names.forward_group, report.plan.names.work_group]
    assert told.lives[-1].finished == 900


def test_lanes_are_fenced_after_they_stopped_and_before_the_cut_is_read() -> None:
    world = a_world(records=10)
    order: list[str] = []
    world.cluster.before = order.append
    report = Drain(world.settings, world.doors).run()

    prefix = report.plan.names.transactional_prefix
    assert world.cluster.taken_over == [f"{prefix}.orders.{p}" for p in range(3)]
    last = max(i for i, call in enumerate(order) if call == "take_over")
    assert f"committed {report.plan.names.forward_group}" in order[last:]


def test_records_that_arrive_meanwhile_are_carried_too() -> None:
    world = a_world(records=200)
    begun, stop = threading.Event(), threading.Event()

    def produce() -> None:
        for _ in range(200):
            if stop.wait(0.005):
                return
            world.cluster.append("orders", 1, Entry("committed"))
            begun.set()

    def wait(name: str) -> None:
        assert name != "drain" or begun.wait(60)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        report = Drain(world.settings, world.doors, Told(wait)).run()
    finally:
        stop.set()
        producer.join()
    assert world.old_offsets[1] > 200
    assert report.records == sum(world.old_offsets.values())


def test_aborted_records_and_markers_in_the_source_do_not_disturb_the_proof() -> None:
    world = a_world(records=50)
    world.cluster.append("orders", 0, *(Entry("aborted") for _ in range(7)), Entry("marker"), Entry("committed"))
    report = Drain(world.settings, world.doors).run()
    assert report.witnesses[0].lanes.count == 51
    assert world.old_offsets[0] == 59


def test_a_partition_added_meanwhile_begins_at_its_start() -> None:
    world = a_world(records=50)

    def add(name: str) -> None:
        if name == "prove":
            world.cluster.topics["orders"].append([Entry("committed")])

    Drain(world.settings, world.doors, Told(add)).run()
    assert world.old_offsets == {0: 50, 1: 50, 2: 50, 3: 0}


@pytest.mark.parametrize(
    "spoil",
    [lambda origins: origins[1:], lambda origins: origins + origins[:1], lambda origins: origins[:1] * len(origins)],
    ids=["one lost", "one doubled", "all replaced by the first"],
)
def test_a_lane_that_writes_other_than_it_says_falls_through_the_proof(
    spoil: Callable[[list[object]], list[object]],
) -> None:
    world = a_world(records=40)
    doors = replace(world.doors, forwarder=lambda wanted: MemoryForwarder(world.cluster, wanted, spoil))  # type: ignore[arg-type]
    with pytest.raises(ProofError) as refused:
        Drain(world.settings, doors).run()
    assert "handled" in str(refused.value)
    assert world.cluster.deleted == []
    assert "Keep the temp topic" in "\n".join(refused.value.__notes__)


def test_a_source_that_holds_more_than_was_carried_falls_through_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_world(records=40)
    honest = world.cluster.count
    monkeypatch.setattr(world.cluster, "count", lambda *asked: (honest(*asked)[0] + 1, honest(*asked)[1]))
    with pytest.raises(ProofError, match="its source holds 41 records"):
        Drain(world.settings, world.doors).run()


def test_a_compacted_source_is_no_witness() -> None:
    world = a_world(records=40)
    world.cluster.settings["orders"]["cleanup.policy"] = "compact,delete"
    report = Drain(world.settings, world.doors).run()
    assert [one.source for one in report.witnesses] == [None, None, None]
    assert "the topic is compacted" in "\n".join(report.lines())


def test_the_temp_topic_has_the_settings_a_run_needs() -> None:
    world = a_world(records=10)
    asked: list[dict[str, str]] = []
    honest = world.cluster.add_topic

    def add_topic(name: str, partitions: int, **settings: str) -> None:
        asked.append(settings)
        honest(name, partitions, **settings)

    world.cluster.add_topic = add_topic  # type: ignore[method-assign]
    Drain(world.settings, world.doors).run()
    assert asked == [
        {
            "cleanup.policy": "delete",
            "compression.type": "producer",
            "max.message.bytes": str(64 * 1024 * 1024),
            "message.timestamp.after.max.ms": "9223372036854775807",
            "message.timestamp.before.max.ms": "9223372036854775807",
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": "2",
            "retention.bytes": "-1",
            "retention.ms": "-1",
            "unclean.leader.election.enable": "false",
        }
    ]


def test_lanes_and_workers_are_told_whose_run_it_is() -> None:
    world = a_world(records=10)
    report = Drain(world.settings, world.doors).run()
    lanes = world.forwarders[0].settings
    assert (lanes.group, lanes.target) == (report.plan.names.forward_group, report.plan.temp.name)
    assert (lanes.partitioner, lanes.origin, lanes.end) == ("xxh3", "run", None)
    assert lanes.allotments == world.workers[0].order.allotments == {0: (0, 1), 1: (2, 3), 2: (4, 5)}
