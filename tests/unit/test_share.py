"""Lanes of one process while a group gives and takes partitions: what starts, what ends, when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from fanout.config.forward import ForwardSettings
from fanout.errors import BrokerError, FanoutError, FencedError, HaltedError, RefusedError
from fanout.kafka import share
from fanout.kafka.share import Sharing, Stay, consumer_properties


def settings(end: dict[int, int] | None) -> ForwardSettings:
    return ForwardSettings(
        properties={},
        source="orders",
        target="target",
        group="g",
        transactional_prefix="fanout.g",
        partitions=range(4),
        start={},
        end=end,
        route="key",
        partitioner="murmur2",
        allotments=None,
        origin="none",
        compression="same",
    )


def last(partition: int, outcome: str = "stopped", error: FanoutError | None = None, position: int = 10) -> Stay:
    """The last word of a lane that began at 0 and forwarded all below its position."""
    return Stay(
        partition=partition,
        began=0,
        position=position,
        forwarded=max(0, position),
        count=max(0, position),
        sum=0,
        outcome=outcome,
        error=error,
    )


@dataclass
class Group:
    """A consumer that plays a script: each poll does the next step."""

    steps: list[Callable[[Group], Any]]
    told: list[str]
    callbacks: dict[str, Callable[..., None]] = field(default_factory=dict)

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.callbacks = callbacks

    def poll(self, _timeout: float) -> Any:
        return self.steps.pop(0)(self)

    def incremental_assign(self, given: list[TopicPartition]) -> None:
        self.told.append(f"assign {[one.partition for one in given]}")

    def pause(self, given: list[TopicPartition]) -> None:
        self.told.append(f"pause {[one.partition for one in given]}")

    def close(self) -> None:
        self.told.append("close")

    def call(self, what: str, *partitions: int) -> None:
        self.callbacks[f"on_{what}"](self, [TopicPartition("orders", p) for p in partitions])


@dataclass
class Lanes:
    """Lanes that end as they are told to, or as a test says."""

    told: list[str]
    running: set[int] = field(default_factory=set)
    ended: list[Stay] = field(default_factory=list)
    trouble: FanoutError | None = None

    def start_lane(self, partition: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.running.add(partition)
        self.told.append(f"start {partition}")

    def end_lanes(self, partitions: Sequence[int], how: str) -> list[Stay]:
        self.told.append(f"end {list(partitions)} {how}")
        ended = [last(partition) for partition in partitions if partition in self.running]
        self.running.difference_update(partitions)
        return ended

    def ended_lanes(self) -> list[Stay]:
        ended, self.ended = self.ended, []
        self.running.difference_update(end.partition for end in ended)
        return ended

    def set_share(self, share: float) -> None:
        self.told.append(f"share {share}")

    def stop(self) -> None:
        self.told.append("stop")


class Stage:
    """One process with a scripted group."""

    def __init__(self, *steps: Callable[[Group], Any], end: dict[int, int] | None = None) -> None:
        self.told: list[str] = []
        self.lanes = Lanes(self.told)
        self.group = Group([*steps, lambda _: self.sharing.stop()], self.told)
        self.is_finished = False
        self.sharing = Sharing(settings(end), self.lanes, cast("Consumer", self.group), lambda: self.is_finished)

    def run(self) -> dict[int, Stay]:
        return {stay.partition: stay for stay in self.sharing.run()}


def give(*partitions: int) -> Callable[[Group], Any]:
    return lambda group: group.call("assign", *partitions)


def test_a_partition_is_paused_before_its_lane_starts_and_its_lane_ends_before_it_is_let_go() -> None:
    stage = Stage(give(0, 2), lambda group: group.call("revoke", 2))
    stays = stage.run()
    assert stage.told == [
        *("assign [0, 2]", "pause [0, 2]", "start 0", "start 2"),
        "end [2] finish",
        *("stop", "end [0] finish", "close"),
    ]
    assert (stays[0].outcome, stays[2].forwarded) == ("stopped", 10)
    assert stage.sharing.moves == 2


def test_each_process_takes_of_the_groups_rate_what_its_lanes_are_of_all_lanes() -> None:
    stage = Stage(give(0, 2, 3), lambda group: group.call("revoke", 2))
    stage.sharing.shares_rate = True
    stage.run()
    assert [word for word in stage.told if word.startswith("share")] == ["share 0.75", "share 0.5"]


def test_lanes_of_lost_partitions_end_at_once() -> None:
    stage = Stage(give(1), lambda group: group.call("lost", 1))
    stage.run()
    assert "end [1] at-once" in stage.told


def test_what_a_partition_was_carried_in_several_stays_is_summed_up() -> None:
    stage = Stage(give(1), lambda group: group.call("revoke", 1), give(1))
    assert stage.run()[1].forwarded == 20


def test_a_fenced_lane_is_no_error_and_is_tried_again_while_its_partition_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(share, "SESSION_MS", 0)
    fenced = last(3, "failed", FencedError("fanout.g.orders.3"), position=-1)
    stage = Stage(give(3), lambda _: stage.lanes.ended.append(fenced), lambda _: None)
    stays = stage.run()
    assert stage.told.count("start 3") == 2
    assert stays[3].error is None


def test_a_fenced_lane_whose_partition_was_given_away_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "SESSION_MS", 0)
    fenced = last(3, "failed", FencedError("fanout.g.orders.3"))

    def taken(group: Group) -> None:
        stage.lanes.ended.append(fenced)
        group.call("revoke", 3)

    stage = Stage(give(3), taken, lambda _: None)
    assert stage.run()[3].outcome == "moved"
    assert stage.told.count("start 3") == 1


def test_a_process_whose_lanes_are_all_at_their_ends_leaves() -> None:
    stage = Stage(
        give(0, 1),
        lambda _: stage.lanes.ended.append(last(0, "end")),
        lambda _: stage.lanes.ended.append(last(1, "end")),
        end={0: 10, 1: 10},
    )
    stays = stage.run()
    assert [stays[0].outcome, stays[1].outcome] == ["end", "end"]
    assert "stop" not in stage.told


def test_a_process_without_lanes_leaves_when_others_have_carried_everything() -> None:
    stage = Stage(end={0: 10})
    stage.is_finished = True
    assert stage.run() == {}
    assert stage.told == ["end [] finish", "close"]


def test_a_lane_that_failed_is_told_and_the_others_go_on() -> None:
    halted = HaltedError("orders", 0, 7, "broken", "mend it")
    stage = Stage(give(0, 1), lambda _: stage.lanes.ended.append(last(0, "failed", halted)), lambda _: None)
    stays = stage.run()
    assert stays[0].error is halted
    assert stays[1].outcome == "stopped", "it ran to the stop"


def test_what_the_cluster_refuses_ends_the_process_and_the_group_is_left() -> None:
    stage = Stage(give(0))
    stage.lanes.trouble = RefusedError("no", "ask")
    with pytest.raises(RefusedError):
        stage.run()
    assert stage.told[-1] == "close"


def test_a_partition_that_was_made_after_the_start_is_not_carried(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(give(9))
    assert stage.run() == {}
    assert "orders/9 was made after the start" in caplog.text


def test_the_group_of_lanes_is_not_the_users_and_assigns_one_by_one() -> None:
    own = {"group.id": "mine", "partition.assignment.strategy": "range", "session.timeout.ms": "9000"}
    properties = consumer_properties(own, "g")
    assert properties["group.id"] == "fanout.g.lanes"
    assert properties["partition.assignment.strategy"] == "cooperative-sticky"
    assert properties["session.timeout.ms"] == "9000"


def test_a_group_that_may_not_be_read_ends_the_process_with_the_acl_to_add() -> None:
    class Refusal:
        def error(self) -> Any:
            return KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)

    stage = Stage(lambda _: Refusal())
    with pytest.raises(BrokerError, match=r"--group fanout\.g\.lanes"):
        stage.run()
