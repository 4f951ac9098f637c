"""
Where a cluster stands: ends of partitions, committed offsets, open transactions.

Asked of librdkafka and kafka-python, never of fanout. A transaction is looked for on both sides: a last stable offset
below the end where it wrote, and its state at the coordinator.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from .check import EndState
from .ends import ends, open_consumer, partitions_of, unstable
from .transactions import not_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["committed_offsets", "end_state", "open_transactions"]

_TIMEOUT_S = 30.0
_MARKERS_S = 5.0
_LATEST_S = 60.0
_OFFSETS = "__consumer_offsets"
_NOT_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
)
"""Coordinators of a young cluster are on their way, or a transaction holds an offset: the next answer may be better."""


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """A group's committed offsets; partitions without a commit are left out."""
    consumer = open_consumer(bootstrap, "read_committed", group)
    try:
        asked = [TopicPartition(topic, number) for number in partitions_of(consumer, topic)]
        answers = _answered(lambda: consumer.committed(asked, _TIMEOUT_S))
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
    finally:
        consumer.close()


def _answered(ask: Callable[[], list[TopicPartition]]) -> list[TopicPartition]:
    """Asks again where an answer is only a matter of time: this client does not, or not for long."""
    give_up = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return _without_errors(ask())
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > give_up:
                raise
        time.sleep(0.1)


def _without_errors(answers: list[TopicPartition]) -> list[TopicPartition]:
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return answers


def open_transactions(bootstrap: str, prefix: str) -> tuple[str, ...]:
    """Transactional ids that begin with `prefix` and have not ended, as their coordinators say: by kafka-python."""
    return tuple(sorted(name for name in not_ended(bootstrap) if name.startswith(prefix)))


def end_state(bootstrap: str, group: str, source: str, target: str) -> EndState:
    """Where the group's offsets and every transaction of the forwarder, its target and the offsets topic stand.

    An ended transaction's markers are written a moment after the answer to its end: what is still open after a few
    seconds is open, unless it is only a matter of time (`_is_passing`).
    """
    began, prefix = time.monotonic(), f"fanout.{group}."
    while True:
        known = not_ended(bootstrap)
        held = unstable(bootstrap, target, _OFFSETS)
        ongoing = tuple(sorted(name for name in known if name.startswith(prefix)))
        waited_s = time.monotonic() - began
        is_late = waited_s > _LATEST_S or (waited_s > _MARKERS_S and not _is_passing(known, held, prefix))
        if not (held or ongoing) or is_late:
            return EndState(
                committed=committed_offsets(bootstrap, group, source),
                ends=ends(bootstrap, source),
                unstable=held,
                ongoing=ongoing,
            )
        time.sleep(0.1)


def _is_passing(known: Mapping[str, bool], held: Iterable[str], prefix: str) -> bool:
    """Whether what is open will not be for long, or is not ours.

    Markers are being written; or somebody else's transaction, such as that of a forwarder which another test killed,
    holds the offsets that all share, until it times out.
    """
    ours = [ends for name, ends in known.items() if name.startswith(prefix)]
    if not all(ours):
        return False
    return any(known.values()) or (len(known) > len(ours) and all(name.startswith(_OFFSETS) for name in held))
