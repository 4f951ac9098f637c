"""
The application of the demo: one handler that takes its time. Old consumers and workers run the same one.

It is found as `fanout.demo.handlers:app`, in worker processes that learn from their environment which Kafka
it is and how long a record takes.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Producer

from fanout.app import App
from fanout.message import Message

from .acknowledged import Origin
from .effects import Effect

__all__ = ["APP", "EFFECTS", "GROUP", "ORDERS", "app", "environment"]

APP = f"{__name__}:app"
ORDERS = "orders"
EFFECTS = "demo.effects"
GROUP = "billing"

BOOTSTRAP_VARIABLE = "FANOUT_DEMO_BOOTSTRAP"
HANDLER_MS_VARIABLE = "FANOUT_DEMO_HANDLER_MS"

app = App(GROUP)


@app.handler(ORDERS, decode="json", concurrency=1, dlq=None)
async def bill(order: dict[str, Any], msg: Message) -> None:
    """Bills one order, which takes as long as a call to a payment service might.

    The effect travels meanwhile, and is acknowledged before the order counts as done: one that is lost with
    this process would else be taken for done.
    """
    writer = _writer()
    effect = Effect(cast("bytes", msg.key), order["sequence"], Origin(*msg.position), os.getpid())
    acknowledged = writer.append(effect)
    await asyncio.sleep(writer.handler_s)
    await acknowledged


@contextmanager
def environment(bootstrap: str, handler_ms: float) -> Iterator[None]:
    """What worker processes started inside the block find in their environment."""
    told = {BOOTSTRAP_VARIABLE: bootstrap, HANDLER_MS_VARIABLE: str(handler_ms)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class EffectWriter:
    """Appends effects. One for each process, with a thread that waits for the broker's answers."""

    def __init__(self, bootstrap: str, handler_s: float) -> None:
        self.handler_s = handler_s
        # A batch sent again must not become a second effect; one at a time, there is nothing to wait for.
        settings = {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "log_level": 3,
        }
        self._producer = Producer(settings)
        threading.Thread(target=self._serve, name="effects", daemon=True).start()

    def append(self, effect: Effect) -> asyncio.Future[None]:
        """Sends one effect; the future is done once the broker has acknowledged it."""
        loop = asyncio.get_running_loop()
        delivered: asyncio.Future[None] = loop.create_future()

        def answered(error: KafkaError | None, _message: object) -> None:
            loop.call_soon_threadsafe(_settle, delivered, error)

        self._producer.produce(EFFECTS, effect.value(), effect.key, on_delivery=answered)
        return delivered

    def _serve(self) -> None:
        while True:
            self._producer.poll(1.0)


@cache
def _writer() -> EffectWriter:
    return EffectWriter(os.environ[BOOTSTRAP_VARIABLE], float(os.environ[HANDLER_MS_VARIABLE]) / 1000)


def _settle(delivered: asyncio.Future[None], error: KafkaError | None) -> None:
    if delivered.done():
        return  # the handler was cancelled meanwhile
    if error is None:
        delivered.set_result(None)
    else:
        delivered.set_exception(KafkaException(error))
