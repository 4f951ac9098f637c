"""pyrallel-consumer in the order of keys, on one event loop."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import uvloop
from pyrallel_consumer.config import KafkaConfig
from pyrallel_consumer.consumer import PyrallelConsumer
from pyrallel_consumer.dto import ExecutionMode

from peers.workers.handling import asynchronous
from work.order import Order

SHARDS = 256
"""Its queues by the hash of a key: the more, the fewer records wait for one that is not of their key."""


async def main() -> None:
    order = Order.read()
    logging.disable(logging.WARNING)
    handle = asynchronous(order)

    async def work(item: Any) -> None:
        await handle(orjson.loads(item.payload))

    consumer = PyrallelConsumer(config=settings(order), worker=work, topic=order.topic)
    await consumer.start()
    await consumer.wait_closed()


def settings(order: Order) -> KafkaConfig:
    """Its defaults, but for what its documentation offers for throughput."""
    config = KafkaConfig()
    config.BOOTSTRAP_SERVERS = [order.bootstrap]
    config.CONSUMER_GROUP = order.group
    config.dlq_enabled = False
    parallel = config.parallel_consumer
    parallel.poll_batch_size = 1000
    parallel.worker_pool_size = SHARDS
    parallel.strict_completion_monitor_enabled = False
    parallel.execution.mode = ExecutionMode.ASYNC
    parallel.execution.max_in_flight = order.at_once
    return config


if __name__ == "__main__":
    uvloop.run(main())
