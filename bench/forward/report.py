"""Figures in words: a line a mover, a line a budget, a table for readers, and all runs as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from forward.cells import BASE, BY_KEY, CONFLUENT, FRANZ_GO, LIBRDKAFKA, NULL, PASS, RUN
from forward.movers import Mover

if TYPE_CHECKING:
    from forward.rounds import Result
    from forward.sweeps import Sweep

__all__ = ["as_json", "budget_lines", "cell_lines", "machine_line", "ratio_of", "sweep_lines", "table_lines"]

COLUMNS = (
    ("CPU µs a record", 25),
    ("CPU s/GB", 10),
    ("broker's µs", 20),
    ("seconds, running", 20),
    ("million/s", 11),
    ("peak MB", 9),
)
"""CPU is process time without what a start costs; µs a record are seconds a million.

A GB is 10⁹ bytes of keys and values.
"""

RATIOS: tuple[tuple[str, Mover, Mover, float], ...] = (
    (BASE.name, FRANZ_GO, BY_KEY, 6),
    (BASE.name, FRANZ_GO, PASS, 12),
    (BASE.name, LIBRDKAFKA, BY_KEY, 11),
    (BASE.name, LIBRDKAFKA, PASS, 24),
    (BASE.name, CONFLUENT, BY_KEY, 24),
    ("1 KiB", FRANZ_GO, BY_KEY, 2),
    ("1 KiB", FRANZ_GO, PASS, 2.5),
)
"""Cell, a peer, one of ours: how many times our CPU the peer needs at least."""
MOST_OF_NULL = 1.3
MOST_US = ((BY_KEY, 0.11), (RUN, 0.14))
LEAST_MILLION_S = 3.0


def machine_line(facts: Mapping[str, str]) -> str:
    """The machine, and how busy it was with other things before."""
    return " · ".join(f"{value}" if name in ("cpu", "memory") else f"{name} {value}" for name, value in facts.items())


def cell_lines(result: Result) -> Iterable[str]:
    """A heading, then a line a mover: median (least–most) of its runs."""
    source = result.subjects[0].source
    packed = "uncompressed" if source.codec == "none" else source.codec
    yield ""
    yield (
        f"{result.name}: {source.records:,} records of {source.record_bytes} B, {packed}, "
        f"batches of {source.batch_records}, {source.partitions} → {source.targets} partitions; median (min–max)"
    )
    yield _line("", "runs", [name for name, _ in COLUMNS])
    for mover in _measured(result):
        yield _line(mover, str(len(result.runs[mover])), figures(result, mover))


def sweep_lines(sweep: Sweep, result: Result) -> Iterable[str]:
    """The question, a line a subject, and the verdict."""
    yield ""
    yield f"{sweep.name}: {sweep.question}"
    yield _line("", "runs", [name for name, _ in COLUMNS])
    for name in _measured(result):
        yield _line(name, str(len(result.runs[name])), figures(result, name))
    if verdict := sweep.verdict(result):
        yield f"  {verdict}"


def budget_lines(results: Sequence[Result]) -> Iterable[str]:
    """What was promised, and what was seen."""
    yield ""
    for cell, peer, ours, least in RATIOS:
        values = ratio_of(results, cell, peer.name, ours.name)
        if values:
            promise = f"{cell}: {peer.name} needs at least {least:g} times the CPU of {ours.name}"
            yield _budget(promise, f"{_spread(values, 1)} times", median(values) >= least)
    values = ratio_of(results, BASE.name, PASS.name, NULL.name)
    if values:
        promise = f"{BASE.name}: {PASS.name} needs at most {MOST_OF_NULL} times the CPU of the {NULL.name}"
        yield _budget(promise, f"{_spread(values, 2)} times", median(values) <= MOST_OF_NULL)
    base = next((result for result in results if result.name == BASE.name), None)
    if base is None:
        return
    for mover, most in MOST_US:
        if base.runs.get(mover.name):
            seen = median(base.cpu_us(mover.name))
            yield _budget(f"{mover.name}: at most {most} µs a record", f"{seen:.3f}", seen <= most)
    if runs := base.runs.get(BY_KEY.name):
        rate = base.source_of(BY_KEY.name).records / median(run.running_s for run in runs) / 1e6
        promise = f"{BY_KEY.name}: at least {LEAST_MILLION_S:g} million records/s once running"
        yield _budget(promise, f"{rate:.2f}", rate >= LEAST_MILLION_S)


def ratio_of(results: Sequence[Result], cell: str, above: str, below: str) -> list[float]:
    """CPU of one mover over that of another, round by round; empty unless both were measured."""
    found = next((result for result in results if result.name == cell), None)
    if found is None or not found.runs.get(above) or not found.runs.get(below):
        return []
    return [one / other for one, other in zip(found.cpu_us(above), found.cpu_us(below), strict=False)]


def table_lines(results: Sequence[Result]) -> Iterable[str]:
    """All cells as a Markdown table."""
    yield "| cell | mover | CPU µs a record | CPU s a GB | broker's µs | seconds, running | million/s | peak MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        name = result.name
        for mover in _measured(result):
            cells = " | ".join(figures(result, mover))
            yield f"| {name} | {mover} | {cells} |"
            name = ""
        for mover, reason in result.missing.items():
            yield f"| | {mover} | left out: {reason.splitlines()[0]} | | | | | |"


def as_json(facts: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Every run as it was measured."""
    measured = [
        {
            "name": result.name,
            "subjects": {one.name: {**asdict(one.source), **asdict(one.mover)} for one in result.subjects},
            "missing": result.missing,
            "runs": {mover: [asdict(run) for run in runs] for mover, runs in result.runs.items()},
            "starts": {mover: [asdict(run) for run in runs] for mover, runs in result.starts.items()},
        }
        for result in results
    ]
    return {"machine": dict(facts), "cells": measured}


def figures(result: Result, name: str) -> list[str]:
    """One text a column."""
    source, runs, cpu_us = result.source_of(name), result.runs[name], result.cpu_us(name)
    running_s = [run.running_s for run in runs]
    peak = max(run.peak_bytes for run in runs)
    return [
        _spread(cpu_us, 3),
        f"{median(cpu_us) / source.record_bytes * 1000:.2f}",
        _spread(result.broker_us(name), 2),
        _spread(running_s, 2),
        f"{source.records / 1e6 / median(running_s):.2f}",
        f"{peak / 1e6:.0f}" if peak else "–",
    ]


def _measured(result: Result) -> list[str]:
    return [name for name, runs in result.runs.items() if runs]


def _line(mover: str, runs: str, texts: Sequence[str]) -> str:
    columns = zip(texts, COLUMNS, strict=True)
    return f"  {mover:32}{runs:>5}" + "".join(f"{text:>{width}}" for text, (_, width) in columns)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _budget(promise: str, seen: str, is_met: bool) -> str:
    return f"{'met   ' if is_met else 'MISSED'} {promise}: {seen}"
