"""What lies around a handler: middleware, its timeout, acknowledging by hand, context."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from fanout import App, Backoff, Batch, Message, Reject
from fanout.app import CallNext
from fanout.errors import ConfigError

from .records import message
from .test_dead_letter import FakeProducer
from .test_runtime import Bench, eventually
from .twins import records_of

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="-")


async def test_a_call_goes_through_its_middleware_the_first_outermost() -> None:
    said: list[str] = []

    async def outer(call_next: CallNext, msg: Message) -> Any:
        said.append(f"outer {msg.id}")
        try:
            return await call_next(msg)
        finally:
            said.append("outer ends")

    async def inner(call_next: CallNext, msg: Message) -> Any:
        said.append("inner")
        msg.value = msg.value.upper()
        return await call_next(msg)

    async def handle(value: bytes) -> None:
        said.append(value.decode())

    bench = Bench(handle, middleware=[outer, inner])
    bench.feed([message(0, value=b"a")])
    await bench.settled(1)
    assert said == ["outer orders/0/0", "inner", "A", "outer ends"]
    bench.runtime.stop()


async def test_what_a_middleware_raises_or_answers_is_the_answer_of_its_handler() -> None:
    handled: list[bytes] = []
    producer = FakeProducer()

    async def guard(call_next: CallNext, msg: Message) -> Any:
        if msg.value == b"0":
            raise Reject("not here")
        if msg.value == b"1":
            return None
        return await call_next(msg)

    async def handle(value: bytes) -> Any:
        handled.append(value)
        return Reject("answered") if value == b"2" else None

    bench = Bench(handle, producer=producer, middleware=[guard])
    bench.runtime._parts.guard._share = 1
    bench.feed(records_of(0, range(4)))
    await bench.settled(4)
    assert handled == [b"2", b"3"]
    assert (bench.runtime.outcomes["rejected"], bench.runtime.outcomes["done"]) == (2, 2)
    bench.runtime.stop()


async def test_a_middleware_of_batches_gets_the_batch() -> None:
    sizes: list[int] = []

    async def count(call_next: CallNext, batch: Batch[bytes]) -> Any:
        sizes.append(len(batch))
        return await call_next(batch)

    async def load(_batch: Batch[bytes]) -> None: ...

    bench = Bench(load, middleware=[count], max_size=3, max_wait=1)
    bench.feed(records_of(0, range(3)))
    await bench.settled(3)
    assert sizes == [3]
    bench.runtime.stop()


def test_a_middleware_that_cannot_be_awaited_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^middleware: .* is no `async def`"):
        App("billing").middleware(lambda call_next, msg: call_next(msg))


async def test_a_plain_function_sees_the_context_of_its_middleware() -> None:
    seen: list[str] = []

    async def name(call_next: CallNext, msg: Message) -> Any:
        REQUEST.set(msg.id)
        return await call_next(msg)

    def handle(_value: bytes) -> None:
        seen.append(REQUEST.get())

    bench = Bench(handle, middleware=[name])
    bench.feed(records_of(0, range(1)))
    await bench.settled(1)
    assert seen == ["orders/0/0"]
    bench.runtime.stop()


class Desk:
    """Handlers that are not plain functions."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    async def take(self, value: bytes) -> None:
        self.seen.append(("method", value))

    async def __call__(self, prefix: str, value: bytes) -> None:
        self.seen.append((prefix, value))


async def test_methods_and_partials_are_called_as_they_are() -> None:
    desk = Desk()
    for handler in (desk.take, partial(desk, "partial")):
        bench = Bench(handler)
        bench.feed([message(0, value=b"1")])
        await bench.settled(1)
        bench.runtime.stop()
    assert desk.seen == [("method", b"1"), ("partial", b"1")]


async def test_a_timeout_inside_a_handler_bounds_that_handler_alone() -> None:
    timed_out: list[bytes] = []

    async def handle(value: bytes) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60 if int(value) % 2 else 0)
        except TimeoutError:
            timed_out.append(value)

    bench = Bench(handle, concurrency=2)
    bench.feed(records_of(0, range(6)))
    await bench.settled(6)
    assert timed_out == [b"1", b"3", b"5"]
    bench.runtime.stop()


