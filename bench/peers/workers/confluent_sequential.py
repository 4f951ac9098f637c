"""confluent-kafka, one record after the other, committed after each batch."""

from __future__ import annotations

from confluent_kafka import Consumer

from peers.workers.handling import CONSUMER, blocking, values_of
from work.order import Order

BATCH = 500


def main() -> None:
    order = Order.read()
    handle = blocking(order)
    consumer = Consumer({"bootstrap.servers": order.bootstrap, "group.id": order.group, **CONSUMER})
    consumer.subscribe([order.topic])
    while True:
        messages = consumer.consume(BATCH, timeout=0.2)
        for value in values_of(messages):
            handle(value)
        if messages:
            consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main()
