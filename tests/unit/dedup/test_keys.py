"""Which records are the same, and what a key may never mix up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fanout.dedup.keys import LONGEST_ID, Keyed, identify, key_prefix, pointed_at
from fanout.dedup.store import NO_HASH
from fanout.message import Message
from unit.work.records import message, origin_header

PREFIX = key_prefix("billing", "orders")


def keyed(key: Any, *, topic_id: str = "T1", source: str | None = None, decode: Any = json.loads) -> Any:
    return identify(Keyed(key=key, prefix=PREFIX, topic_id=topic_id, source=source, decode=decode))


def order(number: int, offset: int = 0, **more: Any) -> Any:
    return message(offset, value=json.dumps({"order": {"id": number}, **more}).encode())


def test_a_place_is_a_key_and_needs_no_hash() -> None:
    name = keyed("origin")
    assert name(message(7)) == (b"billing/orders/o:T1:0:7", NO_HASH)
    assert name(message(7, partition=1))[0] != name(message(7))[0]


def test_a_topic_made_again_under_its_name_meets_no_old_marker() -> None:
    assert keyed("origin", topic_id="T1")(message(7)) != keyed("origin", topic_id="T2")(message(7))


def test_inside_a_run_a_record_is_known_by_its_source_and_not_by_the_temp_topic() -> None:
    moved = message(99, partition=5, headers=[origin_header(0, 7)])
    assert keyed("origin", source="orders")(moved) == keyed("origin")(message(7))


@pytest.mark.parametrize("number", [17, "17"])
def test_an_id_in_the_value_is_found_by_its_pointer(number: Any) -> None:
    found, content = keyed("json:/order/id")(order(number))
    assert found == b"billing/orders/i:17"
    assert content != NO_HASH


def test_one_id_with_other_content_has_another_hash() -> None:
    name = keyed("json:/order/id")
    assert name(order(1, 1, cents=5))[0] == name(order(1, 2, cents=6))[0]
    assert name(order(1, 1, cents=5))[1] != name(order(1, 2, cents=6))[1]
    assert name(order(1, 1)) == name(order(1, 2))


def test_an_id_in_a_header_or_made_by_a_function_is_found() -> None:
    assert keyed("header:ce_id")(message(1, headers=[("ce_id", b"a-1")]))[0] == b"billing/orders/i:a-1"
    assert keyed(lambda msg: msg.value["order"]["id"])(order(3))[0] == b"billing/orders/i:3"
    assert keyed(lambda msg: msg.key)(message(1, key=b"k"))[0] == b"billing/orders/i:k"


@pytest.mark.parametrize(
    ("key", "record"),
    [
        ("json:/order/id", message(5, value=b"no json")),
        ("json:/order/id", message(5, value=None)),
        ("json:/order/id", message(5, value=b'{"order": {}}')),
        ("json:/order/id", message(5, value=b'{"order": {"id": null}}')),
        ("json:/order/id", message(5, value=b'{"order": {"id": true}}')),
        ("json:/order/id", message(5, value=b'{"order": {"id": ""}}')),
        ("header:ce_id", message(5)),
        ("header:ce_id", message(5, headers=[("ce_id", None)])),
        (lambda msg: msg.value["order"]["id"], message(5, value=b"{}")),
        (lambda msg: None, message(5)),  # noqa: ARG005
    ],
)
def test_a_record_without_its_id_is_known_by_its_origin(key: Any, record: Any) -> None:
    assert keyed(key)(record) == keyed("origin")(record)


@pytest.mark.parametrize(("decode", "value"), [(bytes, b""), (bytes.decode, "")])
def test_a_function_is_given_a_tombstone_with_what_its_decoder_makes_of_no_bytes(decode: Any, value: Any) -> None:
    given: list[Any] = []

    def by_key(told: Message) -> bytes:
        given.append(told.value)
        return told.key or b""

    assert keyed(by_key, decode=decode)(message(1, key=b"k", value=None))[0] == b"billing/orders/i:k"
    assert (given, type(given[0])) == ([value], type(value))


def test_a_tombstone_that_its_decoder_refuses_is_known_by_its_origin() -> None:
    tombstone = message(5, key=b"k", value=None)
    assert keyed(lambda msg: msg.key)(tombstone) == keyed("origin")(tombstone)


def test_a_missing_id_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    name = keyed("header:ce_id")
    for offset in range(3):
        name(message(offset))
    assert len([record for record in caplog.records if "lack the id" in record.message]) == 1


def test_a_long_id_is_known_by_its_hash_and_meets_no_other() -> None:
    name = keyed(lambda msg: msg.raw)
    long, longer = b"x" * (LONGEST_ID + 1), b"x" * (LONGEST_ID + 2)
    keys = [name(message(1, value=b'"' + value + b'"'))[0] for value in (long, longer)]
    assert len(set(keys)) == 2
    assert all(len(one) < len(PREFIX) + 70 for one in keys)


def test_no_id_can_be_mistaken_for_an_origin_a_hash_or_a_content() -> None:
    name, content = keyed(lambda msg: msg.key), keyed("content")
    place, _ = keyed("origin")(message(7))
    assert name(message(1, key=place.removeprefix(PREFIX)))[0] != place
    assert content(message(1))[0].startswith(PREFIX + b"c:")


def test_equal_records_collapse_where_content_is_the_key() -> None:
    name = keyed("content")
    same = [name(message(offset, key=b"k", value=b"a")) for offset in (1, 2)]
    assert same[0] == same[1] != name(message(3, key=b"k", value=b"b"))


def test_tombstones_of_two_keys_and_null_and_empty_differ_where_content_is_the_key() -> None:
    name = keyed("content")
    parts = [(b"A", None), (b"B", None), (b"A", b""), (None, b"A"), (b"", b"A")]
    assert len({name(message(1, key=key, value=value)) for key, value in parts}) == len(parts)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/a/b", 1),
        ("/list/1", "y"),
        ("/list/2", None),
        ("/a~1b", 2),
        ("/m~0n", 3),
        ("/a/b/c", None),
        ("/", 4),
        ("", {}),
    ],
)
def test_a_pointer_reads_as_its_standard_says(pointer: str, found: object) -> None:
    document = {"a": {"b": 1}, "list": ["x", "y"], "a/b": 2, "m~n": 3, "": 4}
    assert pointed_at(document, pointer) == (document if found == {} else found)
