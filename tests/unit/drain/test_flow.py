"""A whole drain over in-memory twins: it ends proven and home, or it stops with nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from fanout.drain.flow import Drain
from fanout.drain.ports import Live
from fanout.errors import FanoutError, NotFinishedError, ProofError, RefusedError, UnreachableError, WorkError
from fanout.kafka.groups import Member

from . import twins
from .twins import Entry, MemoryForwarder, MemoryTopics, World, a_world, until


@pytest.fixture(autouse=True)
def _no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout.drain.plan.SAMPLE_S", 0.01)


class Told:
    """A progress that remembers, and can act on what it hears."""

    def __init__(self, on_step: Callable[[str], None] = lambda _name: None) -> None:
        self.steps: list[str] = []
        self.lives: list[Live] = []
        self._on_step = on_step

    def step(self, name: str, detail: str) -> None:
        assert detail
        self.steps.append(name)
        self._on_step(name)

    def live(self, live: Live) -> None:
        self.lives.append(live)


def handled(world: World) -> list[tuple[int, int]]:
    return [origin for workers in world.workers for origin in workers.handled]


def require_no_loss(world: World) -> None:
    """Every record below the old group's offset was handled: the old consumers, started now, miss none."""
    done = set(handled(world))
    for partition, offset in world.old_offsets.items():
        log = world.cluster.topics["orders"][partition]
        passed = {(partition, o) for o in range(offset) if log[o].kind == "committed"}
        assert passed <= done


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
    stop = threading.Event()

    def produce() -> None:
        while not stop.wait(0.005):
            world.cluster.append("orders", 1, Entry("committed"))

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        report = Drain(world.settings, world.doors).run()
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


def test_a_stop_before_anything_was_made_leaves_nothing() -> None:
    world = a_world()
    drain: Drain
    drain = Drain(world.settings, world.doors, Told(lambda _name: drain.stop()))
    with pytest.raises(NotFinishedError) as stopped:
        drain.run()
    assert stopped.value.__notes__ == ["Nothing was changed."]
    assert sorted(world.cluster.topics) == ["orders"]


@pytest.mark.parametrize("step", ["expand", "drain", "cut", "finish"])
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
    world = a_world(records=3000)
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
    world = a_world(records=100_000, timeout_s=0.2)
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
    assert "stands at what was finished" in "\n".join(refused.value.__notes__)


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


def test_a_lane_that_fails_ends_the_run_with_its_own_error() -> None:
    world = a_world(records=5000)
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
    world = a_world(records=5000)

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
    with pytest.raises(RefusedError, match=r"retention\.ms=1 instead of -1"):
        Drain(world.settings, doors).run()
    assert world.old_offsets == {0: 0, 1: 0, 2: 0}
    assert len(world.cluster.deleted) == 1
    assert world.forwarders == []


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


def test_the_twins_can_lose_records_or_the_tests_above_prove_nothing() -> None:
    world = a_world(records=5)
    twins.until(lambda: True)
    world.cluster.commit("billing", "orders", {0: (3, "")})
    with pytest.raises(AssertionError):
        require_no_loss(world)
