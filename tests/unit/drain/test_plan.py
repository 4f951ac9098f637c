"""What a drain would do, and everything it refuses before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fanout.config.when import When
from fanout.drain.plan import Plan, drains_note, make_plan
from fanout.errors import ConfigError, FanoutError, RefusedError
from fanout.kafka.groups import Member
from fanout.kafka.names import RunNames

from .twins import Entry
from .world import World, a_world

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


def plan_of(world: World, meanwhile: Callable[[], None] = lambda: None) -> Plan:
    return make_plan(world.settings, world.doors, NOW, lambda _seconds: meanwhile())


@pytest.fixture
def world() -> Iterator[World]:
    """A world that must be the same after the plan as before."""
    made = a_world()
    before = (dict(made.cluster.commits), sorted(made.cluster.topics))
    yield made
    assert (made.cluster.commits, sorted(made.cluster.topics)) == before or made.cluster.deleted


def test_a_plan_has_its_numbers(world: World) -> None:
    def arrive() -> None:
        world.cluster.append("orders", 2, *(Entry("committed") for _ in range(20)))

    plan = plan_of(world, arrive)
    assert plan.backlog == {0: 300, 1: 300, 2: 320}
    assert plan.inflow == {0: 0.0, 1: 0.0, 2: 10.0}
    assert plan.temp.partitions == 6
    assert plan.temp.replication == 3
    assert plan.names.temp_topic.startswith("fanout.orders.20260131-080000-")


def test_inflow_counts_when_targets_are_shared_out() -> None:
    world = a_world(partitions=2)
    world = replace(world, settings=replace(world.settings, partitions=10, workers=10, handler_rate=10.0))

    def arrive() -> None:
        world.cluster.append("orders", 1, *(Entry("committed") for _ in range(100)))

    # 600 + 100 wait, 50/s arrive at partition 1, 100/s can be done: 14 s, which bring 700 more to partition 1.
    assert {p: len(t) for p, t in plan_of(world, arrive).allotments.items()} == {0: 2, 1: 8}


def test_the_slowest_partition_has_the_longest_eta() -> None:
    world = a_world()
    world = replace(world, settings=replace(world.settings, partitions=10, workers=10, handler_rate=200.0))
    plan = plan_of(world)
    assert [plan.eta_s(p) for p in range(3)] == [300 / 800, 300 / 600, 300 / 600]


def test_more_inflow_than_the_workers_finish_never_ends() -> None:
    world = a_world()
    world = replace(world, settings=replace(world.settings, handler_rate=1.0))

    def arrive() -> None:
        world.cluster.append("orders", 0, *(Entry("committed") for _ in range(100)))

    assert plan_of(world, arrive).eta_s(0) == float("inf")


def refuse(world: World, error: type[FanoutError], match: str) -> None:
    with pytest.raises(error, match=match):
        plan_of(world)


def test_a_missing_topic_is_refused(world: World) -> None:
    refuse(replace(world, settings=replace(world.settings, topic="ordres")), RefusedError, "ordres does not exist")


def test_a_missing_group_is_refused(world: World) -> None:
    refuse(replace(world, settings=replace(world.settings, group="biling")), RefusedError, "biling has no offsets")


def test_a_group_with_members_is_refused_by_their_names(world: World) -> None:
    world.cluster.members["billing"] = [
        Member(client_id="consumer-1", host="10.0.0.9", instance_id="pod-0", partitions=("orders/0", "orders/1"))
    ]
    refuse(world, RefusedError, r"STABLE, not EMPTY: consumer-1 on 10\.0\.0\.9, static pod-0 with orders/0, orders/1")


def test_fewer_targets_than_source_partitions_are_refused(world: World) -> None:
    refuse(replace(world, settings=replace(world.settings, partitions=2)), RefusedError, "2 target partitions are few")


def test_brokers_too_old_for_exactly_once_are_refused(world: World) -> None:
    world.cluster.newest_produce = 9
    refuse(world, RefusedError, r"take Produce up to version 9, and exactly-once needs 10")


def test_an_older_transaction_protocol_is_no_hindrance(world: World) -> None:
    world.cluster.version = 0
    world.cluster.newest_produce = 10
    assert plan_of(world).backlog == {0: 300, 1: 300, 2: 300}


def test_a_temp_topic_is_not_drained_again(world: World) -> None:
    name = RunNames("orders", "20260101-000000-abcd").temp_topic
    world.cluster.add_topic(name, 3)
    world.cluster.deleted.append("")
    refuse(replace(world, settings=replace(world.settings, topic=name)), RefusedError, "itself a run's temp topic")


@pytest.mark.parametrize("noted", [True, False], ids=["noted for this group", "not noted at all"])
def test_another_run_of_the_same_group_is_refused_by_name(noted: bool) -> None:
    world = a_world()
    other = RunNames("orders", "20260101-000000-abcd")
    world.cluster.add_topic(other.temp_topic, 6)
    if noted:
        world.cluster.commit(other.work_group, "orders", {0: (0, drains_note("billing"))})
    refuse(world, RefusedError, f"run {other.run} of group billing on orders is not over: {other.temp_topic}")


def test_a_run_of_another_group_on_the_same_topic_is_none_of_our_business() -> None:
    world = a_world()
    other = RunNames("orders", "20260101-000000-abcd")
    world.cluster.add_topic(other.temp_topic, 6)
    world.cluster.commit(other.work_group, "orders", {0: (0, drains_note("audit"))})
    plan_of(world)


def test_a_partition_without_a_commit_needs_a_place_to_begin() -> None:
    world = a_world()
    del world.cluster.commits["billing", "orders"][1]
    refuse(world, ConfigError, "--from: group billing has no offset on partition 1")

    world = replace(world, settings=replace(world.settings, start=When("latest")))
    plan = plan_of(world)
    assert plan.start == {0: 0, 1: 300, 2: 0}
    assert plan.committed == {0: 0, 2: 0}


def test_records_that_expired_unread_are_never_passed_over_in_silence() -> None:
    world = a_world()
    world.cluster.log_start["orders", 2] = 17
    refuse(world, RefusedError, "expired before group billing read them: orders/2 offsets 0 to 16")


def test_a_group_behind_the_end_is_refused() -> None:
    world = a_world()
    world.cluster.commit("billing", "orders", {0: (999, "")})
    refuse(world, RefusedError, "orders/0 at 999, its end is 300")


def test_an_app_that_does_not_fit_is_refused(world: World) -> None:
    def check_app(*_asked: object) -> None:
        raise ConfigError("APP", "shop.billing:app has no handler for orders")

    refuse(replace(world, doors=replace(world.doors, check_app=check_app)), ConfigError, "no handler for orders")


def test_a_long_topic_name_is_hashed_and_found_again() -> None:
    long = RunNames("o" * 240, "20260101-000000-abcd")
    assert len(long.temp_topic) <= 249
    world = a_world()
    world.cluster.add_topic("o" * 240, 1)
    world.cluster.add_topic(long.temp_topic, 1)
    world.cluster.commit("billing", "o" * 240, {0: (0, "")})
    refuse(replace(world, settings=replace(world.settings, topic="o" * 240)), RefusedError, long.temp_topic)
