"""Kafka's errors by name, sorted by what a worker does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["is_gone", "is_overtaken", "is_passing"]

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
