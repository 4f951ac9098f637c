"""
The handlers that peers run, in both colours, and the loop's settings they have in common.

With dedup a record is claimed before its handler and completed after it, each by whoever still holds the claim:
what users of a peer write themselves, in redis-py's calls.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import redis
import redis.asyncio

from work.handlers import Handle, Value, handler_of
from work.order import Order
from work.tally import Tally

__all__ = ["CONSUMER", "Batch", "asynchronous", "blocking", "values_of"]

CONSUMER = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    # The default of a second stalls a reader that keeps up.
    "fetch.queue.backoff.ms": 10,
}
"""Of the plain loops on confluent-kafka."""

CONNECTIONS = 50
WINDOW_MS = 3_600_000
COMPLETE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2])
return 1
"""


def values_of(messages: Sequence[Any]) -> list[Value]:
    """The values of confluent-kafka's messages. Raises RuntimeError for one that is an error."""
    for message in messages:
        if message.error() is not None:
            raise RuntimeError(message.error().str())
    return [orjson.loads(message.value()) for message in messages]


def asynchronous(order: Order) -> Handle:
    """The handler as a coroutine, one call a record."""
    handle = handler_of(order)
    if not order.redis:
        return handle
    # Hundreds of records at once share some connections, each waiting for a free one.
    pool = redis.asyncio.BlockingConnectionPool.from_url(order.redis, max_connections=CONNECTIONS, timeout=None)
    store = redis.asyncio.Redis(connection_pool=pool)
    complete, token = store.register_script(COMPLETE), uuid.uuid4().hex

    async def once(value: Value) -> None:
        key = _key(order, value)
        if await store.set(key, token, nx=True, px=WINDOW_MS):
            await handle(value)
            await complete(keys=[key], args=[token, WINDOW_MS])

    return once


def blocking(order: Order, *, threads: int = 1) -> Callable[[Value], None]:
    """The handler as a function, for one thread or several."""
    tally = Tally(order)
    handle = _sleeping(tally, order.wait_s) if order.wait_s else lambda value: tally.done(value["id"])
    if threads > 1:
        handle = _locked(tally, order.wait_s)
    if not order.redis:
        return handle
    store = redis.Redis.from_url(order.redis, max_connections=threads)
    complete, token = store.register_script(COMPLETE), uuid.uuid4().hex

    def once(value: Value) -> None:
        key = _key(order, value)
        if store.set(key, token, nx=True, px=WINDOW_MS):
            handle(value)
            complete(keys=[key], args=[token, WINDOW_MS])

    return once


class Batch:
    """Handles many values at once: a task each, and with dedup one pipeline before them and one after."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._handle = handler_of(order)
        self._token = uuid.uuid4().hex
        self._store = redis.asyncio.Redis.from_url(order.redis) if order.redis else None
        self._script = ""

    async def handle(self, values: Sequence[Value]) -> None:
        """Returns once all are done."""
        if self._store is not None:
            values = await self._claimed(self._store, values)
        await asyncio.gather(*map(self._handle, values))
        if self._store is not None:
            await self._complete(self._store, values)

    async def _claimed(self, store: Any, values: Sequence[Value]) -> Sequence[Value]:
        self._script = self._script or await store.script_load(COMPLETE)
        pipeline = store.pipeline(transaction=False)
        for value in values:
            pipeline.set(_key(self._order, value), self._token, nx=True, px=WINDOW_MS)
        return [value for value, is_ours in zip(values, await pipeline.execute(), strict=True) if is_ours]

    async def _complete(self, store: Any, values: Sequence[Value]) -> None:
        pipeline = store.pipeline(transaction=False)
        for value in values:
            pipeline.evalsha(self._script, 1, _key(self._order, value), self._token, WINDOW_MS)
        await pipeline.execute()


def _sleeping(tally: Tally, wait_s: float) -> Callable[[Value], None]:
    def handle(value: Value) -> None:
        tally.begins(value["key"])
        time.sleep(wait_s)
        tally.ends(value["key"], value["id"])

    return handle


def _locked(tally: Tally, wait_s: float) -> Callable[[Value], None]:
    lock = threading.Lock()

    def handle(value: Value) -> None:
        with lock:
            tally.begins(value["key"])
        if wait_s:
            time.sleep(wait_s)
        with lock:
            tally.ends(value["key"], value["id"])

    return handle


def _key(order: Order, value: Value) -> str:
    return f"{order.group}:{value['id']}"
