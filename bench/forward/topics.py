"""The backlog, the topics it is carried to, and whether all of it has arrived."""

from __future__ import annotations

import random

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Cluster as Control
from forward.cells import Source

__all__ = ["count", "create", "delete", "ends", "fill", "read_back"]

WORDS = (
    b"order customer invoice street paid open shipped returned warehouse parcel gross net tax euro cent note".split()
)
CONFIG = {
    # A deleted topic frees its disk at once instead of while later runs are measured.
    "file.delete.delay.ms": "100",
    "max.message.bytes": "4194304",
}

QUIET = {"log_level": 3}
"""Errors only: a coordinator that is still loading is asked again, and nobody need know."""


def create(bootstrap: str, topic: str, partitions: int) -> None:
    """Makes a topic; returns when every partition answers: who carries first must not pay for a young topic."""
    admin = _admin(bootstrap)  # a name of its own: its futures do not keep it alive
    admin.create_topics([NewTopic(topic, partitions, 1, config=CONFIG)])[topic].result()
    Control({"bootstrap.servers": bootstrap}).offsets(topic, "latest")


def delete(bootstrap: str, topic: str) -> None:
    """Deletes a topic."""
    admin = _admin(bootstrap)
    admin.delete_topics([topic])[topic].result()


def fill(bootstrap: str, topic: str, source: Source) -> None:
    """Writes the backlog: record i has the key i in 8 digits and a value that packs about as well as JSON does."""
    producer = Producer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "batch.num.messages": source.batch_records,
            "batch.size": 2_000_000,
            "compression.type": source.codec,
            # No producer's numbers: the forwarder that does nothing sends batches on as they are.
            "enable.idempotence": False,
            # Long enough for every batch but the last to be full.
            "linger.ms": 10_000,
            "message.max.bytes": 2_000_000,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
        }
    )
    text = _text()
    for i in range(source.records):
        value = b'{"id":%08d,"at":%010d,"text":"' % (i, i * 2_654_435_761 % 10**10)
        start = i * 37 % 50_000
        value += text[start : start + source.record_bytes - 8 - len(value) - 2] + b'"}'
        while True:
            try:
                producer.produce(topic, value, b"%08d" % i)
                break
            except BufferError:
                producer.poll(0.05)
        if not i % 10_000:
            producer.poll(0)
    producer.flush()


def ends(bootstrap: str, topic: str, source: Source) -> dict[int, int]:
    """Where the backlog ends, a partition. Raises RuntimeError unless all of it is there."""
    found = Control({"bootstrap.servers": bootstrap}).offsets(topic, "stable")
    if len(found) != source.partitions or sum(found.values()) != source.records:
        raise RuntimeError(f"the backlog is not what was written: {found}")
    return found


def count(bootstrap: str, topic: str) -> int:
    """Records a read-committed reader sees, from batch headers."""
    control = Control({"bootstrap.servers": bootstrap})
    return sum(
        control.count(topic, partition, 0, end)[0] for partition, end in control.offsets(topic, "latest").items()
    )


def read_back(bootstrap: str, topic: str, source: Source) -> str:
    """Reads a target with a client that is not ours; says what is wrong with it, or nothing."""
    seen = bytearray(source.records)
    consumer = Consumer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    doubled = altered = total = 0
    while messages := consumer.consume(10_000, timeout=1 if total >= source.records else 10):
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            key, value = message.key(), message.value()
            number = int(key or b"-1")
            doubled += seen[number]
            seen[number] = 1
            altered += value is None or value[6:14] != key or len(value) + 8 != source.record_bytes
        total += len(messages)
    consumer.close()
    lost = seen.count(0)
    return f"{lost} lost, {doubled} doubled, {altered} altered" if lost or doubled or altered else ""


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, **QUIET})


def _text() -> bytes:
    chosen = random.Random(1)
    return b" ".join(chosen.choice(WORDS) + b" %x" % chosen.getrandbits(16) for _ in range(6_000))
