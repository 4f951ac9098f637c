"""Letters of strangers: told apart in every dialect, shown without harm, put back only where they may go."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from fanout.app import Dialect
from fanout.dlq.census import MOST_KINDS, OTHERS, Census
from fanout.dlq.choice import ANY_PARTITION, Choice, Going, Rules, Staying
from fanout.dlq.page import document, lines
from fanout.dlq.story import story_of
from fanout.errors import BrokerError, RefusedError
from fanout.work.letter import Letter, Scribe
from fanout.work.retry import Dead

from ..work.records import message

DEAD = Dead("failed", "ValueError: no such customer", ValueError("no such customer"))


def letter(dialect: Dialect = "broker", **fields: Any) -> Any:
    raw = message(41, partition=2, **fields)
    headers = Scribe(group="g", dialect=dialect).headers(Letter(raw=raw, dead=DEAD, attempt=5))
    return message(7, topic="dlq.orders", value=raw.value(), key=raw.key(), headers=headers)


def choice(to_topic: str | None = None, max_cycles: int = 3) -> Choice:
    def partitions(topic: str) -> int:
        if topic == "not-ours":
            raise BrokerError("Metadata", topic, "TOPIC_AUTHORIZATION_FAILED", "")
        if topic != "orders":
            raise RefusedError(f"{topic} does not exist", "")
        return 3

    return Choice(Rules(topic="dlq.orders", to_topic=to_topic, error=None, max_cycles=max_cycles), partitions)


@pytest.mark.parametrize("dialect", ["broker", "connect", "spring"])
def test_a_letter_is_read_in_every_dialect(dialect: Dialect) -> None:
    story = story_of(letter(dialect))
    assert (story.topic, story.partition, story.offset) == ("orders", 2, 41)
    assert (story.outcome, story.error, story.message) == ("failed", "builtins.ValueError", DEAD.message.encode())


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("__dlq.errors.topic", None), ("__dlq.errors.partition", b"-1"), ("fanout.dead-at", b"9" * 400)],
        [("__dlq.errors.partition", "٣".encode()), ("kafka_dlt-original-partition", b"\xff\xff\xff\xff")],
        [("kafka_dlt-original-offset", b"123"), ("fanout.redrive-cycle", b"\xff")],
    ],
)
def test_headers_that_make_no_sense_tell_nothing(headers: list[tuple[str, bytes | None]]) -> None:
    story = story_of(message(7, headers=headers))
    assert (story.topic, story.partition, story.offset, story.cycle) == (None, None, None, 0)
    assert story.died_at == 1_700_000_000_000


def test_a_terminal_is_shown_no_command_of_a_letter() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\n\u202egnp.exe\x9b31m"
    raw = message(value=hostile.encode(), key=b"\xff\x1b", headers=[(hostile, hostile.encode()), ("n", None)])
    text = lines(raw, 1_000)
    assert all(line.isprintable() for line in text)
    assert r"\x1b]0;owned\x07" in "".join(text)
    assert "  n: null" in text


def test_a_long_value_is_cut_and_says_so() -> None:
    assert "value xxxx… (5,000,000 bytes)" in lines(message(value=b"x" * 5_000_000), 4)


def test_an_export_holds_every_byte() -> None:
    raw = message(value=bytes(range(256)), key=None, headers=[("a", b"\x00"), ("a", None)])
    told = json.loads(json.dumps(document(raw)))
    assert b64decode(told["value"]) == bytes(range(256))
    assert told["key"] is None
    assert told["headers"] == [["a", "AA=="], ["a", None]]


def test_a_letter_goes_back_to_its_partition_as_it_was() -> None:
    going = choice().of(letter(headers=[("trace", b"1"), ("trace", None), ("fanout.redrive-cycle", b"1")]))
    assert going == Going(
        "orders",
        2,
        [("trace", b"1"), ("trace", None), ("fanout.redrive-cycle", b"2"), ("fanout.redrive-of", b"orders/2/41")],
    )


def test_a_letter_that_was_put_back_often_enough_stays() -> None:
    again = letter(headers=[("fanout.redrive-cycle", b"3")])
    assert choice().of(again) == Staying("cycles")
    assert isinstance(choice(max_cycles=4).of(again), Going)


@pytest.mark.parametrize("topic", ["__consumer_offsets", "dlq.orders", "gone", "not-ours", "../x", "orders\n"])
def test_a_letter_does_not_choose_where_nothing_may_go(topic: str) -> None:
    headers = [("__dlq.errors.topic", topic.encode()), ("__dlq.errors.partition", b"0")]
    assert choice().of(message(headers=headers)) == Staying("homeless")
    assert choice("orders").of(message(headers=headers)) == Going(
        "orders", ANY_PARTITION, [("fanout.redrive-cycle", b"1")]
    )


def test_a_partition_that_is_not_there_keeps_the_letter() -> None:
    headers = [("__dlq.errors.topic", b"orders"), ("__dlq.errors.partition", b"3")]
    assert choice().of(message(headers=headers)) == Staying("homeless")


def test_a_census_of_forged_kinds_takes_no_more_memory() -> None:
    census = Census()
    census.count(message(headers=[("fanout.error", b"%d" % number)]) for number in range(MOST_KINDS + 500))
    assert len(census.kinds) == MOST_KINDS + 1
    assert (census.letters, census.kinds[OTHERS].letters) == (MOST_KINDS + 500, 500)
