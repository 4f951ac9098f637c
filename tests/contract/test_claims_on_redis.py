"""Records in the hands of a runtime while a real server fails: none is lost, and all go on by themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from broker.working import wait_until
from fanout.dedup.keys import Keyed, identify, key_prefix
from fanout.dedup.opening import open_store
from fanout.dedup.owner import Owner
from fanout.work.claims import ClaimsParts
from redis_server import RedisServer
from unit.work.test_runtime import Bench
from unit.work.twins import records_of

RECORDS = 90


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


def killed(server: RedisServer) -> Callable[[], None]:
    server.kill()
    return server.start


def stopped(server: RedisServer) -> Callable[[], None]:
    server.pause()
    return server.resume


def flushed(server: RedisServer) -> Callable[[], None]:
    server.tell("FLUSHALL")
    return lambda: None


def out_of_memory(server: RedisServer) -> Callable[[], object]:
    server.tell("CONFIG", "SET", "maxmemory", "1")
    return lambda: server.tell("CONFIG", "SET", "maxmemory", "0")


def read_only(server: RedisServer) -> Callable[[], object]:
    server.tell("REPLICAOF", "127.0.0.1", "1")
    return lambda: server.tell("REPLICAOF", "NO", "ONE")


def without_scripts(server: RedisServer) -> Callable[[], None]:
    server.tell("SCRIPT", "FLUSH")
    return lambda: None


def clock_forward(server: RedisServer) -> Callable[[], None]:
    """As a clock that jumps an hour ahead does: owner keys have ended, markers have not."""
    for key in server.tell("KEYS", "fanout:w:*"):
        server.tell("DEL", key)
    return lambda: None


SILENT = (killed, stopped, out_of_memory, read_only)
"""Faults in which the store gives no answer; after the others it answers, and has forgotten."""


@pytest.mark.parametrize(
    "fault",
    [killed, stopped, flushed, out_of_memory, read_only, without_scripts, clock_forward],
    ids=lambda f: f.__name__,
)
async def test_records_outlast_a_server_that_fails(
    server: RedisServer, fault: Callable[[RedisServer], Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    effects: Counter[bytes] = Counter()
    go_on = asyncio.Event()

    async def handle(value: bytes) -> None:
        effects[value] += 1
        if effects.total() > RECORDS // 3:
            await go_on.wait()

    keyed = Keyed(key="origin", prefix=key_prefix("a", "orders"), topic_id="T", source=None, decode=bytes)
    store, words = open_store(server.url, 600), open_store(server.url, 600)
    parts = ClaimsParts(store=store, owner=Owner(words), identify=identify(keyed), on_store_down="pause")
    bench = Bench(handle, claims=parts, concurrency=RECORDS)
    bench.feed(records_of(0, range(RECORDS // 3 * 2)))
    await bench.settled(RECORDS // 3)
    mend = await asyncio.to_thread(fault, server)
    go_on.set()
    bench.feed(records_of(0, range(RECORDS // 3 * 2, RECORDS)))
    if fault in SILENT:
        missed = "the dedup store does not answer"
        await asyncio.to_thread(wait_until, lambda: missed in caplog.text, "the store to be missed")
    await asyncio.to_thread(mend)
    async with asyncio.timeout(60):
        while bench.intake.due() != [(0, RECORDS, "")]:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.01)
    await bench.runtime.leave()
    bench.runtime.stop()
    store.close()
    print(
        f"fault={fault.__name__} records={RECORDS} lost={RECORDS - len(effects)} "
        f"doubled={effects.total() - len(effects)} figures={dict(bench.runtime.claims.figures)}"  # type: ignore[union-attr]
    )
    assert set(effects.values()) == {1}
    assert len(effects) == RECORDS
