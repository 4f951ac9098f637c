"""Driving the forward engine as the commands do, with settings that a test can change one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from fanout._fanout import Cluster, Forwarder, LaneEnd
from fanout.config.forward import ForwardSettings
from oracle.ends import open_consumer, partitions_of, wait_for_markers

__all__ = ["ends", "feed", "forward", "forwarding", "read", "settings"]


def settings(bootstrap: str, source: str, target: str, **changes: Any) -> ForwardSettings:
    """A plain forward of every partition by murmur2, from offset 0 to what is stable now."""
    properties = {"bootstrap.servers": bootstrap}
    end = Cluster(properties).offsets(source, "stable")
    plain = ForwardSettings(
        properties=properties,
        source=source,
        target=target,
        group=f"{target}-forward",
        transactional_prefix=f"fanout.{target}-forward",
        partitions=sorted(end),
        start=dict.fromkeys(end, 0),
        end=end,
        route="key",
        partitioner="murmur2",
        allotments=None,
        origin="none",
        compression="same",
    )
    return replace(plain, **changes)


def forward(chosen: ForwardSettings) -> dict[int, LaneEnd]:
    """Runs to the end; how each lane ended, by source partition."""
    return {end.partition: end for end in Forwarder(chosen).run()}


@contextmanager
def forwarding(chosen: ForwardSettings) -> Iterator[tuple[Forwarder, list[LaneEnd]]]:
    """Runs in the background; the list is filled when the lanes have ended, which leaving the block waits for."""
    forwarder = Forwarder(chosen)
    ended: list[LaneEnd] = []
    thread = threading.Thread(target=lambda: ended.extend(forwarder.run()), name="forwarder")
    thread.start()
    try:
        yield forwarder, ended
    finally:
        forwarder.stop()
        thread.join(30)
        if thread.is_alive():
            forwarder.abort()
            thread.join()


def feed(bootstrap: str, topic: str, records: Sequence[tuple[int, bytes | None, bytes | None]], **options: Any) -> None:
    """Produces (partition, key, value) and waits until all are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **options})
    failed: list[Any] = []
    for partition, key, value in records:
        producer.produce(
            topic,
            value,
            key,
            partition,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not failed, failed[0]


def read(bootstrap: str, topic: str) -> list[Any]:
    """Every record a read-committed consumer sees, partition by partition; the markers of what has ended come first."""
    wait_for_markers(bootstrap, topic)
    consumer = open_consumer(bootstrap, "read_committed")
    try:
        partitions = partitions_of(consumer, topic)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found: list[Any] = []
        unread = set(partitions)
        while unread:
            message = consumer.poll(60)
            assert message is not None, f"{topic}: no end of partitions {unread}"
            if (error := message.error()) is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition() or 0)
            else:
                raise KafkaException(error)
        return found
    finally:
        consumer.close()


def ends(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Committed offset by partition."""
    committed = Cluster({"bootstrap.servers": bootstrap}).committed(group, topic)
    return {partition: offset for partition, (offset, _) in committed.items()}
