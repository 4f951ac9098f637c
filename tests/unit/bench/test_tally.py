"""What the benches of workers go by: a runtime that loses records, or runs two of a key at once, is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from work.order import Order
from work.tally import NO_KEY, Tally


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(
        bootstrap="", topic="t", group="g", records=3, wait_s=0.005, at_once=2, redis="", told=str(tmp_path / "told")
    )


def told(order: Order) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(order.told).read_text(encoding="utf-8"))
    return document


def test_nothing_is_told_while_a_record_is_missing(order: Order) -> None:
    tally = Tally(order)

    for number in (0, 1, 1, 0):
        tally.done(number)

    assert not Path(order.told).exists()


def test_a_repeat_is_counted_and_is_no_other_record(order: Order) -> None:
    tally = Tally(order)

    for number in (0, 0, 1, 2):
        tally.done(number)

    assert told(order)["doubled"] == 1


def test_two_records_of_a_key_at_once_are_counted(order: Order) -> None:
    tally = Tally(order)

    tally.begins(7)
    tally.begins(7)
    tally.begins(8)
    for key, number in ((7, 0), (7, 1), (8, 2)):
        tally.ends(key, number)

    assert told(order)["overlaps"] == 1
    assert told(order)["most_at_once"] == 3


def test_records_without_a_key_have_no_order_to_lose(order: Order) -> None:
    tally = Tally(order)

    for _ in range(3):
        tally.begins(NO_KEY)
    for number in range(3):
        tally.ends(NO_KEY, number)

    assert told(order)["overlaps"] == 0
