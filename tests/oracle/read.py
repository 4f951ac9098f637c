"""
Reading a topic with clients that are not fanout.

Two of them, written by other people in other languages: librdkafka through confluent-kafka, fast enough for a million
records, and kafka-python, which shares no line with it.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException, Message, TopicPartition

from .check import EndState, Record

with warnings.catch_warnings():
    # kafka-python loads its schemas with functions that Python 3.11 deprecated (and 3.13 took back).
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    import kafka
    from kafka.partitioner import murmur2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "READERS",
    "Ends",
    "committed_offsets",
    "end_state",
    "ends",
    "murmur2",
    "read",
    "read_with_kafka_python",
    "unstable",
]

Isolation = Literal["read_committed", "read_uncommitted"]

_BATCH = 10_000
_POLL_S = 0.05
_TIMEOUT_S = 30.0
_QUIET_S = 15.0


def read(bootstrap: str, topic: str, *, isolation: Isolation = "read_committed") -> Iterator[Record]:
    """Every record of `topic` from its start to the end its partitions had when they were reached: by librdkafka."""
    consumer = _consumer(bootstrap, isolation)
    try:
        partitions = _partitions(consumer, topic)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        unfinished = set(partitions)
        heard = time.monotonic()
        while unfinished:
            messages = consumer.consume(_BATCH, _POLL_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _QUIET_S:
                raise AssertionError(f"{topic}: nothing came for {_QUIET_S:g} s, partitions {unfinished} have no end")
            for message in messages:
                error = message.error()
                if error is None:
                    yield _record(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(cast("int", message.partition()))
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


def read_with_kafka_python(bootstrap: str, topic: str, *, isolation: Isolation = "read_committed") -> Iterator[Record]:
    """The same by kafka-python."""
    consumer: Any = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation,
        enable_auto_commit=False,
        fetch_max_bytes=16 << 20,
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        partitions = [kafka.TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        stops = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < stop for partition, stop in stops.items()):
            for records in consumer.poll(timeout_ms=500, max_records=_BATCH).values():
                for each in records:
                    headers = tuple((name, value) for name, value in each.headers)
                    appended = each.timestamp_type == 1
                    yield Record(each.partition, each.offset, each.key, each.value, headers, each.timestamp, appended)
    finally:
        consumer.close()


READERS: dict[str, Callable[[str, str], Iterator[Record]]] = {
    "confluent-kafka": read,
    "kafka-python": read_with_kafka_python,
}


class Ends:
    """The ends of a topic's partitions, over connections that stay: for asking often."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._stable = _consumer(bootstrap, "read_committed")
        self._high = _consumer(bootstrap, "read_uncommitted")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stable.close()
        self._high.close()

    def stable(self) -> dict[int, int]:
        """Last stable offset of each partition: up to where read_committed readers see."""
        return _ends(self._stable, self._topic)

    def high(self) -> dict[int, int]:
        """High watermark of each partition: up to where records are acknowledged."""
        return _ends(self._high, self._topic)


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Last stable offset of each partition: the end as read_committed readers see it."""
    with Ends(bootstrap, topic) as found:
        return found.stable()


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """A group's committed offsets; partitions without a commit are left out."""
    consumer = _consumer(bootstrap, "read_committed", group)
    try:
        asked = [TopicPartition(topic, number) for number in _partitions(consumer, topic)]
        answers = consumer.committed(asked, _TIMEOUT_S)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
    finally:
        consumer.close()


def unstable(bootstrap: str, *topics: str) -> dict[str, tuple[int, int]]:
    """Partitions in which a transaction is open: `topic/partition` → last stable offset, high watermark."""
    found: dict[str, tuple[int, int]] = {}
    for topic in topics:
        with Ends(bootstrap, topic) as marks:
            stable, high = marks.stable(), marks.high()
        found |= {f"{topic}/{p}": (stable[p], high[p]) for p in high if stable[p] < high[p]}
    return found


def end_state(bootstrap: str, group: str, source: str, target: str) -> EndState:
    """Where the group's offsets and every transaction of target and offsets topic stand."""
    return EndState(
        committed=committed_offsets(bootstrap, group, source),
        ends=ends(bootstrap, source),
        unstable=unstable(bootstrap, target, "__consumer_offsets"),
    )


def _consumer(bootstrap: str, isolation: Isolation, group: str = "oracle-reader") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 262_144,
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, _TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    marks = {}
    for number in _partitions(consumer, topic):
        answer = consumer.get_watermark_offsets(TopicPartition(topic, number), _TIMEOUT_S)
        if answer is None:
            raise AssertionError(f"{topic}/{number}: no answer for its end")
        marks[number] = answer[1]
    return marks


def _record(message: Message) -> Record:
    kind, timestamp = message.timestamp()
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    return Record(
        cast("int", message.partition()),
        cast("int", message.offset()),
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
        timestamp,
        kind == TIMESTAMP_LOG_APPEND_TIME,
    )
