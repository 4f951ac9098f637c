"""
The orders of the demo: a backlog at once, then more at a steady rate for as long as the story goes.

    feeder = Feeder(bootstrap, topic)
    feeder.pile_up(60_000)
    with feeder.arriving(100):
        ...
    feeder.acknowledged
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import cast

from confluent_kafka import KafkaError, Message, Producer

from fanout.errors import UnreachableError

from .acknowledged import Acknowledged, Origin

__all__ = ["CUSTOMERS", "Feeder"]

CUSTOMERS = 3_000
"""Distinct keys. Enough that thirty targets get about as much each; few enough that every key has a history."""

SEED = 2026
FLUSH_S = 60.0
TICK_S = 0.02


class Feeder:
    """Writes orders with a sequence number for each customer, and keeps what the broker acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.acknowledged = Acknowledged()
        self._topic = topic
        self._sequences: Counter[int] = Counter()
        self._chance = random.Random(SEED)  # noqa: S311  customers in an order that is the same every time
        self._refused: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                # Otherwise a batch sent again could come behind its successor, and our own list would be out of order.
                "enable.idempotence": True,
                # A trickle in full batches: single ones would keep the broker busier than the story does.
                "linger.ms": 100,
                # What goes wrong comes with the answer; on stderr it would disturb the story.
                "log_level": 0,
                "partitioner": "murmur2_random",
            }
        )

    def pile_up(self, orders: int) -> None:
        """Writes so many orders as fast as it goes; returns when all are acknowledged."""
        for _ in range(orders):
            self._send()
        self._flush()

    @contextmanager
    def arriving(self, per_s: float) -> Iterator[None]:
        """Orders keep arriving inside the block; at its end all are acknowledged."""
        stop = threading.Event()
        with ThreadPoolExecutor(1, "feeder") as pool:
            sending = pool.submit(self._keep_sending, per_s, stop)
            try:
                yield
            finally:
                stop.set()
            sending.result()
        self._flush()

    def check(self) -> None:
        """Raises UnreachableError if the broker refused an order: then nobody knows any more what to expect."""
        if self._refused is not None:
            raise UnreachableError(f"an order was not acknowledged: {self._refused.str()}")

    def _keep_sending(self, per_s: float, stop: threading.Event) -> None:
        began, sent = time.monotonic(), 0
        while not stop.wait(TICK_S):
            due = int((time.monotonic() - began) * per_s)
            for _ in range(due - sent):
                self._send()
            sent = due
            self._producer.poll(0)

    def _send(self) -> None:
        customer = self._chance.randrange(CUSTOMERS)
        sequence = self._sequences[customer]
        self._sequences[customer] += 1
        order = {"customer": customer, "sequence": sequence, "cents": self._chance.randrange(100, 100_000)}
        key, value = f"customer-{customer:04}", json.dumps(order)
        noted = partial(self._note, sequence)
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=noted)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _note(self, sequence: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused = error
            return
        place = Origin(cast("int", message.partition()), cast("int", message.offset()))
        self.acknowledged.add(cast("bytes", message.key()), sequence, place)

    def _flush(self) -> None:
        left = self._producer.flush(FLUSH_S)
        self.check()
        if left:
            raise UnreachableError(f"{left} orders were not acknowledged within {FLUSH_S:g} s")
