"""A lane that cannot go on stops and says where; the others finish, and the process exits non-zero."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from commands import Running, fanout
from conftest import unique_name
from oracle import Expectation, Recipe, check
from oracle.ends import ends
from oracle.generate import Chunk, Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove
from oracle.read import read
from oracle.state import committed_offsets

from .working import wait_until

if TYPE_CHECKING:
    from commands import Ran
    from conftest import Kafka, Topics

KEPT = {"retention.ms": "-1"}
FAILED = 1
FENCED = 6
HALTED = 1
"""The source partition whose lane is stopped in these tests."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A source of 3 partitions, a target of 4."""

    bootstrap: str
    generator: Generator
    target: str
    group: str

    @property
    def arguments(self) -> tuple[str, ...]:
        named = ("-t", self.generator.topic, "-g", self.group, "--to-topic", self.target)
        return ("-o", "json", "forward", *named, "--from", "earliest")

    def until_end(self) -> Ran:
        return fanout(self.bootstrap, *self.arguments, "--until", "end")

    def check_others(self) -> None:
        """Everything of the other partitions is there; of the halted one nothing from its place on."""
        carried = ends(self.bootstrap, self.generator.topic) | {HALTED: self.halted_at()}
        check(read(self.bootstrap, self.target), self.expectation(carried)).require()

    def halted_at(self) -> int:
        """The committed offset of the partition whose lane is stopped."""
        return committed_offsets(self.bootstrap, self.group, self.generator.topic).get(HALTED, 0)

    def expectation(self, below: dict[int, int] | None = None) -> Expectation:
        made = self.generator
        return Expectation(recipe=made.recipe, ledger=made.ledger, placement=java_placement(4), below=below)


def stage_on(bootstrap: str, topics: Topics, recipe: Recipe, target: dict[str, str] | None = None) -> Stage:
    generator = Generator(bootstrap, topics("source", 3, KEPT), recipe)
    made = topics("target", 4, KEPT | (target or {}))
    return Stage(bootstrap=bootstrap, generator=generator, target=made, group=unique_name("g"))


def require_halt(ran: Ran, stage: Stage, offset: int, *named: str) -> None:
    """The process failed, its result holds one failed lane, and the error says where."""
    ran.require(FAILED)
    lanes = {lane["partition"]: lane for lane in ran.document["lanes"]}
    assert {p: lane["outcome"] for p, lane in lanes.items()} == {0: "end", HALTED: "failed", 2: "end"}
    said = lanes[HALTED]["error"]
    for words in (f"{stage.generator.topic}/{HALTED}", str(offset), *named):
        assert words in said, f"{words!r} is not in: {said}"


def test_records_that_expired_before_they_were_carried_halt_their_lane(kafka: Kafka, topics: Topics) -> None:
    stage = stage_on(kafka.bootstrap, topics, Recipe())
    stage.generator.write(Chunk(records=3_000))
    stage.until_end().require()
    stands = stage.halted_at()
    stage.generator.write(Chunk(records=3_000))
    doomed = TopicPartition(stage.generator.topic, HALTED, stands + 100)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.delete_records([doomed]).values():
        future.result(30)

    require_halt(stage.until_end(), stage, stands)

    assert stage.halted_at() == stands
    stage.check_others()


def test_a_record_too_large_for_the_target_halts_its_lane(kafka: Kafka, topics: Topics) -> None:
    stage = stage_on(kafka.bootstrap, topics, Recipe(), {"max.message.bytes": "100000"})
    stage.generator.write(Chunk(records=3_000))
    stage.until_end().require()
    large = produce_large(stage, partition=HALTED, size=150_000)
    stage.generator.write(Chunk(records=3_000))

    require_halt(stage.until_end(), stage, large, "max.message.bytes")

    assert stage.halted_at() == large
    stage.check_others()


@pytest.mark.parametrize("route", ["key", "batch"])
def test_a_target_of_small_batches_is_given_small_ones(kafka: Kafka, topics: Topics, route: str) -> None:
    stage = stage_on(kafka.bootstrap, topics, Recipe(), {"max.message.bytes": "2000"})
    for codec in ("none", "lz4"):
        stage.generator.write(Chunk(records=3_000, codec=codec))

    arguments = (*stage.arguments, "--route", route, "--until", "end")
    ran = fanout(kafka.bootstrap, *arguments).require()

    source = stage.generator.topic
    carried = Carried(bootstrap=kafka.bootstrap, source=source, target=stage.target, group=stage.group)
    prove(carried, replace(stage.expectation(), placement=java_placement(4) if route == "key" else None))
    ways = {way for lane in ran.document["lanes"] for way in lane["batches"]}
    wanted = {"splice:size", "transcode:size"} if route == "batch" else {"splice:spread", "transcode:spread"}
    assert ways >= wanted, ways


def produce_large(stage: Stage, *, partition: int, size: int) -> int:
    """One record of `size` bytes that is not the oracle's, into one partition; returns its offset."""
    placed: list[int] = []

    def delivered(_error: object, message: Message) -> None:
        placed.append(message.offset() or 0)

    producer = Producer({"bootstrap.servers": stage.bootstrap})
    producer.produce(stage.generator.topic, value=b"x" * size, partition=partition, on_delivery=delivered)
    assert producer.flush(30) == 0
    return placed[0]


def test_a_forwarder_whose_lanes_were_taken_over_ends_as_fenced(kafka: Kafka, topics: Topics) -> None:
    stage = stage_on(kafka.bootstrap, topics, Recipe())
    with stage.generator.feed(4_000), Running(kafka.bootstrap, *stage.arguments) as first:
        wait_for_offset(stage, 1)
        with Running(kafka.bootstrap, *stage.arguments) as second:
            taken = time.monotonic()
            first.wait(60).require(FENCED)
            print(f"fenced: the first forwarder ended {time.monotonic() - taken:.2f} s after the second began")
            time.sleep(1)
            assert second.runs
    stage.until_end().require()
    source = stage.generator.topic
    carried = Carried(bootstrap=kafka.bootstrap, source=source, target=stage.target, group=stage.group)
    prove(carried, stage.expectation())


def wait_for_offset(stage: Stage, least: int) -> None:
    wait_until(lambda: stage.halted_at() >= least, "a commit")
