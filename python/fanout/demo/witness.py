"""
Reading the effects with kafka-python: what is proven here is not proven by our own client.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from fanout.errors import ConfigError, UnreachableError

from .effects import Effect

__all__ = ["find_kafka_python", "latest_workers", "read_effects"]

BATCH = 10_000
POLL_MS = 500
QUIET_POLLS = 60
"""Polls in a row without a record, half a minute, after which the broker is given up."""


def find_kafka_python() -> Any:
    """The module `kafka`. Raises ConfigError when kafka-python is not installed."""
    with warnings.catch_warnings():
        # It loads its schemas with functions that Python 3.11 deprecated (and 3.13 took back).
        warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
        try:
            module = importlib.import_module("kafka")
        except ImportError:
            problem = "the demo is judged by another client: install it with `pip install 'kafka-fanout[demo]'`"
            raise ConfigError("kafka-python", problem) from None
    logging.getLogger("kafka").setLevel(logging.ERROR)
    return module


def read_effects(bootstrap: str, topic: str) -> Iterator[Effect]:
    """Every effect up to the ends the partitions have now; those of one partition in their order."""
    kafka = find_kafka_python()
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_bytes=16 << 20)
    try:
        partitions = _assign(kafka, consumer, topic)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        quiet = 0
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            polled = consumer.poll(timeout_ms=POLL_MS, max_records=BATCH)
            quiet = 0 if polled else quiet + 1
            if quiet == QUIET_POLLS:
                raise UnreachableError(f"{topic} cannot be read to its end: nothing came for {quiet * POLL_MS} ms")
            for records in polled.values():
                for record in records:
                    yield Effect.read(record.key, record.value)
    finally:
        consumer.close()


def latest_workers(bootstrap: str, topic: str) -> set[int]:
    """Process ids of the workers whose effect is the last in a partition."""
    kafka = find_kafka_python()
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        partitions = _assign(kafka, consumer, topic)
        ends = consumer.end_offsets(partitions)
        for partition in (each for each in partitions if ends[each]):
            consumer.seek(partition, ends[partition] - 1)
        polled = consumer.poll(timeout_ms=POLL_MS)
        return {Effect.read(record.key, record.value).worker for records in polled.values() for record in records}
    finally:
        consumer.close()


def _assign(kafka: Any, consumer: Any, topic: str) -> list[Any]:
    partitions = [kafka.TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    return partitions
