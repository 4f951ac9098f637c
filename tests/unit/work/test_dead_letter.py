"""Dead letters: acknowledged before they count, told well, and never too many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Producer

from fanout.errors import WorkError
from fanout.work import dead_letter
from fanout.work.dead_letter import DeadLetters, Guard, Letter, dead_letter_headers
from fanout.work.retry import Dead

from .records import message, origin_header

MESSAGE_TOO_LARGE = 10
DEAD = Dead("failed", "ValueError: x", ValueError("x"))


class FakeProducer:
    """Answers each produced record when it is polled, with what `answers` says; the last answer stays."""

    def __init__(self, *answers: KafkaError | type[BufferError] | None) -> None:
        self.answers = list(answers) or [None]
        self.produced: list[dict[str, Any]] = []
        self.allowed = threading.Event()
        self.allowed.set()
        self._waiting: list[Callable[..., None]] = []

    def produce(self, topic: str, **record: Any) -> None:
        if self.answers[0] is BufferError:
            self.answers.pop(0)
            raise BufferError("full")
        self.produced.append({"topic": topic, **record})
        self._waiting.append(record["on_delivery"])

    def poll(self, timeout: float) -> int:
        self.allowed.wait(timeout)
        if not self.allowed.is_set() or not self._waiting:
            return 0
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self._waiting.pop(0)(answer, None)
        return 1


def letters_to(producer: FakeProducer, source: str | None = None) -> DeadLetters:
    return DeadLetters("dlq.orders", cast("Producer", producer), source=source, labels={})


def letter(**fields: Any) -> Letter:
    return Letter(raw=message(**fields), dead=DEAD, attempt=5)


async def test_a_letter_is_sent_only_when_the_broker_has_it() -> None:
    producer = FakeProducer()
    producer.allowed.clear()
    sending = asyncio.create_task(letters_to(producer).send(letter()))
    await asyncio.sleep(0.05)
    assert producer.produced
    assert not sending.done()
    producer.allowed.set()
    await asyncio.wait_for(sending, 5)


async def test_many_letters_at_once_are_all_acknowledged() -> None:
    producer = FakeProducer()
    letters = letters_to(producer)
    for _ in range(30):
        await asyncio.wait_for(asyncio.gather(*(letters.send(letter()) for _ in range(5))), 5)
    assert len(producer.produced) == 150


async def test_a_letter_is_sent_again_until_it_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter, "AGAIN_S", 0)
    timed_out = KafkaError(KafkaError._MSG_TIMED_OUT)
    producer = FakeProducer(BufferError, timed_out, timed_out, None)
    await asyncio.wait_for(letters_to(producer).send(letter()), 5)
    assert len(producer.produced) == 3


async def test_a_letter_no_broker_takes_stops_the_work() -> None:
    producer = FakeProducer(KafkaError(MESSAGE_TOO_LARGE))
    with pytest.raises(WorkError, match="orders/0 at offset 9"):
        await letters_to(producer).send(letter(offset=9))


def test_a_letter_keeps_its_record_and_says_where_it_was_and_why_it_is_dead() -> None:
    raw = message(
        3,
        topic="fanout.orders.r",
        partition=8,
        headers=[("trace", b"1"), origin_header(2, 41), ("__dlq.errors.topic", b"old"), ("trace", None)],
    )
    told = dead_letter_headers(Letter(raw=raw, dead=DEAD, attempt=5), "orders", {"fanout.run": "r"})
    assert told == [
        ("trace", b"1"),
        ("trace", None),
        ("__dlq.errors.topic", b"orders"),
        ("__dlq.errors.partition", b"2"),
        ("__dlq.errors.offset", b"41"),
        ("__dlq.errors.delivery.count", b"5"),
        ("__dlq.errors.message", b"ValueError: x"),
        ("fanout.outcome", b"failed"),
        ("fanout.error", b"builtins.ValueError"),
        ("fanout.run", b"r"),
    ]


def test_the_guard_lets_a_share_pass_and_stops_before_one_more() -> None:
    guard = Guard(share=0.01, window=1000)
    for _ in range(10):
        guard.allow("orders", DEAD)
    with pytest.raises(WorkError, match=r"orders: more than 10 of 1,000 records.*ValueError: x"):
        guard.allow("orders", DEAD)


def test_the_guard_forgets_what_lies_outside_its_window() -> None:
    guard = Guard(share=0.01, window=1000)
    for _ in range(50):
        guard.passed(99)
        guard.allow("orders", DEAD)


def test_a_share_of_one_allows_everything() -> None:
    guard = Guard(share=1, window=10)
    for _ in range(100):
        guard.allow("orders", DEAD)
