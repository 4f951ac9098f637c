"""
Records a worker writes itself, dead letters and those that come again later: each is acknowledged or waited for.

Whoever sends settles its record only afterwards: a crash between the two writes the record twice, and none is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from fanout.errors import WorkError

from .codes import is_absent, is_passing, is_too_large

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as ProducedMessage

    from fanout.message import Headers

__all__ = ["Parcel", "Post"]

logger = logging.getLogger("fanout.work")

POLL_S = 0.1
AGAIN_S = 1.0
TELL_S = 10.0
"""A topic that is gone is named as often as this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """A record to be written to `topic`. `name` says for people what it is."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    name: str

    def __len__(self) -> int:
        """Bytes of its parts, as the size that a topic allows counts them but for a few bytes of framing."""
        parts = [self.key, self.value, *(value for _, value in self.headers), *(name for name, _ in self.headers)]
        return sum(len(part) for part in parts if part is not None)


class Post:
    """One producer, and who waits for it. Belongs to the loop it is used on."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._waiting = 0
        self._pump: asyncio.Future[None] | None = None
        self._tell_at = 0.0

    async def send(self, parcel: Parcel) -> None:
        """Returns when the broker has acknowledged the record; tries until then.

        A topic that was deleted is waited for. Raises WorkError for a record no broker will ever take.
        """
        while True:
            try:
                error = await self._produce(parcel)
            except BufferError:  # the producer's queue is full
                await asyncio.sleep(AGAIN_S)
                continue
            if error is None:
                return
            if is_absent(error):
                self._tell_absent(parcel)
            elif not is_passing(error):
                raise _refused(parcel, error)
            await asyncio.sleep(AGAIN_S)

    async def _produce(self, parcel: Parcel) -> KafkaError | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[KafkaError | None] = loop.create_future()

        def delivered(error: KafkaError | None, _message: ProducedMessage) -> None:
            loop.call_soon_threadsafe(_answer, answer, error)

        try:
            self._producer.produce(
                parcel.topic, key=parcel.key, value=parcel.value, headers=[*parcel.headers], on_delivery=delivered
            )
        except KafkaException as refused:  # what the client knows by itself, it says at once
            error: KafkaError = refused.args[0]
            return error
        self._waiting += 1
        self._poll_while_waiting()
        try:
            return await answer
        finally:
            self._waiting -= 1

    def _poll_while_waiting(self, _ended: object = None) -> None:
        # librdkafka calls back only while it is polled, and polling blocks: so on a thread, while it is needed. The
        # thread may see the last answer just as the next record comes: its end looks once more.
        if self._waiting and (self._pump is None or self._pump.done()):
            self._pump = asyncio.get_running_loop().run_in_executor(None, self._poll)
            self._pump.add_done_callback(self._poll_while_waiting)

    def _poll(self) -> None:
        while self._waiting:
            self._producer.poll(POLL_S)

    def _tell_absent(self, parcel: Parcel) -> None:
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_S
            logger.error("%s is gone: %s waits until it is back, and nothing is lost", parcel.topic, parcel.name)


def _refused(parcel: Parcel, error: KafkaError) -> WorkError:
    if is_too_large(error):
        return WorkError(
            f"{parcel.topic} takes no record as large as {parcel.name}, "
            f"whose key, value and headers are {len(parcel):,} bytes",
            f"the record was not settled; raise max.message.bytes of {parcel.topic} above that, then start again",
        )
    return WorkError(
        f"{parcel.topic} does not take {parcel.name}: {error.str()}",
        "the record was not settled; let the topic take it (access, settings), then start again",
    )


def _answer(future: asyncio.Future[KafkaError | None], error: KafkaError | None) -> None:
    if not future.done():
        future.set_result(error)
