"""sentry-arroyo: the handler that does nothing as a task in line, one that waits in threads. Those lose key order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategyFactory, RunTask, RunTaskInThreads
from arroyo.types import Topic

from peers.workers.handling import blocking
from work.order import Order


class Factory(ProcessingStrategyFactory):
    """A strategy for each assignment."""

    def __init__(self, order: Order) -> None:
        self._threads = order.at_once if order.wait_s or order.redis else 1
        self._handle = blocking(order, threads=self._threads)

    def create_with_partitions(self, commit: Callable[..., None], _partitions: Mapping[Any, int]) -> Any:
        last = CommitOffsets(commit)
        if self._threads == 1:
            return RunTask(self._run, last)
        return RunTaskInThreads(self._run, self._threads, 2 * self._threads, last)

    def _run(self, message: Any) -> Any:
        self._handle(orjson.loads(message.payload.value))
        return message.payload


def main() -> None:
    order = Order.read()
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {},
            bootstrap_servers=[order.bootstrap],
            group_id=order.group,
            auto_offset_reset="earliest",
            queued_min_messages=100_000,
            queued_max_messages_kbytes=65_536,
            override_params={"fetch.queue.backoff.ms": 10},
        )
    )
    StreamProcessor(consumer=consumer, topic=Topic(order.topic), processor_factory=Factory(order)).run()


if __name__ == "__main__":
    main()
