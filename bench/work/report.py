"""Figures in words: a line a runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from work.rounds import Result

__all__ = ["cell_lines"]

COLUMNS = (
    ("thousand/s", 24),
    ("CPU µs a record", 24),
    ("peak MB", 9),
    ("in flight", 11),
    ("a key twice at once", 21),
    ("supervisor's µs", 17),
)


def cell_lines(result: Result) -> Iterable[str]:
    """A heading, then a line a runtime: median (least–most) of its runs."""
    yield ""
    yield f"{result.cell.name}: median (min–max)"
    yield _line("", "runs", [name for name, _ in COLUMNS])
    for name, runs in result.runs.items():
        for problem in dict.fromkeys(run.problem for run in runs if run.problem):
            yield f"  {name:32}{problem}"
        if any(not run.problem for run in runs):
            yield _line(name, str(len(runs)), figures(result, name))


def figures(result: Result, name: str) -> list[str]:
    """One text a column."""
    waits = result.cell.wait_s > 0
    return [
        _spread([per_s / 1000 for per_s in result.per_s(name)], 1),
        _spread(result.cpu_us(name), 2),
        f"{result.most(name, 'peak_bytes') / 1e6:.0f}",
        f"{result.most(name, 'most_at_once'):,}" if waits else "–",
        f"{result.most(name, 'overlaps'):,}" if waits else "–",
        f"{result.supervisor_cpu_us(name):.2f}",
    ]


def _line(name: str, runs: str, texts: Sequence[str]) -> str:
    columns = zip(texts, COLUMNS, strict=True)
    return f"  {name:32}{runs:>5}" + "".join(f"{text:>{width}}" for text, (_, width) in columns)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
