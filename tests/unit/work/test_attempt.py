"""One attempt of one record: whatever a handler does, it has one named consequence."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from pydantic import BaseModel

from fanout import App, Backoff, Message, Reject, Retry, Skip
from fanout.work.attempt import Attempt, attempt_of
from fanout.work.call import Means
from fanout.work.letter import Letter, Scribe
from fanout.work.retry import Again, Dead, Passed

from .records import message

Make = Callable[..., Attempt]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """An attempt of a function as a handler with these options."""
    with ThreadPoolExecutor(2) as threads:

        def made(function: Callable[..., Any], **options: Any) -> Attempt:
            app = App("billing")
            app.handler("orders", **options)(function)
            return attempt_of(app.handlers["orders"], None, Means(threads=threads))

        yield made


class Order(BaseModel):
    """A value as applications write them."""

    cents: int


class Credit(BaseModel):
    """Another one."""

    reason: str


class Refund(msgspec.Struct):
    """A value for who needs speed."""

    reason: str


@dataclass
class Line:
    """A value of no library."""

    cents: int


@pytest.mark.parametrize(
    ("decode", "value", "seen"),
    [
        (bytes, b"\xff", b"\xff"),
        (str, "é".encode(), "é"),
        ("json", b'{"a": [1]}', {"a": [1]}),
        (Order, b'{"cents": 5}', Order(cents=5)),
        (len, b"four", 4),
        (Refund, b'{"reason": "late"}', Refund(reason="late")),
        (list[Order], b'[{"cents": 5}]', [Order(cents=5)]),
        (Order | Credit, b'{"reason": "late"}', Credit(reason="late")),
        (Line, b'{"cents": 5}', Line(cents=5)),
    ],
)
async def test_a_value_is_decoded_as_the_handler_asked(make: Make, decode: Any, value: bytes, seen: Any) -> None:
    got: list[Any] = []

    async def handle(value: Any) -> None:
        got.append(value)

    assert await make(handle, decode=decode)(message(value=value), 1) is None
    assert got == [seen]


@pytest.mark.parametrize("decode", [str, "json", Order, Refund, list[Order], Order | Credit, Line])
async def test_what_cannot_be_decoded_is_a_dead_letter_at_the_first_attempt(make: Make, decode: Any) -> None:
    async def handle(_value: Any) -> None:
        raise AssertionError("must not run")

    verdict = await make(handle, decode=decode)(message(value=b"\xff"), 1)
    assert isinstance(verdict, Dead)
    assert verdict.why == "undecodable"


async def test_a_tombstone_reaches_a_handler_that_takes_none(make: Make) -> None:
    got: list[Any] = []

    async def takes(order: Order | None) -> None:
        got.append(order)

    async def refuses(_order: Order) -> None:
        raise AssertionError("must not run")

    assert await make(takes, decode=Order)(message(value=None), 1) is None
    assert got == [None]
    assert await make(refuses, decode=Order)(message(value=None), 1) == Passed("tombstone")


async def test_each_outcome_has_its_verdict(make: Make) -> None:
    raised: list[BaseException] = []

    async def handle(_value: bytes) -> None:
        raise raised[-1]

    attempt = make(handle, retry=Backoff(base=0, max=0, attempts=2))
    raised.append(Skip())
    assert await attempt(message(), 1) == Passed("skipped")
    raised.append(Reject("negative"))
    verdict = await attempt(message(), 1)
    assert isinstance(verdict, Dead)
    assert (verdict.why, verdict.message) == ("rejected", "negative")
    raised.append(Retry(after=7))
    verdict = await attempt(message(), 99)
    assert isinstance(verdict, Again)
    assert verdict.delay_s == 7


async def test_a_failure_is_tried_as_often_as_its_policy_says(make: Make) -> None:
    async def handle(_value: bytes) -> None:
        raise LookupError("gone")

    attempt = make(handle, retry=Backoff(base=0, max=0, attempts=3))
    verdicts = [await attempt(message(), number) for number in (1, 2, 3)]
    assert [type(verdict) for verdict in verdicts] == [Again, Again, Dead]
    assert verdicts[2] == Dead("failed", "LookupError: gone", verdicts[2].cause)  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [ValueError("x"), Reject("x")])
async def test_without_a_place_for_dead_letters_a_record_keeps_its_own(make: Make, error: Exception) -> None:
    async def handle(_value: bytes) -> None:
        raise error

    assert isinstance(await make(handle, dlq=None)(message(), 99), Again)


class Odd(BaseException):
    """Raised past every `except Exception`."""


class UnreadableError(Exception):
    """Whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), StopAsyncIteration(), Odd(), UnreadableError()],
)
async def test_a_handler_cannot_end_its_worker(make: Make, error: BaseException) -> None:
    async def handle(_value: bytes) -> None:
        raise error

    verdict = await make(handle)(message(), 1)
    assert isinstance(verdict, Again)
    assert verdict.cause is error


async def test_what_an_error_says_is_bounded_and_never_breaks_its_record(make: Make) -> None:
    raised: list[Exception] = [UnreadableError(), ValueError("x" * 5_000), ValueError("\udc80")]

    async def handle(value: bytes) -> None:
        raise raised[int(value)]

    attempt = make(handle, retry=Backoff(attempts=1))
    verdicts = [await attempt(message(value=b"%d" % number), 1) for number in range(3)]
    said = [verdict.message for verdict in verdicts if isinstance(verdict, Dead)]
    assert said[0] == "UnreadableError: (its text raised RuntimeError)"
    assert len(said[1]) == 1_000
    letter = Letter(raw=message(), dead=cast("Dead", verdicts[2]), attempt=1)
    assert ("__dlq.errors.message", b"ValueError: \\udc80") in Scribe(group="g").headers(letter)


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(1), ValueError("x"), Odd()])
async def test_a_plain_function_cannot_either(make: Make, error: BaseException) -> None:
    def handle(_value: bytes) -> None:
        raise error

    assert isinstance(await make(handle)(message(), 1), Again)


async def test_a_cancelled_worker_is_not_taken_for_a_failed_handler(make: Make) -> None:
    async def handle(_value: bytes) -> None:
        await asyncio.sleep(60)

    task = asyncio.ensure_future(make(handle)(message(), 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_is_a_failure_and_bounds_one_attempt_only(make: Make) -> None:
    async def handle(_value: bytes) -> None:
        await asyncio.sleep(60)

    verdict = await make(handle, timeout=0.01)(message(), 1)
    assert isinstance(verdict, Again)
    assert isinstance(verdict.cause, TimeoutError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_outcome_that_is_returned_counts_as_if_it_was_raised(make: Make) -> None:
    async def handle(_value: bytes) -> Retry:
        return Retry(after=1)

    assert isinstance(await make(handle)(message(), 1), Again)


async def test_a_plain_function_runs_in_a_thread_and_sees_its_message(make: Make) -> None:
    seen: list[tuple[bool, str, int]] = []

    def handle(_value: bytes, msg: Message) -> None:
        seen.append((threading.current_thread() is threading.main_thread(), msg.id, msg.attempt))

    assert await make(handle)(message(4), 2) is None
    assert seen == [(False, "orders/0/4", 2)]
