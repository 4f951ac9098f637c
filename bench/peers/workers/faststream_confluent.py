"""FastStream on confluent-kafka; `FASTSTREAM_WORKERS` is its `max_workers`, 1 its default."""

from __future__ import annotations

import os

import uvloop
from faststream import FastStream
from faststream.confluent import KafkaBroker

from peers.workers.handling import asynchronous
from work.order import Order


def main() -> None:
    order = Order.read()
    broker = KafkaBroker(order.bootstrap, logger=None, config={"fetch.queue.backoff.ms": 10})
    subscriber = broker.subscriber(
        order.topic,
        group_id=order.group,
        auto_offset_reset="earliest",
        max_workers=int(os.environ["FASTSTREAM_WORKERS"]),
    )
    subscriber(asynchronous(order))
    uvloop.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    main()
