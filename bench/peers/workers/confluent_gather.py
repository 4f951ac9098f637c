"""confluent-kafka, a task for each of a batch, committed once all are done. Does not keep the order of a key."""

from __future__ import annotations

import uvloop
from confluent_kafka import Consumer

from peers.workers.handling import CONSUMER, Batch, values_of
from work.order import Order


async def main() -> None:
    order = Order.read()
    batch = Batch(order)
    consumer = Consumer({"bootstrap.servers": order.bootstrap, "group.id": order.group, **CONSUMER})
    consumer.subscribe([order.topic])
    while True:
        # Blocks the loop, on which nothing runs meanwhile.
        messages = consumer.consume(order.at_once, timeout=0.2)
        if messages:
            await batch.handle(values_of(messages))
            consumer.commit(asynchronous=True)


if __name__ == "__main__":
    uvloop.run(main())
