"""A record as its handler sees it."""

from __future__ import annotations

import struct

import pytest

from fanout import Message

from .records import message, origin_header


def test_outside_a_run_a_record_is_known_by_where_it_lies() -> None:
    seen = Message(message(41, partition=2), {"a": 1})
    assert (seen.id, seen.position, seen.attempt) == ("orders/2/41", (2, 41), 1)
    assert seen.origin == ("orders", 2, 41, 1_700_000_000_000)


def test_inside_a_run_a_record_is_known_by_where_it_lay_before() -> None:
    raw = message(7, topic="fanout.orders.r", partition=5, headers=[("trace", b"x"), origin_header(2, 41)])
    seen = Message(raw, None, 3, source="orders")
    assert (seen.id, seen.position, seen.attempt) == ("orders/2/41", (2, 41), 3)
    assert seen.headers == [("trace", b"x")]


def test_what_was_written_is_handed_over_unchanged() -> None:
    headers = [("a", b"1"), ("a", None), ("b", b"")]
    seen = Message(message(value=b"raw", key=None, headers=headers), "decoded")
    assert (seen.raw, seen.key, seen.headers, seen.timestamp) == (b"raw", None, headers, 1_700_000_000_000)
    assert Message(message(value=None), None).raw is None


def test_an_origin_that_cannot_be_read_is_an_error_and_no_guess() -> None:
    with pytest.raises(KeyError):
        Message(message(), None, source="orders").id  # noqa: B018
    with pytest.raises(struct.error):
        Message(message(headers=[("fanout.origin", b"short")]), None, source="orders").id  # noqa: B018
