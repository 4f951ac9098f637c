"""Figures in words: a line a mover, a line a budget, and all runs as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from forward.cells import BASE, LOOP, RUN, SOURCE_PARTITIONS, TARGET_PARTITIONS, Cell

if TYPE_CHECKING:
    from forward.rounds import CellResult, Run

__all__ = ["as_json", "budget_lines", "cell_lines", "machine_line"]

LEAST_RATIO = 12
MOST_RUNNING_S = 1.0
MOST_PEAK_MB = 300

COLUMNS = (
    ("CPU s/million", 25),
    ("CPU s/GB", 10),
    ("broker's s/million", 20),
    ("seconds, running", 20),
    ("million/s", 11),
    ("peak MB", 9),
)
"""CPU is process time in seconds, the broker's apart. A GB is 10⁹ bytes of keys and values."""


def machine_line(facts: Mapping[str, str]) -> str:
    """The machine, and how busy it was with other things before."""
    return " · ".join(f"{value}" if name in ("cpu", "memory") else f"{name} {value}" for name, value in facts.items())


def cell_lines(result: CellResult) -> Iterable[str]:
    """A heading, then a line a mover: median (least–most) of its runs."""
    cell = result.cell
    packed = "uncompressed" if cell.codec == "none" else f"{cell.codec} → {cell.codec}"
    yield ""
    yield (
        f"{cell.records:,} records of {cell.record_bytes} B, {packed}, batches of {cell.batch_records}, "
        f"{SOURCE_PARTITIONS} → {TARGET_PARTITIONS} partitions; median (min–max)"
    )
    yield _line("", "runs", [name for name, _ in COLUMNS])
    for mover, runs in result.runs.items():
        yield _line(mover, str(len(runs)), _figures(cell, runs))
    ratios = _ratios(result)
    for mover, values in ratios.items():
        yield f"  CPU of the loop ÷ {mover}: {_spread(values, 1)}"


def budget_lines(results: Sequence[CellResult]) -> Iterable[str]:
    """What was promised, and what was seen in the base cell."""
    base = next((result for result in results if result.cell == BASE), None)
    if base is None:
        return
    yield ""
    runs = base.runs[RUN]
    ratio = median(_ratios(base)[RUN])
    yield _budget(f"at least {LEAST_RATIO} times less CPU than the loop", f"{ratio:.1f} times", ratio >= LEAST_RATIO)
    running = median(run.running_s for run in runs)
    yield _budget(
        f"{BASE.records:,} records by key inside allotments in under {MOST_RUNNING_S:g} s",
        f"{running:.2f} s",
        running < MOST_RUNNING_S,
    )
    peak = max(run.peak_bytes for run in runs) / 1e6
    yield _budget(f"peak memory under {MOST_PEAK_MB} MB", f"{peak:.0f} MB", peak < MOST_PEAK_MB)


def as_json(facts: Mapping[str, str], results: Sequence[CellResult]) -> dict[str, Any]:
    """Every run as it was measured."""
    cells = [
        {
            "cell": asdict(result.cell),
            "runs": {mover: [asdict(run) for run in runs] for mover, runs in result.runs.items()},
        }
        for result in results
    ]
    return {"machine": dict(facts), "cells": cells}


def _figures(cell: Cell, runs: Sequence[Run]) -> list[str]:
    millions, gigabytes = cell.records / 1e6, cell.total_bytes / 1e9

    def over(figure: Callable[[Run], float], digits: int) -> str:
        return _spread([figure(run) for run in runs], digits)

    peak = max(run.peak_bytes for run in runs)
    return [
        over(lambda run: run.cpu_s / millions, 3),
        f"{median(run.cpu_s for run in runs) / gigabytes:.2f}",
        over(lambda run: run.broker_cpu_s / millions, 2),
        over(lambda run: run.running_s, 2),
        f"{millions / median(run.running_s for run in runs):.2f}",
        f"{peak / 1e6:.0f}" if peak else "–",
    ]


def _line(mover: str, runs: str, figures: Sequence[str]) -> str:
    texts = zip(figures, COLUMNS, strict=True)
    return f"  {mover:25}{runs:>5}" + "".join(f"{text:>{width}}" for text, (_, width) in texts)


def _ratios(result: CellResult) -> dict[str, list[float]]:
    """How many times the CPU of each of our movers the loop needed, round by round."""
    loop = result.runs[LOOP]
    ours = {mover: runs for mover, runs in result.runs.items() if mover.startswith("fanout")}
    return {mover: [b.cpu_s / a.cpu_s for a, b in zip(runs, loop, strict=False)] for mover, runs in ours.items()}


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _budget(promise: str, seen: str, is_met: bool) -> str:
    return f"{'met   ' if is_met else 'MISSED'} {promise}: {seen}"
