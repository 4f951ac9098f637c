"""Dead letters: acknowledged before they count, told well, and never too many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from fanout.app import Dialect
from fanout.errors import WorkError
from fanout.work import post
from fanout.work.dead_letter import DeadLetters, Guard
from fanout.work.letter import Letter, Scribe
from fanout.work.post import Post
from fanout.work.retry import Dead

from .records import message, origin_header

MESSAGE_TOO_LARGE = 10
DEAD = Dead("failed", "ValueError: x", ValueError("x"))


class FakeProducer:
    """Answers each produced record when it is polled, with what `answers` says; the last answer stays."""

    def __init__(self, *answers: KafkaError | KafkaException | type[BufferError] | None) -> None:
        self.answers = list(answers) or [None]
        self.produced: list[dict[str, Any]] = []
        self.allowed = threading.Event()
        self.allowed.set()
        self._waiting: list[Callable[..., None]] = []

    def produce(self, topic: str, **record: Any) -> None:
        if self.answers[0] is BufferError:
            self.answers.pop(0)
            raise BufferError("full")
        if isinstance(self.answers[0], KafkaException):
            raise self.answers.pop(0)  # type: ignore[misc]
        self.produced.append({"topic": topic, **record})
        self._waiting.append(record["on_delivery"])

    def poll(self, timeout: float) -> int:
        self.allowed.wait(timeout)
        if not self.allowed.is_set() or not self._waiting:
            return 0
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self._waiting.pop(0)(answer, None)
        return 1


def letters_to(producer: FakeProducer) -> DeadLetters:
    return DeadLetters("dlq.orders", Post(cast("Producer", producer)), Scribe(group="g"))


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
    await asyncio.wait_for(sending, 60)


async def test_many_letters_at_once_are_all_acknowledged() -> None:
    producer = FakeProducer()
    letters = letters_to(producer)
    for _ in range(30):
        await asyncio.wait_for(asyncio.gather(*(letters.send(letter()) for _ in range(5))), 60)
    assert len(producer.produced) == 150


async def test_a_letter_is_sent_again_until_it_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "AGAIN_S", 0)
    timed_out = KafkaError(KafkaError._MSG_TIMED_OUT)
    producer = FakeProducer(BufferError, timed_out, timed_out, None)
    await asyncio.wait_for(letters_to(producer).send(letter()), 60)
    assert len(producer.produced) == 3


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART])
async def test_a_topic_that_is_gone_is_waited_for_and_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    monkeypatch.setattr(post, "AGAIN_S", 0)
    gone = KafkaError(code)
    producer = FakeProducer(KafkaException(gone), gone, gone, None)
    await asyncio.wait_for(letters_to(producer).send(letter(offset=9)), 60)
    assert [record.getMessage() for record in caplog.records] == [
        "dlq.orders is gone: the dead letter of orders/0 at offset 9 waits until it is back, and nothing is lost"
    ]


async def test_a_letter_no_broker_takes_stops_the_work() -> None:
    producer = FakeProducer(KafkaError(MESSAGE_TOO_LARGE))
    with pytest.raises(
        WorkError, match=r"orders/0 at offset 9, whose key, value and headers are \d{3} bytes.*max\.message"
    ):
        await letters_to(producer).send(letter(offset=9))


async def test_a_letter_the_client_refuses_by_itself_stops_the_work_too() -> None:
    producer = FakeProducer(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    with pytest.raises(WorkError, match=r"dlq\.orders does not take the dead letter of orders/0 at offset 0"):
        await letters_to(producer).send(letter())


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout.work.letter.time.time_ns", lambda: 1_800_000_000_000_000_000)


RAW: dict[str, Any] = {
    "topic": "fanout.orders.r",
    "partition": 8,
    "headers": [
        ("trace", b"1"),
        origin_header(2, 41),
        ("__dlq.errors.topic", b"old"),
        ("kafka_dlt-original-topic", b"old"),
        ("fanout.redrive-cycle", b"2"),
        ("trace", None),
    ],
}
OWN = [("trace", b"1"), ("fanout.redrive-cycle", b"2"), ("trace", None)]
FANOUT = [
    ("fanout.outcome", b"failed"),
    ("fanout.error", b"builtins.ValueError"),
    ("fanout.attempts", b"5"),
    ("fanout.timestamp", b"1700000000000"),
    ("fanout.dead-at", b"1800000000000"),
    ("fanout.run", b"r"),
]


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (
            "broker",
            [
                ("__dlq.errors.topic", b"orders"),
                ("__dlq.errors.partition", b"2"),
                ("__dlq.errors.offset", b"41"),
                ("__dlq.errors.group", b"g"),
                ("__dlq.errors.delivery.count", b"5"),
                ("__dlq.errors.message", b"ValueError: x"),
            ],
        ),
        (
            "connect",
            [
                ("__connect.errors.topic", b"orders"),
                ("__connect.errors.partition", b"2"),
                ("__connect.errors.offset", b"41"),
                ("__connect.errors.connector.name", b"g"),
                ("__connect.errors.exception.class.name", b"builtins.ValueError"),
                ("__connect.errors.exception.message", b"ValueError: x"),
            ],
        ),
        (
            "spring",
            [
                ("kafka_dlt-original-topic", b"orders"),
                ("kafka_dlt-original-partition", b"\0\0\0\2"),
                ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\x29"),
                ("kafka_dlt-original-timestamp", (1_700_000_000_000).to_bytes(8, "big")),
                ("kafka_dlt-original-consumer-group", b"g"),
                ("kafka_dlt-exception-fqcn", b"builtins.ValueError"),
                ("kafka_dlt-exception-message", b"ValueError: x"),
            ],
        ),
    ],
)
def test_a_letter_keeps_its_record_and_says_where_it_was_and_why_it_is_dead(
    dialect: Dialect, told: list[tuple[str, bytes]]
) -> None:
    scribe = Scribe(group="g", dialect=dialect, source="orders", labels=(("fanout.run", "r"),))
    assert scribe.headers(Letter(raw=message(3, **RAW), dead=DEAD, attempt=5)) == [*OWN, *told, *FANOUT]


def test_the_guard_lets_a_share_pass_and_stops_before_one_more() -> None:
    guard = Guard(share=0.01, window=1000)
    for offset in range(10):
        guard.allow("orders", f"orders/0/{offset}", DEAD)
    with pytest.raises(WorkError, match=r"orders: more than 10 of 1,000 records.*ValueError: x"):
        guard.allow("orders", "orders/0/10", DEAD)


def test_the_guard_counts_a_record_that_comes_back_once() -> None:
    guard = Guard(share=0.01, window=1000)
    for offset in range(100):
        guard.allow("orders", f"orders/0/{offset % 10}", DEAD)
    with pytest.raises(WorkError):
        guard.allow("orders", "orders/1/0", DEAD)


def test_the_guard_forgets_what_lies_outside_its_window() -> None:
    guard = Guard(share=0.01, window=1000)
    for number in range(50):
        guard.passed(99)
        guard.allow("orders", f"orders/0/{number % 11}", DEAD)
    assert len(guard._dead_at) == 10


def test_a_share_of_one_allows_everything() -> None:
    guard = Guard(share=1, window=10)
    for offset in range(100):
        guard.allow("orders", f"orders/0/{offset}", DEAD)
