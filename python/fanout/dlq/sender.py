"""The transactions of a redrive: letters out, and the note that they went."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from fanout.config.tokens import with_token_function
from fanout.errors import FanoutError, FencedError, UnreachableError, WorkError
from fanout.work.codes import is_absent, is_passing, is_too_large

from .reader import KAFKA_LOG

if TYPE_CHECKING:
    from types import TracebackType

    from fanout.message import KafkaMessage

    from .choice import Going
    from .ground import Ground
    from .reader import Reader

__all__ = ["Sender"]

ANSWER_S = 60.0
FULL_S = 0.1

PROPERTIES = {
    "acks": "all",
    "enable.idempotence": "true",
    "linger.ms": "5",
    "allow.auto.create.topics": "false",
    "message.max.bytes": "1000000000",
    # Java's: where --to-topic sends letters by their keys, other producers' records of the key are.
    "partitioner": "murmur2_random",
    "transaction.timeout.ms": "60000",
    # Below the transaction's own, so that what is not delivered is told before the transaction is over.
    "message.timeout.ms": "50000",
}

TAKEN_OVER = frozenset({"_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"})


class Sender:
    """Owns the redrive's transactional id from entering to leaving; what is open then is aborted."""

    def __init__(self, reader: Reader, consumer: Consumer) -> None:
        own = reader.clients.of("producer", "dlq")
        self._topic = reader.topic
        self._id = reader.group
        self._consumer = consumer
        self._producer = Producer(
            with_token_function({**own, **PROPERTIES, "transactional.id": self._id}), logger=KAFKA_LOG
        )
        self._refused: tuple[KafkaMessage, Going, KafkaError] | None = None
        self._began = 0.0
        self.letters = 0
        """Of the open transaction."""

    def __enter__(self) -> Self:
        self._try(lambda: self._producer.init_transactions(ANSWER_S))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.letters and not isinstance(error, FencedError):
            self._try(lambda: self._producer.abort_transaction(ANSWER_S))

    def open_s(self) -> float:
        """How long the transaction is open."""
        return time.monotonic() - self._began if self.letters else 0.0

    def send(self, letter: KafkaMessage, going: Going) -> None:
        """Adds a letter to the transaction; begins one if there is none."""
        if not self.letters:
            self._try(self._producer.begin_transaction)
            self._began = time.monotonic()
        self.letters += 1

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None and self._refused is None:
                self._refused = letter, going, error

        while True:
            try:
                self._try(
                    lambda: self._producer.produce(
                        going.topic,
                        key=letter.key(),
                        value=letter.value(),
                        headers=[*going.headers],
                        partition=going.partition,
                        on_delivery=delivered,
                    ),
                    (letter, going),
                )
                break
            except BufferError:  # the producer's queue is full
                self._producer.poll(FULL_S)
        self._producer.poll(0)
        self._look()

    def commit(self, grounds: Mapping[int, Ground]) -> None:
        """Makes the letters and the note visible together, or raises."""
        places = [
            TopicPartition(self._topic, partition, ground.point, ground.metadata())
            for partition, ground in grounds.items()
            if ground.is_changed
        ]
        left = self._producer.flush(ANSWER_S)
        self._look()
        if left:
            raise UnreachableError(f"{left} letters were not acknowledged in {ANSWER_S:.0f} s; none of them went back")
        group = self._consumer.consumer_group_metadata()
        self._try(lambda: self._producer.send_offsets_to_transaction(places, group, ANSWER_S))
        self._try(lambda: self._producer.commit_transaction(ANSWER_S))
        self.letters = 0
        for ground in grounds.values():
            ground.is_changed = False

    def _look(self) -> None:
        if self._refused is not None:
            raise self._error(self._refused[2], self._refused[:2])

    def _try(self, step: Callable[[], object], of: tuple[KafkaMessage, Going] | None = None) -> object:
        """Asks again what may be asked again; the client says so of each call of a transaction."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                return step()
            except KafkaException as failed:
                error: KafkaError = failed.args[0]
                if error.retriable() and time.monotonic() < deadline:
                    continue
                self._look()
                raise self._error(error, of) from failed

    def _error(self, error: KafkaError, of: tuple[KafkaMessage, Going] | None) -> FanoutError:
        if error.name() in TAKEN_OVER:
            return FencedError(self._id)
        again = "nothing of the last transaction went back; start again, it goes on from there"
        if of is not None:
            letter, going = of
            name = f"{letter.topic()}:{letter.partition()}@{letter.offset()}"
            if is_too_large(error):
                return WorkError(
                    f"{going.topic} takes no record as large as {name}", f"raise max.message.bytes; {again}"
                )
            if is_absent(error):
                return WorkError(f"{name} cannot be put back: {going.topic} is gone", again)
        if is_passing(error):
            return UnreachableError(f"{error.str()}; {again}")
        return WorkError(f"letters of {self._topic} cannot be put back: {error.str()}", again)
