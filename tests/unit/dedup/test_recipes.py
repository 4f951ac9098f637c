"""The statements of docs/repeats.md, as they stand there, under deliveries that repeat and come late."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "repeats.md"


def recipes() -> dict[str, tuple[str, str]]:
    """Table and statement by the table's name."""
    blocks = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    tables = [block for block in blocks if block.startswith("CREATE TABLE")]
    statements = [block for block in blocks if block.startswith("INSERT")]
    assert len(tables) == len(statements) == len(blocks) / 2 == 3
    return {table.split()[2]: (table, statement) for table, statement in zip(tables, statements, strict=True)}


@pytest.fixture
def sink() -> Iterator[sqlite3.Connection]:
    sink = sqlite3.connect(":memory:")
    yield sink
    sink.close()


def deliver(sink: sqlite3.Connection, name: str, deliveries: list[dict[str, Any]]) -> list[Any]:
    table, statement = recipes()[name]
    sink.execute(table)
    for values in deliveries:
        with sink:
            sink.execute(statement, values)
    return sink.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()  # noqa: S608  a name of ours


def test_a_fact_that_is_delivered_again_is_there_once(sink: sqlite3.Connection) -> None:
    first = {"order_id": "a", "cents": 5, "partition": 0, "offset": 7}
    other_partition = {**first, "order_id": "b", "partition": 1}
    assert deliver(sink, "payment", [first, other_partition, first, first]) == [("a", 5, 0, 7), ("b", 5, 1, 7)]


def test_a_state_that_comes_late_or_again_changes_nothing(sink: sqlite3.Connection) -> None:
    old, new = {"article": "x", "pieces": 1, "offset": 7}, {"article": "x", "pieces": 2, "offset": 9}
    assert deliver(sink, "stock", [old, new, old, new, old]) == [("x", 2, 9)]


def test_a_sum_takes_each_record_once(sink: sqlite3.Connection) -> None:
    records = [{"id": "x", "cents": 10**number, "offset": number} for number in range(4)]
    deliveries = [records[0], records[0], records[1], records[0], records[1], records[2], records[2], records[3]]
    assert deliver(sink, "account", deliveries) == [("x", 1111, 3)]
