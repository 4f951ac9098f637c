"""
A process without Kafka: tasks that take values from memory and await the handler. What no runtime can be below.

As many tasks as records may be in flight; each decodes its value, as a runtime must.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import uvloop

from work.backlog import Backlog, records
from work.handlers import Handle, handler_of
from work.order import Order

YIELD_AFTER = 64


async def main() -> None:
    order = Order.read()
    values = iter([value for _, value in records(Backlog(order.records))])
    handle = handler_of(order)
    async with asyncio.TaskGroup() as slots:
        for _ in range(order.at_once):
            slots.create_task(_slot(values, handle))


async def _slot(values: Iterator[bytes], handle: Handle) -> None:
    for number, value in enumerate(values, start=1):
        await handle(orjson.loads(value))
        if not number % YIELD_AFTER:
            await asyncio.sleep(0)  # the others are to have their share, as in any runtime


if __name__ == "__main__":
    uvloop.run(main())
