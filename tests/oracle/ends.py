"""The ends of partitions as clients of librdkafka see them, and where a transaction stands between two of them."""

from __future__ import annotations

import time
from typing import Literal, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .transactions import is_ending

__all__ = [
    "Ends",
    "Isolation",
    "ends",
    "open_consumer",
    "partitions_of",
    "settled_ends",
    "unstable",
    "wait_for_markers",
]

Isolation = Literal["read_committed", "read_uncommitted"]

_TIMEOUT_S = 30.0
_LATER = (KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
_MARKERS_S = 5.0
_LATEST_S = 60.0


class Ends:
    """The ends of a topic's partitions, over connections that stay: for asking often."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._stable = open_consumer(bootstrap, "read_committed")
        self._high = open_consumer(bootstrap, "read_uncommitted")

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

    def wait_for_markers(self) -> None:
        """Waits until every transaction that is open now has ended, or a few seconds have passed.

        An ended transaction's markers are written a moment after the answer to its end, and nobody is shown its
        records before: what is still open after a few seconds, while no coordinator is ending any, is open.
        """
        high, began = self.high(), time.monotonic()
        while self._lies_below(high):
            waited_s = time.monotonic() - began
            # Looked at once more: what was ending a moment ago may be over when the coordinators are asked.
            if waited_s > _MARKERS_S and not is_ending(self._bootstrap) and self._lies_below(high):
                return
            if waited_s > _LATEST_S:
                raise AssertionError(f"{self._topic}: markers were not written within {_LATEST_S:g} s")
            time.sleep(0.02)

    def _lies_below(self, high: dict[int, int]) -> bool:
        return any(offset < high.get(partition, 0) for partition, offset in self.stable().items())


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Last stable offset of each partition: the end as read_committed readers see it."""
    with Ends(bootstrap, topic) as found:
        return found.stable()


def settled_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The same once the markers of what ended are written (`Ends.wait_for_markers`): after a run, not during one."""
    with Ends(bootstrap, topic) as found:
        found.wait_for_markers()
        return found.stable()


def unstable(bootstrap: str, *topics: str) -> dict[str, tuple[int, int]]:
    """Partitions in which a transaction is open: `topic/partition` → last stable offset, high watermark."""
    found: dict[str, tuple[int, int]] = {}
    for topic in topics:
        with Ends(bootstrap, topic) as marks:
            stable, high = marks.stable(), marks.high()
        found |= {f"{topic}/{p}": (stable[p], high[p]) for p in high if stable[p] < high[p]}
    return found


def wait_for_markers(bootstrap: str, topic: str) -> None:
    """See `Ends.wait_for_markers`."""
    with Ends(bootstrap, topic) as marks:
        marks.wait_for_markers()


def open_consumer(bootstrap: str, isolation: Isolation, group: str = "oracle-reader") -> Consumer:
    """A consumer of librdkafka that joins nothing and commits nothing by itself."""
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


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The partitions of a topic; raises KafkaException when there is none of that name."""
    found = consumer.list_topics(topic, _TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    marks = {}
    for number in partitions_of(consumer, topic):
        marks[number] = _end(consumer, TopicPartition(topic, number))
    return marks


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """A leader that has just become one may not know its high watermark yet."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            answer = consumer.get_watermark_offsets(place, _TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _LATER or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            if answer is None:
                raise AssertionError(f"{place.topic}/{place.partition}: no answer for its end")
            return int(answer[1])
