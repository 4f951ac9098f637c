"""`fanout forward` as a command: where it begins, where it ends, what it leaves, and whom it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from commands import fanout
from conftest import unique_name
from oracle import Recipe
from oracle.generate import Chunk, Generator
from oracle.read import read

from .working import wait_until

if TYPE_CHECKING:
    from conftest import Kafka, Topics


class Road:
    """A source with 100 records in each of its two partitions' shares, a target, and a group."""

    def __init__(self, kafka: Kafka, topics: Topics) -> None:
        self.bootstrap = kafka.bootstrap
        self.source = topics("source", 2, {"retention.ms": "-1"})
        self.target = topics("target", 5, {"retention.ms": "-1"})
        self.group = unique_name("carry")
        self.generator = Generator(self.bootstrap, self.source, Recipe(keys=20))
        self.generator.write(Chunk(records=100))

    def arguments(self, *more: str) -> list[str]:
        return ["forward", "-t", self.source, "-g", self.group, "--to-topic", self.target, "-o", "json", *more]

    def arrived(self) -> list[bytes]:
        """Values in the target."""
        return sorted(record.value or b"" for record in read(self.bootstrap, self.target))


@pytest.fixture
def road(kafka: Kafka, topics: Topics) -> Road:
    """A road nobody has travelled."""
    return Road(kafka, topics)


def test_until_end_names_what_lies_above_it_and_who_holds_it(road: Road) -> None:
    held = road.generator.open(30)
    ran = fanout(road.bootstrap, *road.arguments("--from", "earliest", "--until", "end")).require()
    assert sum(lane["records"] for lane in ran.document["lanes"]) == 100
    assert len(road.arrived()) == 100
    above = "\n".join(ran.document["above_the_end"])
    assert "lie in transactions that are open: producer " in above
    assert " epoch 0 since offset " in above

    held.commit()
    ran = fanout(road.bootstrap, *road.arguments("--until", "end")).require()
    assert sum(lane["records"] for lane in ran.document["lanes"]) == 30
    assert ran.document["above_the_end"] == []
    assert ran.document["metrics"]['fanout_forward_batches_total{way="splice",reason="spread"}'] > 0
    assert len(road.arrived()) == 130


def test_from_counts_only_where_the_group_has_no_commit(road: Road) -> None:
    fanout(road.bootstrap, *road.arguments("--from", "latest", "--until", "end")).require()
    assert road.arrived() == []
    ran = fanout(road.bootstrap, *road.arguments("--from", "earliest", "--until", "end")).require()
    assert sum(lane["records"] for lane in ran.document["lanes"]) == 0
    assert road.arrived() == []
    road.generator.write(Chunk(records=10))
    fanout(road.bootstrap, *road.arguments("--from", "latest", "--until", "end")).require()
    assert len(road.arrived()) == 10


def test_a_stretch_of_one_partition_is_carried_half_open(road: Road) -> None:
    one = ["-t", f"{road.source}:1", "--from", "@5", "--to", "@12"]
    ran = fanout(road.bootstrap, *road.arguments(*one)).require()
    [lane] = ran.document["lanes"]
    assert (lane["partition"], lane["from"], lane["to"], lane["records"]) == (1, 5, 12, 7)
    source = [record for record in read(road.bootstrap, road.source) if record.partition == 1]
    assert road.arrived() == sorted(record.value or b"" for record in source[5:12])


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ([], 2, "--from: group"),
        (["--from", "@99999"], 5, "not 99999"),
        (["--from", "earliest", "-t", "no-such-topic"], 5, "no-such-topic"),
        (["--from", "earliest", "--to-topic", "no-such-topic"], 5, "no-such-topic"),
    ],
)
def test_bad_input_is_refused_before_anything_is_carried(road: Road, change: list[str], code: int, said: str) -> None:
    assert said in fanout(road.bootstrap, *road.arguments("--until", "end", *change)).require(code).err
    assert road.arrived() == []


def test_a_topic_is_not_carried_into_itself(road: Road) -> None:
    ran = fanout(road.bootstrap, *road.arguments("--from", "earliest", "--to-topic", road.source)).require(2)
    assert f"--to-topic: {road.source} cannot be carried into itself" in ran.err


def test_a_partition_that_is_not_there_is_refused(road: Road) -> None:
    ran = fanout(road.bootstrap, *road.arguments("--from", "earliest", "-t", f"{road.source}:0,7")).require(2)
    assert "has partitions 0 to 1; there is no 7" in ran.err


def test_a_group_with_members_is_refused(road: Road) -> None:
    consumer = Consumer({"bootstrap.servers": road.bootstrap, "group.id": road.group, "client.id": "billing-7"})
    consumer.subscribe([road.source])
    try:
        wait_until(lambda: (consumer.poll(0.2), consumer.assignment())[1], "a partition")
        ran = fanout(road.bootstrap, *road.arguments("--from", "earliest")).require(5)
    finally:
        consumer.close()
    assert "has members (billing-7 on 127.0.0.1" in ran.err


def test_offsets_of_another_tool_are_refused(road: Road) -> None:
    consumer = Consumer({"bootstrap.servers": road.bootstrap, "group.id": road.group})
    consumer.commit(offsets=[TopicPartition(road.source, p, 1) for p in range(2)], asynchronous=False)
    consumer.close()
    ran = fanout(road.bootstrap, *road.arguments("--from", "earliest")).require(5)
    assert "committed by something else" in ran.err
