"""Applications tried without Kafka: what a test sees is what a worker would do, in no time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from fanout import App, Backoff, Batch, Message, Reject, Retry, Skip, TestApp
from fanout.app import CallNext
from fanout.errors import ConfigError, StartError


class Order(BaseModel):
    """A value as applications write them."""

    id: str
    cents: int


app = App("billing")


@app.handler("orders", decode=Order, retry=Backoff(base=60, max=3600, attempts=5))
async def charge(order: Order, msg: Message) -> None:
    """Does what the order's id says."""
    if order.cents < 0:
        raise Reject("negative amount")
    match order.id:
        case "skip":
            raise Skip
        case "never":
            raise ConnectionError("the gateway is down")
        case "third" if msg.attempt < 3:
            raise ConnectionError("not yet")
        case "asks":
            raise Retry(after=5)


async def test_negative_is_rejected() -> None:
    async with TestApp(app) as t:
        assert (await t.send("orders", {"id": "1", "cents": -1})).outcome == "rejected"


async def test_each_record_ends_as_it_would_in_a_worker() -> None:
    async with TestApp(app) as t:
        sent = [
            await t.send("orders", Order(id="1", cents=1)),
            await t.send("orders", '{"id": "skip", "cents": 1}'),
            await t.send("orders", b"{"),
            await t.send("orders", None, key="1"),
            await t.send("orders", {"id": "never", "cents": 1}),
        ]
        assert [result.outcome for result in sent] == ["done", "skipped", "undecodable", "tombstone", "failed"]
        assert [result.attempts for result in sent] == [1, 1, 1, 1, 5]
        assert [result.id for result in sent] == [f"orders/0/{offset}" for offset in range(5)]
        assert sent[4].reason == "the gateway is down"
        assert [letter.value for letter in t.dead_letters] == [b"{", b'{"id":"never","cents":1}']
        letter = t.dead_letters[1]
        assert letter.topic == "dlq.orders"
        assert dict(letter.headers)["__dlq.errors.message"] == b"ConnectionError: the gateway is down"


async def test_retries_wait_on_the_clock_of_the_test_alone() -> None:
    began = time.monotonic()
    async with TestApp(app) as t:
        result = await t.send("orders", {"id": "third", "cents": 1})
        assert (result.outcome, result.attempts, result.reason) == ("done", 3, "not yet")
        assert [(retry.id, retry.attempt) for retry in t.retries] == [("orders/0/0", 1), ("orders/0/0", 2)]
        assert 45 <= t.retries[0].delay_s <= 60
        assert t.clock.time() == pytest.approx(sum(retry.delay_s for retry in t.retries))
    assert time.monotonic() - began < 45


async def test_a_record_that_is_never_settled_is_left_after_its_attempts_and_goes_on_with_the_clock() -> None:
    async with TestApp(app, attempts=2) as t:
        result = await t.send("orders", {"id": "asks", "cents": 1}, key="k")
        assert (result.outcome, result.attempts) == ("retrying", 2)
        await t.clock.advance(4.9)
        assert len(t.retries) == 2
        await t.clock.advance(20.2)
        assert [retry.attempt for retry in t.retries] == [1, 2, 3, 4, 5, 6, 7][: len(t.retries)]
        assert len(t.retries) == 7
        behind = await t.send("orders", {"id": "1", "cents": 1}, key="k")
        assert (behind.outcome, behind.attempts) == ("waiting", 0)


async def test_records_of_a_key_keep_their_order_through_retries() -> None:
    seen: list[tuple[bytes, int]] = []
    shop = App("shop")

    @shop.handler("orders", retry=Backoff(base=10, max=10))
    async def handle(value: bytes, msg: Message) -> None:
        seen.append((value, msg.attempt))
        if value == b"a1" and msg.attempt == 1:
            raise ValueError("not yet")

    async with TestApp(shop) as t:
        sent = await t.send_many("orders", ["a1", "b1", "a2"], keys=["a", "b", "a"])
    assert [result.outcome for result in sent] == ["done"] * 3
    assert seen == [(b"a1", 1), (b"b1", 1), (b"a1", 2), (b"a2", 1)]


async def test_a_batch_handler_gets_what_is_sent_together() -> None:
    sizes: list[int] = []
    shop = App("shop")

    @shop.batch_handler("clicks", decode="json", max_size=10, max_wait=30, retry=Backoff(base=60, max=60, attempts=2))
    async def load(batch: Batch[dict[str, Any]]) -> None:
        sizes.append(len(batch))
        for index, click in enumerate(batch):
            if click["n"] == 1:
                batch.fail(index, ValueError("one"))

    async with TestApp(shop) as t:
        sent = await t.send_many("clicks", [{"n": number} for number in range(12)])
        assert [result.outcome for result in sent] == ["done", "failed"] + ["done"] * 10
        assert (await t.send("clicks", {"n": 5})).outcome == "done"
    assert sizes == [10, 2, 1, 1]
    assert [retry.attempt for retry in t.retries] == [1]


async def test_a_handler_with_a_retry_topic_is_tried_again_like_any_other() -> None:
    shop = App("shop")

    @shop.handler("orders", order_by="none", retry_topic="retry.{topic}", retry=Backoff(base=3600, max=3600))
    async def handle(_value: bytes, msg: Message) -> None:
        if msg.attempt < 3:
            raise ValueError("not yet")

    async with TestApp(shop) as t:
        result = await t.send("orders", "x")
        assert t.clock.time() == pytest.approx(sum(retry.delay_s for retry in t.retries), abs=0.01)
    assert (result.outcome, result.attempts) == ("done", 3)


