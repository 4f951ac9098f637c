"""aiokafka, a task for each record of `getmany`, committed once all are done. Does not keep the order of a key."""

from __future__ import annotations

import itertools

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer

from peers.workers.handling import Batch
from work.order import Order


async def main() -> None:
    order = Order.read()
    batch = Batch(order)
    consumer = AIOKafkaConsumer(
        order.topic,
        bootstrap_servers=order.bootstrap,
        group_id=order.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        value_deserializer=orjson.loads,
    )
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=200, max_records=order.at_once)
        records = list(itertools.chain.from_iterable(fetched.values()))
        if records:
            await batch.handle([record.value for record in records])
            await consumer.commit()


if __name__ == "__main__":
    uvloop.run(main())
