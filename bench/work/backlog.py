"""The records to handle: 200 bytes of JSON, ten thousand keys in no order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Cluster as Control
from work.tally import KEYS, NO_KEY

__all__ = ["PARTITIONS", "Backlog", "make", "records", "remove"]

PARTITIONS = 4
VALUE_BYTES = 200
QUIET = {"log_level": 3}


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many records, and which share of them has no key. Each value names its record and its key."""

    records: int
    keyless: float = 0.0


def make(bootstrap: str, topic: str, backlog: Backlog) -> None:
    """Makes a topic that holds the backlog."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    control = Control({"bootstrap.servers": bootstrap})
    control.offsets(topic, "latest")  # every partition answers: who reads first must not pay for a young topic
    _fill(bootstrap, topic, backlog)
    if sum(control.offsets(topic, "stable").values()) != backlog.records:
        raise RuntimeError(f"{topic} does not hold what was written")


def records(backlog: Backlog) -> Iterator[tuple[bytes | None, bytes]]:
    """Key and value of each record."""
    chosen = random.Random(1)
    for number in range(backlog.records):
        key = NO_KEY if chosen.random() < backlog.keyless else chosen.randrange(KEYS)
        value = b'{"id":%d,"key":%d,"text":"' % (number, key)
        value += b"x" * (VALUE_BYTES - len(value) - 2) + b'"}'
        yield None if key == NO_KEY else b"%08d" % key, value


def _fill(bootstrap: str, topic: str, backlog: Backlog) -> None:
    producer = Producer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
            # Records without a key go to the partitions evenly, not by turns of a batch.
            "sticky.partitioning.linger.ms": 0,
        }
    )
    for number, (key, value) in enumerate(records(backlog)):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        if not number % 10_000:
            producer.poll(0)
    producer.flush()


def remove(bootstrap: str, topics: list[str]) -> None:
    """Deletes topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    for deleted in admin.delete_topics(topics).values():
        deleted.result()
