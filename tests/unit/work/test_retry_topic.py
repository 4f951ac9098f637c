"""Records that come again through a topic: known by their origin, held until their time, settled only when written."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from fanout import App, Backoff
from fanout.config.work import RunWork
from fanout.dedup.memory import MemoryStore
from fanout.dedup.owner import Owner
from fanout.errors import ConfigError, RefusedError
from fanout.message import KafkaMessage, Message
from fanout.work import check
from fanout.work.check import check_work
from fanout.work.child import _described
from fanout.work.post import Post
from fanout.work.retry import Again, Dead, Held, Later, Verdict, verdict_on
from fanout.work.retry_topic import Retries, Returned, at_its_time
from fanout.work.worker import of_retry_topic

from .records import message
from .test_claims import WINDOW_S, Gate, working
from .test_dead_letter import FakeProducer
from .test_runtime import Bench
from .test_settings import settings_with

NOW_S = 1_800_000_000.0
OWN = [("trace", b"1"), ("fanout.redrive-cycle", b"1"), ("trace", None)]


async def sent(record: KafkaMessage, attempt: int, later: Later) -> Any:
    """The record, sent at `NOW_S`, as it is read from the retry topic."""
    producer = FakeProducer()
    await Retries("retry.orders", Post(cast("Producer", producer)), lambda: NOW_S).send(record, attempt, later)
    written = producer.produced[0]
    assert written["topic"] == "retry.orders"
    return message(900, topic="retry.orders", partition=5, **{n: written[n] for n in ("key", "value", "headers")})


async def test_a_record_comes_again_as_it_was_with_the_number_of_its_attempt() -> None:
    raw = message(41, partition=2, headers=OWN)
    record = Returned(await sent(raw, 1, Later(1.5, ValueError("first"))))
    assert Message(record, None).id == Message(raw, None).id == "orders/2/41"
    assert Message(record, None).origin == Message(raw, None).origin
    assert (record.key(), record.value(), record.headers()) == (raw.key(), raw.value(), OWN)
    assert (record.attempt, record.not_before_ms) == (2, 1_800_000_001_500)
    again = Returned(await sent(record, 2, Later(0, ValueError("second"))))
    assert again.origin == record.origin
    assert (again.attempt, again.first_error, again.headers()) == (3, b"ValueError: first", OWN)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("fanout.source", b"orders/2/41"), ("fanout.attempt", b"-1"), ("fanout.not-before", b"9" * 40)],
        [("fanout.source", b"a b/1/2/3"), ("fanout.attempt", None), ("fanout.not-before", b"soon")],
    ],
)
def test_what_a_stranger_wrote_is_taken_for_itself_and_is_due(headers: list[tuple[str, bytes | None]]) -> None:
    record = Returned(message(7, topic="retry.orders", headers=headers))
    assert (record.origin[:3], record.attempt, record.not_before_ms) == (("retry.orders", 0, 7), 1, 0)


async def test_a_record_is_held_until_its_time_and_then_told_which_attempt_it_is() -> None:
    told: list[tuple[str, int]] = []

    async def attempt(raw: KafkaMessage, number: int) -> Verdict | None:
        told.append((raw.topic(), number))
        return None

    raw = await sent(message(41), 3, Later(60, ValueError("x")))
    due_s = Returned(raw).not_before_ms / 1000
    now = [due_s - 20]
    later = at_its_time(attempt, lambda: now[0])
    assert await later(raw, 1) == Held(pytest.approx(20))  # type: ignore[arg-type]
    assert told == []
    now[0] = due_s
    assert await later(raw, 1) is None
    assert told == [("orders", 4)]


async def handle(order: bytes) -> None:
    """What is registered does not matter here."""


def test_a_failure_leaves_its_place_only_where_a_topic_was_named() -> None:
    app = App("billing")
    app.handler("orders", order_by="none", retry_topic="retry.{topic}")(handle)
    app.handler("clicks")(handle)
    orders, clicks = app.handlers["orders"], app.handlers["clicks"]
    assert orders.retry_topic == "retry.orders"
    assert isinstance(verdict_on(ValueError(), orders, 1), Later)
    assert isinstance(verdict_on(ValueError(), orders, orders.retry.attempts), Dead)
    assert isinstance(verdict_on(ValueError(), clicks, 1), Again)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "gives its order up"),
        ({"order_by": "partition"}, "gives its order up"),
        ({"order_by": "none", "retry_topic": "orders"}, "a topic of their own"),
        ({"order_by": "none", "retry_topic": "dlq.{topic}"}, "a topic of their own"),
        ({"order_by": "none", "ack": "on_receive"}, "not tried again"),
    ],
)
def test_a_retry_topic_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^retry_topic: .*{said}"):
        App("billing").handler("orders", **{"retry_topic": "retry.{topic}", **options})(handle)


def checked(monkeypatch: pytest.MonkeyPatch, there: set[str], **more: Any) -> check.Checked:
    app = App("billing")
    for topic in more.pop("handled", ["orders"]):
        app.handler(topic, order_by="none", retry_topic="retry", dlq=None)(handle)
    handlers = [_described(handler) for handler in app.handlers.values()]
    monkeypatch.setattr(check, "ask_about_app", lambda *_asked: {"name": "billing", "handlers": handlers})

    def partitions(topic: str) -> int:
        if topic not in there:
            raise RefusedError(f"topic {topic} does not exist", "")
        return 1

    return check_work(settings_with(**more), cast("check.Topics", SimpleNamespace(partitions=partitions)))


def test_a_retry_topic_must_exist_and_serve_one_handler_outside_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(monkeypatch, {"orders", "retry"}).retry_topics == ("retry",)
    with pytest.raises(RefusedError, match="the retry topic retry does not exist"):
        checked(monkeypatch, {"orders"})
    with pytest.raises(ConfigError, match="read by another handler"):
        checked(monkeypatch, {"orders", "clicks", "retry"}, handled=["orders", "clicks"])
    run = RunWork(run="r", source="orders", topic="temp", sources={0: 0})
    with pytest.raises(ConfigError, match="in a run records are tried again in place"):
        checked(monkeypatch, {"temp", "retry"}, run=run, group="g")


def due_in(offset: int, delay_s: float) -> Any:
    headers = [
        ("fanout.source", b"orders/2/%d/1700000000000" % (offset + 40)),
        ("fanout.attempt", b"2"),
        ("fanout.not-before", b"%d" % ((time.time() + delay_s) * 1000)),
        ("fanout.first-error", b"ValueError: first"),
    ]
    return message(offset, value=b"%d" % offset, headers=headers)


async def test_a_long_wait_holds_up_no_short_one_behind_it_and_is_named() -> None:
    seen: dict[tuple[bytes, str, int], bool] = {}

    async def note(value: bytes, msg: Message) -> None:
        seen[value, msg.id, msg.attempt] = time.time() * 1000 >= due[value]

    bench = Bench(note, concurrency=1, order_by="none", change=of_retry_topic)
    records = [due_in(0, 600), due_in(1, 0.2), due_in(2, 0)]
    due = {record.value(): int(dict(record.headers())["fanout.not-before"]) for record in records}
    bench.feed(records)
    async with asyncio.timeout(60):
        while len(seen) < 2:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.001)
    assert seen == {(b"2", "orders/2/42", 2): True, (b"1", "orders/2/41", 2): True}, "each when it is due"
    assert bench.runtime.parked() == ["orders/2/40 failed 1 times, last: ValueError: first"]
    assert bench.intake.due() == [], "the record that waits keeps the commit point"
    bench.runtime.stop()


async def test_a_failure_is_settled_only_when_its_next_attempt_is_written() -> None:
    async def fail(_value: bytes) -> None:
        raise ValueError("no")

    producer = FakeProducer()
    producer.allowed.clear()
    retries = Retries("retry.orders", Post(cast("Producer", producer)))
    bench = Bench(
        fail, order_by="none", retry_topic="retry.orders", change=lambda parts: replace(parts, retries=retries)
    )
    bench.feed([message(0)])
    async with asyncio.timeout(60):
        while not producer.produced:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert bench.intake.due() == []
    producer.allowed.set()
    await bench.settled(1)
    assert (bench.runtime.outcomes["retried"], bench.runtime.outcomes["done"]) == (1, 0)
    bench.runtime.stop()


def beside(gate: Gate) -> Gate:
    """Another process at the same store."""
    other = Gate(key="origin")
    other.parts = replace(other.parts, store=gate.store, owner=Owner(MemoryStore(WINDOW_S, gate.table), 10))
    return other


async def test_a_retry_is_claimed_as_the_record_it_was_and_done_once() -> None:
    gate, ran = Gate(key="origin"), list[int]()

    async def second(_value: bytes, msg: Message) -> None:
        ran.append(msg.attempt)
        if msg.attempt < 2:
            raise ValueError("not yet")

    producer = FakeProducer()
    retries = Retries("retry.orders", Post(cast("Producer", producer)))
    options: dict[str, Any] = {
        "order_by": "none",
        "retry_topic": "retry.orders",
        "retry": Backoff(base=0, max=0, attempts=3),
    }
    async with working(gate, second, change=lambda parts: replace(parts, retries=retries), **options) as bench:
        bench.feed([message(0)])
        await bench.settled(1)
    written = {name: producer.produced[0][name] for name in ("key", "value", "headers")}
    async with working(beside(gate), second, change=of_retry_topic, **options) as bench:
        bench.feed([message(0, topic="retry.orders", **written)])
        await bench.settled(1)
    async with working(beside(gate), second, **options) as bench:
        bench.feed([message(0)])
        await bench.settled(1)
        assert bench.runtime.outcomes["repeated"] == 1
    assert ran == [1, 2]
