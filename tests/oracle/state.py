"""
Where a cluster stands: ends of partitions, committed offsets, open transactions.

Asked of librdkafka and kafka-python, never of fanout. A transaction is looked for on both sides: a last stable offset
below the end where it wrote, and its state at the coordinator.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from .check import EndState
from .ends import ends, open_consumer, partitions_of, unstable
from .read import kafka

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["committed_offsets", "end_state", "open_transactions"]

_TIMEOUT_S = 30.0
_MARKERS_S = 5.0
_COORDINATOR_NOT_READY = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """A group's committed offsets; partitions without a commit are left out."""
    consumer = open_consumer(bootstrap, "read_committed", group)
    try:
        asked = [TopicPartition(topic, number) for number in partitions_of(consumer, topic)]
        answers = _once_coordinated(lambda: consumer.committed(asked, _TIMEOUT_S))
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
    finally:
        consumer.close()


def _once_coordinated(ask: Callable[[], list[TopicPartition]]) -> list[TopicPartition]:
    """Asks again while a young cluster still makes its coordinators: this client does not."""
    give_up = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _COORDINATOR_NOT_READY or time.monotonic() > give_up:
                raise
        time.sleep(0.1)


def open_transactions(bootstrap: str, prefix: str) -> tuple[str, ...]:
    """Transactional ids that begin with `prefix` and have not ended, as their coordinators say: by kafka-python."""
    admin: Any = kafka.admin.KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        listed = admin.list_transactions(state_filters=["Ongoing", "PrepareCommit", "PrepareAbort"])
    finally:
        admin.close()
    ids = (each.transactional_id for found in listed.values() for each in found)
    return tuple(sorted(name for name in ids if name.startswith(prefix)))


def end_state(bootstrap: str, group: str, source: str, target: str) -> EndState:
    """Where the group's offsets and every transaction of the forwarder, its target and the offsets topic stand.

    An ended transaction's markers are written a moment after the answer to its end: what is still open after a few
    seconds is open.
    """
    deadline = time.monotonic() + _MARKERS_S
    while True:
        held = unstable(bootstrap, target, "__consumer_offsets")
        ongoing = open_transactions(bootstrap, f"fanout.{group}.")
        if not (held or ongoing) or time.monotonic() > deadline:
            return EndState(
                committed=committed_offsets(bootstrap, group, source),
                ends=ends(bootstrap, source),
                unstable=held,
                ongoing=ongoing,
            )
        time.sleep(0.1)
