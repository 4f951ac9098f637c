"""A handler that takes 5 ms, and wants one record in a hundred twice."""

from __future__ import annotations

import asyncio
import os

from fanout import App, Message, Retry

app = App("memory")


@app.handler(os.environ["FANOUT_TEST_TOPIC"], concurrency=200, dlq=None)
async def handle(_value: bytes, msg: Message) -> None:
    await asyncio.sleep(0.005)
    if msg.attempt == 1 and msg.position.offset % 100 == 0:
        raise Retry(after=0.05)
