"""What the feed of a worker believes of its consumer, held against a real one and against the unit tests' twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import confluent_kafka
import pytest
from confluent_kafka import Producer, TopicPartition

from conftest import unique_name
from fanout._fanout import Cluster
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.work.consumer import Consumer
from fanout.work.properties import consumer_properties
from unit.work.twins import TwinConsumer, records_of

if TYPE_CHECKING:
    from conftest import Kafka, Topics

COUNT = 60
END = COUNT + 1
"""A transaction of as many records, then its marker."""


@dataclass
class Reader:
    """A consumer of one partition that holds COUNT committed records and a marker behind them."""

    topic: str
    consumer: Consumer
    start: Callable[[], None]
    committed: Callable[[], list[tuple[int, int, str | None]]]
    assigned: list[int] = field(default_factory=list)

    def subscribe(self, begin_at: int) -> None:
        """Joins; the partition is assigned at `begin_at` from within the callback, as the feed does it."""

        def on_assign(_consumer: object, partitions: list[TopicPartition]) -> None:
            self.assigned += [one.partition for one in partitions]
            self.consumer.assign([TopicPartition(self.topic, one.partition, begin_at) for one in partitions])

        self.consumer.subscribe([self.topic], on_assign=on_assign, on_revoke=_ignore, on_lost=_ignore)
        self.start()

    def read(self, until: Callable[[list[Any]], bool], most: int = 7) -> list[Any]:
        """Reads as the feed does, until what was read is enough."""
        found: list[Any] = []
        deadline = time.monotonic() + 120
        while not until(found):
            assert time.monotonic() < deadline, f"read {len(found)}"
            first = self.consumer.poll(0.1)
            if first is not None:
                found += [first, *self.consumer.consume(most - 1, 0)]
        return found


@pytest.fixture(params=["twin", "kafka"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    if request.param == "twin":
        twin = TwinConsumer({0: records_of(0, range(COUNT))}, {0: END})
        yield Reader("orders", twin, lambda: twin.rebalance("on_assign", [0]), lambda: twin.commits)
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    topics: Topics = request.getfixturevalue("topics")
    topic, group = topics("contract"), unique_name("contract")
    write(kafka.bootstrap, topic)
    settings = WorkSettings(clients=Clients(common=Properties({"bootstrap.servers": kafka.bootstrap})), app="x:y")
    consumer = confluent_kafka.Consumer(consumer_properties(settings, group))
    cluster = Cluster({"bootstrap.servers": kafka.bootstrap})

    def committed() -> list[tuple[int, int, str | None]]:
        return [(p, offset, metadata) for p, (offset, metadata) in cluster.committed(group, topic).items()]

    yield Reader(topic, cast("Consumer", consumer), lambda: None, committed)
    consumer.close()


def test_reading_begins_where_the_callback_assigned_it_and_is_in_order(reader: Reader) -> None:
    reader.subscribe(7)
    found = reader.read(at_the_end)
    assert reader.assigned == [0]
    assert offsets(found) == list(range(7, COUNT))


def test_the_end_is_told_with_the_position_past_markers(reader: Reader) -> None:
    reader.subscribe(0)
    last = reader.read(at_the_end)[-1]
    assert (last.error().name(), last.partition(), last.offset()) == ("_PARTITION_EOF", 0, END)


def test_a_start_past_every_record_is_told_as_the_end(reader: Reader) -> None:
    reader.subscribe(COUNT)
    (only,) = reader.read(at_the_end)
    assert only.offset() == END


def test_a_pause_neither_skips_nor_repeats(reader: Reader) -> None:
    reader.subscribe(0)
    before = reader.read(lambda found: len(found) >= 10)
    here = [TopicPartition(reader.topic, 0)]
    reader.consumer.pause(here)
    assert [reader.consumer.poll(0.05) for _ in range(5)] == [None] * 5
    reader.consumer.resume(here)
    after = reader.read(at_the_end)
    assert offsets(before + after) == list(range(COUNT))


def test_a_seek_reads_again_from_there(reader: Reader) -> None:
    reader.subscribe(0)
    reader.read(lambda found: len(found) >= 10)
    reader.consumer.seek(TopicPartition(reader.topic, 0, 3))
    assert offsets(reader.read(at_the_end)) == list(range(3, COUNT))


def test_a_commit_answers_for_each_partition_and_keeps_its_metadata(reader: Reader) -> None:
    reader.subscribe(0)
    reader.read(at_the_end)
    place = TopicPartition(reader.topic, 0, 42, "fanout1 1 0000000000000001 r")
    (answer,) = reader.consumer.commit(offsets=[place], asynchronous=False)
    assert (answer.partition, answer.offset, answer.error) == (0, 42, None)
    assert reader.committed() == [(0, 42, "fanout1 1 0000000000000001 r")]


def at_the_end(found: list[Any]) -> bool:
    return bool(found) and found[-1].error() is not None


def offsets(found: list[Any]) -> list[int]:
    return [one.offset() for one in found if one.error() is None]


def write(bootstrap: str, topic: str) -> None:
    """COUNT records in one transaction."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": unique_name("writer")})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(COUNT):
        producer.produce(topic, key=b"key-%d" % number, value=b"%d" % number, partition=0)
    producer.commit_transaction(30)


def _ignore(_consumer: object, _partitions: list[TopicPartition]) -> None:
    """Nothing is to be done."""
