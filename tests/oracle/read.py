"""
Reading a topic with clients that are not fanout.

Two of them, written by other people in other languages: librdkafka through confluent-kafka, fast enough for a million
records, and kafka-python, which shares no line with it.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self, cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, TopicPartition

from .check import Record
from .ends import Isolation, open_consumer, partitions_of, wait_for_markers
from .transactions import kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "READERS",
    "Follower",
    "read",
    "read_with_kafka_python",
]

_BATCH = 10_000
_POLL_S = 0.05
_QUIET_S = 60.0


def read(bootstrap: str, topic: str, *, isolation: Isolation = "read_committed") -> Iterator[Record]:
    """Every record of `topic` from its start to the end its partitions had when they were reached: by librdkafka.

    Of transactions that end just now the markers are waited for.
    """
    if isolation == "read_committed":
        wait_for_markers(bootstrap, topic)
    consumer = open_consumer(bootstrap, isolation)
    try:
        partitions = partitions_of(consumer, topic)
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
    if isolation == "read_committed":
        wait_for_markers(bootstrap, topic)
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


class Follower:
    """Reads a topic read_committed while it is written, and remembers what it was shown, in order.

    A reader that comes afterwards must be shown the same: a record that was seen and went, or came before one that was
    seen already, is a promise broken that no later reading can find.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.shown: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self.later: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._topic = topic
        self._consumer = open_consumer(bootstrap, "read_committed")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower")

    def __enter__(self) -> Self:
        partitions = partitions_of(self._consumer, self._topic)
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in partitions])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(_BATCH, _POLL_S):
                if message.error() is None:
                    self.shown[cast("int", message.partition())].append(cast("int", message.offset()))

    def compare(self, records: Iterable[Record]) -> Iterator[Record]:
        """Hands on the whole topic, read later, and remembers its offsets for `contradictions`."""
        for record in records:
            self.later[record.partition].append(record.offset)
            yield record

    def contradictions(self) -> list[str]:
        """Partitions whose later reading does not begin with what was shown here."""
        return [
            f"{self._topic}/{partition}: {len(seen)} offsets shown at the time are not the first shown later"
            for partition, seen in sorted(self.shown.items())
            if self.later[partition][: len(seen)] != seen
        ]


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
