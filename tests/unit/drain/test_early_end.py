"""A drain that ends early, over in-memory twins: nothing is lost, nothing is written over, and it says what stands."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from fanout.drain.flow import Drain
from fanout.drain.plan import drains_note
from fanout.errors import FanoutError, NotFinishedError, ProofError, RefusedError, UnreachableError, WorkError
from fanout.kafka.groups import Member
from fanout.kafka.names import RunNames

from .twins import Entry, MemoryTopics
from .world import Told, World, a_world, handled, until

pytestmark = pytest.mark.usefixtures("no_sampling")

MANY = 100_000
"""Seconds of work: another thread has its turn before it is done."""


def require_no_loss(world: World) -> None:
    """Every record below the old group's offset was handled: the old consumers, started now, miss none."""
    done = set(handled(world))
    for partition, offset in world.old_offsets.items():
        log = world.cluster.topics["orders"][partition]
        passed = {(partition, o) for o in range(offset) if log[o].kind == "committed"}
        assert passed <= done


def test_a_stop_before_anything_was_made_leaves_nothing() -> None:
    world = a_world()
    drain: Drain
    drain = Drain(world.settings, world.doors, Told(lambda _name: drain.stop()))
    with pytest.raises(NotFinishedError) as stopped:
        drain.run()
    assert stopped.value.__notes__ == ["Nothing was changed."]
    assert sorted(world.cluster.topics) == ["orders"]


def test_a_stop_before_anything_was_forwarded_removes_what_was_made() -> None:
    world = a_world()
    drain: Drain
    drain = Drain(world.settings, world.doors, Told(lambda name: drain.stop() if name == "expand" else None))
    with pytest.raises(NotFinishedError) as stopped:
        drain.run()
    assert stopped.value.__notes__ == ["Nothing was changed."]
    assert sorted(world.cluster.topics) == ["orders"]
    assert world.cluster.deleted == [drain.plan.temp.name]


@pytest.mark.parametrize("step", ["drain", "cut", "finish"])
def test_a_stop_at_any_step_loses_nothing_and_says_what_stands(step: str) -> None:
    world = a_world(records=2000)
    drain: Drain

    def act(name: str) -> None:
        if name == "cut":
            # Something must be left to finish, or the run may end well before it looks up.
            world.workers[0].paused = True
            world.cluster.append("orders", 0, *(Entry("committed") for _ in range(100)))
            until(lambda: world.forwarders[0].lanes[0].position == 2100)
        if name == step:
            drain.stop()

    drain = Drain(world.settings, world.doors, Told(act))

    with pytest.raises(NotFinishedError) as stopped:
        drain.run()

    require_no_loss(world)
    said = "\n".join(stopped.value.__notes__)
    assert f"run {drain.plan.names.run}" in said
    assert f"group billing on orders stands at what was finished: 0: {world.old_offsets[0]}" in said
    assert f"kafka-topics --delete --topic {drain.plan.temp.name}" in said
    assert world.cluster.deleted == []


def test_a_stop_in_the_middle_moves_the_group_up_to_what_was_finished() -> None:
    world = a_world(records=MANY)
    drain = Drain(world.settings, world.doors)

    def stop_after_some() -> None:
        until(lambda: len(handled(world)) > 100)
        drain.stop()

    until_some = threading.Thread(target=stop_after_some)
    until_some.start()
    with pytest.raises(NotFinishedError):
        drain.run()
    until_some.join()
    require_no_loss(world)
    assert sum(world.old_offsets.values()) > 0
    assert all(workers.stopped for workers in world.workers)


def test_a_stop_after_the_proof_finishes_what_is_left_of_the_run() -> None:
    world = a_world(records=50)
    drain: Drain
    drain = Drain(world.settings, world.doors, Told(lambda name: drain.stop() if name == "hand back" else None))
    drain.run()
    assert world.old_offsets == {0: 50, 1: 50, 2: 50}


def test_out_of_time_is_an_end_like_a_stop() -> None:
    world = a_world(records=MANY, timeout_s=0.2)
    with pytest.raises(NotFinishedError, match="not finished within 0 s"):
        Drain(world.settings, world.doors).run()
    require_no_loss(world)


@pytest.mark.parametrize("step", ["check", "drain", "cut", "finish", "prove", "hand back"])
def test_a_group_moved_by_another_tool_is_never_written_over(step: str) -> None:
    world = a_world(records=500)

    def meddle(name: str) -> None:
        if name == step:
            world.cluster.commit("billing", "orders", {0: (7, "")})

    with pytest.raises(ProofError, match="group billing was moved by another tool: orders partition 0 at 7"):
        Drain(world.settings, world.doors, Told(meddle)).run()
    assert world.old_offsets[0] == 7
    assert world.cluster.deleted == []