async def test_a_deadline_is_told_on_the_clock_of_the_loop_and_what_passes_it_says_so() -> None:
    left: list[float] = []
    producer = FakeProducer()

    async def handle(_value: bytes, msg: Message) -> None:
        assert msg.deadline is not None
        left.append(msg.deadline - asyncio.get_running_loop().time())
        await asyncio.sleep(60)

    bench = Bench(handle, producer=producer, timeout=0.05, retry=Backoff(attempts=1))
    bench.feed(records_of(0, range(1)))
    await bench.settled(1)
    assert -5 < left[0] <= 0.05  # a busy machine may stop between the two looks at the clock
    headers = dict(producer.produced[0]["headers"])
    assert headers["__dlq.errors.message"] == b"TimeoutError: not done within 0.05 s"
    bench.runtime.stop()


async def test_a_record_acknowledged_by_hand_is_settled_while_its_handler_still_runs() -> None:
    go_on, order = asyncio.Event(), list[str]()

    async def handle(value: bytes, msg: Message) -> None:
        await msg.ack()
        await msg.ack()
        order.append(f"begin {value.decode()}")
        await go_on.wait()
        order.append(f"end {value.decode()}")

    bench = Bench(handle, ack="manual", concurrency=2)
    first, second = records_of(0, range(2))
    second.set_key(first.key())
    bench.feed([first, second])
    await bench.settled(2)
    assert order == ["begin 0", "begin 1"]
    go_on.set()
    await asyncio.sleep(0.01)
    assert order[2:] == ["end 0", "end 1"]
    assert (bench.runtime.outcomes["done"], bench.intake.late()) == (2, 0)
    bench.runtime.stop()


async def test_a_return_without_an_acknowledgement_is_a_failure() -> None:
    attempts: list[int] = []

    async def handle(_value: bytes, msg: Message) -> None:
        attempts.append(msg.attempt)
        if msg.attempt == 3:
            await msg.ack()

    bench = Bench(handle, ack="manual", retry=Backoff(base=0, max=0, attempts=5))
    bench.feed(records_of(0, range(1)))
    await bench.settled(1)
    assert attempts == [1, 2, 3]
    bench.runtime.stop()


@pytest.mark.parametrize("ack", ["manual", "on_receive"])
@pytest.mark.parametrize("error", [ValueError("late"), Reject("late"), SystemExit(1), asyncio.CancelledError()])
async def test_what_fails_after_its_acknowledgement_is_logged_and_not_tried_again(
    ack: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0

    async def handle(_value: bytes, msg: Message) -> None:
        nonlocal attempts
        attempts += 1
        if ack == "manual":
            await msg.ack()
        raise error

    bench = Bench(handle, ack=ack, retry=Backoff(base=0, max=0))
    with caplog.at_level(logging.WARNING):
        bench.feed(records_of(0, range(1)))
        await bench.settled(1)
        await eventually(lambda: "orders/0/0 failed after it was acknowledged" in caplog.text)
        await asyncio.sleep(0.01)
    assert attempts == 1
    assert (bench.runtime.outcomes["done"], bench.runtime.outcomes["retried"], bench.intake.late()) == (1, 0, 0)
    bench.runtime.stop()


async def test_on_receive_settles_before_the_handler_runs() -> None:
    settled: list[bool] = []

    async def handle(_value: bytes) -> None:
        await bench.settled(1)
        settled.append(True)

    bench = Bench(handle, ack="on_receive")
    bench.feed(records_of(0, range(1)))
    await bench.settled(1)
    async with asyncio.timeout(60):
        while not settled:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.001)
    bench.runtime.stop()


async def test_a_record_that_settles_by_itself_cannot_be_acknowledged() -> None:
    with pytest.raises(RuntimeError, match='make it ack="manual"'):
        await Message(message(), b"").ack()


@pytest.mark.parametrize("function", [lambda value, msg: None, partial(Desk(), "x")])  # noqa: ARG005
def test_a_handler_that_cannot_acknowledge_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"^ack: .*await `msg\.ack\(\)`"):
        App("billing").handler("orders", ack="manual")(function)