async def test_lifespan_middleware_and_state_are_those_of_the_app() -> None:
    said: list[str] = []
    shop = App("shop")

    @shop.lifespan
    async def database(app: App) -> AsyncIterator[None]:
        app.state.database = "a pool"
        yield
        said.append("closed")

    @shop.middleware
    async def name(call_next: CallNext, msg: Message) -> Any:
        said.append(f"{msg.id} {dict(msg.headers)} {msg.timestamp}")
        return await call_next(msg)

    @shop.handler("orders")
    def handle(value: bytes) -> None:
        said.append(f"{value.decode()} with {shop.state.database}")

    async with TestApp(shop) as t:
        assert (await t.send("orders", "x", headers={"a": "1"}, timestamp=7)).outcome == "done"
    assert said == ["orders/0/0 {'a': b'1'} 7", "x with a pool", "closed"]


async def test_a_lifespan_that_fails_is_told() -> None:
    shop = App("shop")

    @shop.lifespan
    async def database(app: App) -> AsyncIterator[None]:  # noqa: ARG001
        raise ConnectionError("refused")
        yield

    with pytest.raises(StartError, match="ConnectionError: refused"):
        async with TestApp(shop):
            raise AssertionError("must not run")


async def test_a_timeout_passes_when_the_clock_is_moved() -> None:
    shop, began = App("shop"), asyncio.Event()

    @shop.handler("orders", timeout=30, retry=Backoff(attempts=1))
    async def hang(_value: bytes) -> None:
        began.set()
        await asyncio.sleep(600)

    async with TestApp(shop) as t:
        sending = asyncio.create_task(t.send("orders", "x"))
        await began.wait()
        await t.clock.advance(29)
        assert not sending.done()
        await t.clock.advance(2)
        result = await sending
    assert (result.outcome, result.reason) == ("failed", "not done within 30 s")


async def test_handlers_run_on_the_loop_of_the_test_and_side_by_side() -> None:
    shop, met = App("shop"), asyncio.Barrier(2)

    @shop.handler("orders")
    async def meet(_value: bytes) -> None:
        await met.wait()

    async with TestApp(shop) as t, asyncio.timeout(60):
        both = await asyncio.gather(t.send("orders", "1"), t.send("orders", "2"))
    assert [result.outcome for result in both] == ["done", "done"]


async def test_what_was_acknowledged_by_hand_is_done() -> None:
    shop = App("shop")

    @shop.handler("orders", ack="manual", retry=Backoff(attempts=1))
    async def handle(value: bytes, msg: Message) -> None:
        if value != b"forgotten":
            await msg.ack()
        if value == b"late":
            raise ValueError("too late to matter")

    async with TestApp(shop) as t:
        sent = await t.send_many("orders", ["kept", "late", "forgotten"])
    assert [result.outcome for result in sent] == ["done", "done", "failed"]
    assert sent[2].reason == "the handler returned without `await msg.ack()`"


async def test_a_topic_without_a_handler_and_a_use_without_a_beginning_are_told_apart() -> None:
    async with TestApp(app) as t:
        with pytest.raises(ConfigError, match="billing has no handler of payments, but of orders"):
            await t.send("payments", "x")
    with pytest.raises(RuntimeError, match="async with TestApp"):
        await TestApp(app).send("orders", "x")
    with pytest.raises(ConfigError, match="attempts"):
        TestApp(app, attempts=0)


async def test_what_follows_a_dead_letter_of_its_key_is_parked_where_that_was_asked_for() -> None:
    parking = App("billing")

    @parking.handler("orders", on_dead_letter="park_key")
    async def refuse(value: bytes) -> None:
        if value == b"bad":
            raise Reject("bad")

    async with TestApp(parking) as t:
        sent = [await t.send("orders", value, key=key) for value, key in ((b"bad", "a"), (b"1", "a"), (b"1", "b"))]
        assert [result.outcome for result in sent] == ["rejected", "parked", "done"]
        assert [letter.value for letter in t.dead_letters] == [b"bad", b"1"]


async def test_a_retry_through_a_topic_is_one_like_any_other() -> None:
    retrying = App("billing")

    @retrying.handler("orders", order_by="none", retry_topic="retry.orders", retry=Backoff(base=60, attempts=3))
    async def third(_value: bytes, msg: Message) -> None:
        if msg.attempt < 3:
            raise ConnectionError("not yet")

    async with TestApp(retrying) as t:
        result = await t.send("orders", b"1")
        assert (result.outcome, result.attempts) == ("done", 3)


async def test_records_are_written_at_the_time_of_the_tests_clock() -> None:
    shop, written = App("shop"), list[int]()

    @shop.handler("orders")
    async def handle(_value: bytes, msg: Message) -> None:
        written.append(msg.timestamp)

    async with TestApp(shop) as t:
        await t.send("orders", "x")
        await t.clock.advance(3600)
        await t.send_many("orders", "yz")
    assert [after - written[0] for after in written] == [0, 3_600_000, 3_600_000]
    assert abs(written[0] / 1000 - time.time()) < 60
