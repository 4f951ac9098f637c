"""Figures in words: a line a runtime, a line a budget, a table for readers, and all runs as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from forward.report import machine_line
from work.cells import Cell

if TYPE_CHECKING:
    from work.rounds import Result

__all__ = ["as_json", "cell_lines", "page_lines"]

COLUMNS = (
    ("thousand/s", 24),
    ("CPU µs a record", 25),
    ("Redis' µs", 11),
    ("peak MB", 9),
    ("in flight", 11),
    ("a key twice at once", 21),
)
"""CPU and memory are those of the process that runs the handlers; fanout's supervisor has a line of its own."""


def cell_lines(result: Result) -> Iterable[str]:
    """A heading, then a line a runtime: median (least–most) of its runs."""
    yield ""
    yield f"{result.cell.name}: median (min–max)"
    yield _line("", "runs", [name for name, _ in COLUMNS])
    for name in _measured(result):
        yield _line(name, str(len(result.good(name))), figures(result, name))
    yield from part_lines(result)


def part_lines(result: Result) -> Iterable[str]:
    """Where fanout's CPU goes, by threads; and what its other process takes, which does not grow with the records."""
    for name in _measured(result):
        runs = result.good(name)
        if any(run.supervisor_peak_bytes for run in runs):
            loop_us, client_us = result.beside_us(name, "main_cpu_s"), result.beside_us(name, "librdkafka_cpu_s")
            rest_us = median(result.cpu_us(name)) - loop_us - client_us
            yield f"  {name}, by threads: {loop_us:.2f} µs event loop, {client_us:.2f} librdkafka, {rest_us:.2f} others"
            cpu_s = median(run.supervisor_cpu_s / run.running_s for run in runs)
            peak = max(run.supervisor_peak_bytes for run in runs)
            yield f"  the supervisor of {name}: {cpu_s * 100:.1f} % of a core, {peak / 1e6:.0f} MB"


def page_lines(facts: Mapping[str, str], results: Sequence[Result], budget: Iterable[str]) -> Iterable[str]:
    """A page for readers: the machine, what was promised, every cell."""
    yield f"{machine_line(facts)}. Median (least–most) of the runs; README.md beside says how they were measured."
    yield ""
    yield from budget
    yield ""
    yield from table_lines(results)


def table_lines(results: Sequence[Result]) -> Iterable[str]:
    """All cells as a Markdown table."""
    yield f"| cell | runtime | records | {' | '.join(name for name, _ in COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 3) + "|"
    for result in results:
        name = result.cell.name
        for runtime in _measured(result):
            cells = " | ".join(figures(result, runtime))
            yield f"| {name} | {runtime} | {result.records(runtime):,} | {cells} |"
            name = ""
        for line in part_lines(result):
            yield f"| | {line.strip()} |{' |' * (len(COLUMNS) + 1)}"
        for runtime, reason in _left_out(result).items():
            yield f"| {name} | {runtime} | {reason.splitlines()[0]} |{' |' * len(COLUMNS)}"


def as_json(facts: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Every run as it was measured."""
    measured = [
        {
            "cell": _described(result.cell),
            "missing": result.missing,
            "records": {name: result.records(name) for name in result.runs},
            "runs": {name: [asdict(run) for run in runs] for name, runs in result.runs.items()},
        }
        for result in results
    ]
    return {"machine": dict(facts), "cells": measured}


def figures(result: Result, name: str) -> list[str]:
    """One text a column."""
    cell, runs = result.cell, result.good(name)
    return [
        _spread([per_s / 1000 for per_s in result.per_s(name)], 2),
        _spread(result.cpu_us(name), 2),
        f"{result.beside_us(name, 'store_cpu_s'):.1f}" if cell.dedup else "–",
        f"{max(run.peak_bytes for run in runs) / 1e6:.0f}",
        f"{max(run.most_at_once for run in runs):,}" if cell.wait_s else "–",
        f"{max(run.overlaps for run in runs):,}" if cell.wait_s else "–",
    ]


def _described(cell: Cell) -> dict[str, Any]:
    return {
        "name": cell.name,
        "wait_s": cell.wait_s,
        "at_once": cell.at_once,
        "keyless": cell.keyless,
        "dedup": cell.dedup,
    }


def _measured(result: Result) -> list[str]:
    return [name for name in result.runs if result.good(name)]


def _left_out(result: Result) -> dict[str, str]:
    failed = {name: runs[0].problem for name, runs in result.runs.items() if not result.good(name)}
    return {**result.missing, **failed}


def _line(name: str, runs: str, texts: Sequence[str]) -> str:
    columns = zip(texts, COLUMNS, strict=True)
    return f"  {name:30}{runs:>5}" + "".join(f"{text:>{width}}" for text, (_, width) in columns)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
