"""Kafka's errors by name, sorted by what a worker does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["is_absent", "is_fenced", "is_gone", "is_overtaken", "is_passing", "is_too_large"]

ABSENT = frozenset({"UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"})

GONE = frozenset({"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"})
PASSING = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_MAX_POLL_EXCEEDED",
        "_MSG_TIMED_OUT",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "_WAIT_COORD",
    }
)
TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "_MSG_SIZE_TOO_LARGE"})
OVERTAKEN = frozenset(
    {
        "FENCED_INSTANCE_ID",
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
        "STALE_MEMBER_EPOCH",
        "UNKNOWN_MEMBER_ID",
        "_ASSIGNMENT_LOST",
        "_NO_OFFSET",
    }
)


def is_passing(error: KafkaError) -> bool:
    """Whether the same may go well a moment later."""
    return not error.fatal() and (error.retriable() or error.name() in PASSING)


def is_gone(error: KafkaError) -> bool:
    """Whether the log no longer holds the position that was to be read."""
    return error.name() in GONE


def is_overtaken(error: KafkaError) -> bool:
    """Whether a commit came after its partition was given to another, or while partitions move."""
    return error.name() in OVERTAKEN


def is_fenced(error: KafkaError) -> bool:
    """Whether another process has joined the group under the same `group.instance.id`."""
    # The client wraps it into an error of its own, which keeps nothing of it but the words.
    return error.name() == "FENCED_INSTANCE_ID" or (error.name() == "_FATAL" and "fenced" in error.str())


def is_absent(error: KafkaError) -> bool:
    """Whether a topic that was to be written does not exist."""
    return error.name() in ABSENT


def is_too_large(error: KafkaError) -> bool:
    """Whether a record is larger than its topic takes."""
    return error.name() in TOO_LARGE