def test_a_member_that_joins_the_old_group_stops_the_run_by_name() -> None:
    world = a_world(records=5000)

    def join(name: str) -> None:
        if name == "drain":
            stranger = Member(client_id="consumer-1", host="10.0.0.9", instance_id=None, partitions=("orders/0",))
            world.cluster.members["billing"] = [stranger]

    with pytest.raises(ProofError, match=r"not Empty any more: consumer-1 on 10\.0\.0\.9 with orders/0"):
        Drain(world.settings, world.doors, Told(join)).run()
    assert world.old_offsets == {0: 0, 1: 0, 2: 0}


def test_a_topic_made_again_under_the_same_name_stops_the_run() -> None:
    world = a_world(records=5000)

    def remake(name: str) -> None:
        if name == "drain":
            world.cluster.ids["orders"] = "another"

    with pytest.raises(ProofError, match="orders was deleted and made again"):
        Drain(world.settings, world.doors, Told(remake)).run()


def test_a_lane_that_fails_ends_the_run_with_its_own_error() -> None:
    world = a_world(records=MANY)
    broken = RefusedError("orders/1 at offset 17 is corrupt", "mend it")

    def fail(name: str) -> None:
        if name == "drain":
            threading.Thread(target=_fail_lane, args=(world, broken)).start()

    with pytest.raises(RefusedError) as failed:
        Drain(world.settings, world.doors, Told(fail)).run()
    assert failed.value is broken
    require_no_loss(world)


def _fail_lane(world: World, error: FanoutError) -> None:
    until(lambda: bool(world.forwarders))
    lane = world.forwarders[0].lanes[1]
    lane.error, lane.state = error, "ended"


def test_workers_that_cannot_go_on_end_the_run() -> None:
    world = a_world(records=MANY)

    def fail(name: str) -> None:
        if name == "drain":
            threading.Thread(target=_fail_workers, args=(world,)).start()

    with pytest.raises(WorkError, match="too many dead letters"):
        Drain(world.settings, world.doors, Told(fail)).run()
    require_no_loss(world)


def _fail_workers(world: World) -> None:
    until(lambda: bool(world.workers))
    world.workers[0].trouble = WorkError("too many dead letters", "mend the handler")


def test_a_round_without_an_answer_is_left_out_and_the_run_goes_on() -> None:
    world = a_world(records=300)
    silent = iter(range(10_000))

    def sometimes(call: str) -> None:
        asked = call.startswith(("committed billing", "offsets orders stable")) and told.steps[-1:] == ["drain"]
        if asked and next(silent) % 3 == 0:
            raise UnreachableError("a broker restarts")

    told = Told()
    world.cluster.before = sometimes
    report = Drain(world.settings, world.doors, told).run()
    assert report.records == 900


def test_a_write_whose_answer_was_lost_is_known_as_our_own() -> None:
    world = a_world(records=300)
    honest = world.cluster.commit
    lost: list[Mapping[int, tuple[int, str]]] = []

    def commit(group: str, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        honest(group, topic, offsets)
        if group == "billing" and len(lost) < 3:
            lost.append(offsets)
            raise UnreachableError("the answer was lost")

    world.cluster.commit = commit  # type: ignore[method-assign]
    Drain(world.settings, world.doors).run()
    assert lost
    assert world.old_offsets == {0: 300, 1: 300, 2: 300}


def test_a_temp_topic_that_reads_back_wrong_is_removed_before_anything_moves() -> None:
    world = a_world()
    doors = replace(world.doors, topics=MemoryTopics(world.cluster, refuse="retention.ms=1 instead of -1"))
    with pytest.raises(RefusedError, match=r"retention\.ms=1 instead of -1") as refused:
        Drain(world.settings, doors).run()
    assert refused.value.__notes__ == ["Nothing was changed."]
    assert len(world.cluster.deleted_groups) == 2
    assert world.old_offsets == {0: 0, 1: 0, 2: 0}
    assert len(world.cluster.deleted) == 1
    assert world.forwarders == []


def test_two_drains_that_begin_in_the_same_moment_see_each_other() -> None:
    world = a_world()
    other = RunNames("orders", "20260131-080000-abcd")

    def begin_another(call: str) -> None:
        if call == "make" and other.temp_topic not in world.cluster.topics:
            world.cluster.add_topic(other.temp_topic, 6)
            world.cluster.commit(other.work_group, "orders", {0: (0, drains_note("billing"))})

    world.cluster.before = begin_another
    with pytest.raises(RefusedError, match=f"{other.temp_topic} is there") as refused:
        Drain(world.settings, world.doors).run()
    assert refused.value.__notes__ == ["Nothing was changed."]
    assert sorted(world.cluster.topics) == [other.temp_topic, "orders"]


def test_the_twins_can_lose_records_or_the_tests_above_prove_nothing() -> None:
    world = a_world(records=5)
    world.cluster.commit("billing", "orders", {0: (3, "")})
    with pytest.raises(AssertionError):
        require_no_loss(world)
