"""Commits of what is settled, made by the thread that owns the consumer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from fanout.errors import WorkError

from .codes import is_overtaken, is_passing

if TYPE_CHECKING:
    from fanout._fanout import Intake

    from .consumer import Consumer
    from .feed import Reading

__all__ = ["Commits"]

logger = logging.getLogger("fanout.work")

LEAST_TRIES = 4
"""Of a commit that no later one can cover."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.4
"""Between its tries, twice as long each time."""


class Commits:
    """Commits the commit points of an intake."""

    def __init__(self, reading: Reading, consumer: Consumer, intake: Intake) -> None:
        self._reading = reading
        self._consumer = consumer
        self._intake = intake
        self.committed: dict[int, int] = {}
        """The last offset known to be committed of every partition that was held."""

    def commit(self) -> bool:
        """Whether all got through that was due."""
        due = self._intake.due()
        if not due:
            return True
        topic = self._reading.topic
        parking = self._reading.parking
        if parking is not None:
            due = [(partition, offset, parking.metadata(partition, offset)) for partition, offset, _ in due]
        places = [TopicPartition(topic, partition, offset, metadata) for partition, offset, metadata in due]
        try:
            answers = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            self._failed(error.args[0])
            return False
        for answer in answers:
            if answer.error is None:
                self._intake.committed(answer.partition, answer.offset)
                self.committed[answer.partition] = answer.offset
            else:
                self._failed(answer.error)
        return all(answer.error is None for answer in answers)

    def _failed(self, error: KafkaError) -> None:
        """A commit that another owner or a rebalance overtook is not tried again by itself: the next one covers it."""
        if is_overtaken(error) or is_passing(error):
            logger.warning("%s: a commit did not get through: %s", self._reading.topic, error.str())
            return
        problem = f"group {self._reading.group} cannot commit for {self._reading.topic}: {error.str()}"
        raise WorkError(problem, "let the group commit (access, size of offset metadata), then start again")

    def last(self, until: float = 0.0, wait: Callable[[float], object] = time.sleep) -> None:
        """Nobody else is given partitions that we have not let go, so what a rebalance overtook may be tried again."""
        tries, wait_s = 1, FIRST_WAIT_S
        while not self.commit() and (tries < LEAST_TRIES or time.monotonic() < until):
            wait(wait_s)
            tries, wait_s = tries + 1, min(2 * wait_s, LONGEST_WAIT_S)
