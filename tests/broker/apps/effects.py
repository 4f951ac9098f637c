"""
Handlers that leave an effect for each record: key, serial and origin, appended to one partition and acknowledged.

What to handle and where to write come from the environment, so that each test has topics of its own.
"""

from __future__ import annotations

import os
import time

from confluent_kafka import Producer

from fanout import App, Message

SOURCE = os.environ.get("EFFECTS_SOURCE", "unset")
EFFECTS = os.environ.get("EFFECTS_TOPIC", "unset")
HANDLER_S = float(os.environ.get("EFFECTS_HANDLER_S", "0"))

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("EFFECTS_BOOTSTRAP", "127.0.0.1:1"),
        "enable.idempotence": True,
        "linger.ms": 0,
    }
)

app = App("effects")


@app.handler(SOURCE, concurrency=8, dlq=None)
def append(value: bytes, message: Message) -> None:
    """Appends the effect; returns once the broker has it."""
    time.sleep(HANDLER_S)
    origin = f"{message.position.partition}/{message.position.offset}"
    producer.produce(EFFECTS, key=message.key, value=value.split(b".")[1] + b"/" + origin.encode())
    if producer.flush(30):
        raise TimeoutError("the effect was not acknowledged")
