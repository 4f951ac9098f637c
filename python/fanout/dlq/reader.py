"""
Reading a dead-letter topic from one place to its end as it was at the start.

The partitions are assigned by hand: no group is joined, nothing is committed, and whoever else reads is left alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fanout.config.tokens import with_token_function
from fanout.errors import NotFinishedError, UnreachableError, WorkError
from fanout.kafka.names import redrive_group

if TYPE_CHECKING:
    from fanout._fanout import Cluster
    from fanout.config.clients import Clients
    from fanout.config.selection import Selection
    from fanout.message import KafkaMessage

__all__ = ["KAFKA_LOG", "Reader", "Spans", "spans_of"]

KAFKA_LOG = logging.getLogger("fanout.kafka")

BATCH = 500
POLL_S = 0.25
SILENCE_S = 30.0

PROPERTIES = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "enable.partition.eof": "true",
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",
    # All that is held of letters that nobody has looked at yet.
    "queued.max.messages.kbytes": "16384",
}

Spans = Mapping[int, tuple[int, int]]
"""By partition, the first offset and the one behind the last."""


def spans_of(cluster: Cluster, selection: Selection) -> Spans:
    """The whole of each selected partition, to its last stable offset now. RefusedError if there is no such topic."""
    partitions = selection.of(cluster.partitions(selection.topic), "--topic")
    first, last = cluster.offsets(selection.topic, "earliest"), cluster.offsets(selection.topic, "stable")
    return {partition: (first[partition], max(first[partition], last[partition])) for partition in partitions}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """How letters are read. `timeout_s`: how long all of it may take; None is as long as it takes."""

    clients: Clients
    topic: str
    timeout_s: float | None = None

    @property
    def group(self) -> str:
        """The group of the topic's redrives, in whose name nothing but a redrive commits."""
        return redrive_group(self.topic)

    def consumer(self) -> Consumer:
        """One that has nothing to read yet."""
        own = self.clients.of("consumer", "dlq")
        return Consumer(with_token_function({**own, **PROPERTIES, "group.id": self.group}), logger=KAFKA_LOG)

    def letters(self, spans: Spans, consumer: Consumer | None = None) -> Iterator[KafkaMessage]:
        """Every letter of `spans`, in the order of each partition; a consumer of its own is closed at the end.

        Raises NotFinishedError when it takes too long, UnreachableError when no broker answers for 30 s.
        """
        own = consumer or self.consumer()
        try:
            yield from self._letters(own, {p: end for p, (start, end) in spans.items() if start < end}, spans)
        finally:
            if consumer is None:
                own.close()

    def _letters(self, consumer: Consumer, left: dict[int, int], spans: Spans) -> Iterator[KafkaMessage]:
        began = heard = time.monotonic()
        consumer.assign([TopicPartition(self.topic, partition, spans[partition][0]) for partition in left])
        while left:
            messages: list[Any] = consumer.consume(BATCH, POLL_S)
            for message in messages:
                if self._is_letter(message, left):
                    heard = time.monotonic()
                    yield message
            now = time.monotonic()
            if messages:
                heard = now
            if self.timeout_s is not None and now - began > self.timeout_s:
                raise NotFinishedError(f"{self.topic} was not read to its end in {self.timeout_s:g} s")
            if now - heard > SILENCE_S:
                raise UnreachableError(f"{self.topic}: nothing came for {SILENCE_S:.0f} s")

    def _is_letter(self, message: Any, left: dict[int, int]) -> bool:
        """Whether it belongs to the spans; takes partitions off `left` once nothing of them can follow."""
        partition: int = message.partition()
        error: KafkaError | None = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  librdkafka's own codes begin so
            if error.retriable() or error.name() in ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"):
                return False
            raise WorkError(f"{self.topic}/{partition}: {error.str()}", "what was read so far is all that can be said")
        end = left.get(partition)
        if end is None:
            return False
        if message.offset() >= (end if error is not None else end - 1):
            del left[partition]
        return error is None and message.offset() < end
