"""
A command's result on stdout: for people as text and a table, for programs as JSON, JSON lines or CSV.

JSON holds everything that was decided, with `schema_version`; the other formats hold the table.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SCHEMA_VERSION", "Answer", "Cell", "last_word", "render"]

SCHEMA_VERSION = 1

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`document` for programs; for people `before`, a table of `rows` under `columns`, and `after`."""

    document: Mapping[str, object]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()


def render(answer: Answer, form: str, *, headers: bool) -> str:
    """The result as text that ends with a line break."""
    match form:
        case "json":
            return json.dumps({"schema_version": SCHEMA_VERSION, **answer.document}, indent=2, default=str) + "\n"
        case "jsonl":
            rows = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
            return "".join(json.dumps({"schema_version": SCHEMA_VERSION, **row}, default=str) + "\n" for row in rows)
        case "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([answer.columns, *answer.rows] if headers else answer.rows)
            return text.getvalue()
        case _:
            lines = [*answer.before, *_table(answer, headers=headers), *answer.after]
            return "".join(f"{line}\n" for line in lines)


def _table(answer: Answer, *, headers: bool) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    if not answer.rows:
        return []
    body = [[_text(cell) for cell in row] for row in answer.rows]
    lines = [[column.upper() for column in answer.columns], *body] if headers else body
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [all(isinstance(row[i], int | float | None) for row in answer.rows) for i in range(len(widths))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:,.1f}" if isinstance(cell, float) else str(cell)


def last_word(error: BaseException) -> None:
    """Says on stderr what ended the command, and what stands. To people, whatever the format of the logs."""
    lines = [f"fanout: {error}", *getattr(error, "__notes__", ())]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
