"""What was promised of a handled record, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from work.cells import DEDUP, FEW, KEYLESS, MANY, MANY_DEDUP, NOOP, Cell
from work.runtimes import FANOUT, PYRALLEL, Runtime

if TYPE_CHECKING:
    from work.rounds import Result

__all__ = ["Promise", "promises", "table_lines"]

MOST_US = ((NOOP, 6.0), (MANY, 15.0))
LEAST_PER_S = ((NOOP, 100_000), (MANY, 60_000), (MANY_DEDUP, 40_000))
MOST_US_DEDUP = 6.0
"""What claim and completion may add to the handler that does nothing."""
LEAST_TIMES_PEER = 10.0
"""How many times the rate of the best peer that keeps the order of keys."""
LEAST_KEYLESS = 0.9
"""Records without a key are no slower; a run is never quite like another."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A target, and what was seen of it."""

    target: str
    seen: str
    is_met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.is_met else 'MISSED'} {self.target}: {self.seen}"


def promises(results: Sequence[Result]) -> Iterator[Promise]:
    """Those whose cells were measured."""
    found = {result.cell.name: result for result in results}
    for cell, most in MOST_US:
        if seen := _cpu_us(found, cell):
            yield Promise(f"{cell.name}: at most {most:g} CPU-µs a record", f"{seen:.2f}", seen <= most)
    for cell, least in LEAST_PER_S:
        if seen := _per_s(found, cell, FANOUT):
            yield Promise(f"{cell.name}: at least {least:,} records/s", f"{seen:,.0f}", seen >= least)
    without, with_dedup = _cpu_us(found, NOOP), _cpu_us(found, DEDUP)
    if without and with_dedup:
        added = with_dedup - without
        yield Promise(f"{DEDUP.name}: adds at most {MOST_US_DEDUP:g} CPU-µs", f"{added:.2f}", added <= MOST_US_DEDUP)
    for cell in (NOOP, FEW, DEDUP):
        theirs = f"{cell.name}: at least {LEAST_TIMES_PEER:g} times the rate of {PYRALLEL.name}"
        yield from _times(theirs, _per_s(found, cell, FANOUT), _per_s(found, cell, PYRALLEL), LEAST_TIMES_PEER)
    keyless = f"{KEYLESS.name}: as fast as with keys (at least {LEAST_KEYLESS:g} times)"
    yield from _times(keyless, _per_s(found, KEYLESS, FANOUT), _per_s(found, NOOP, FANOUT), LEAST_KEYLESS)


def table_lines(results: Sequence[Result]) -> Iterator[str]:
    """The same as a Markdown table."""
    yield "| target | seen | |"
    yield "|---|---|---|"
    for one in promises(results):
        yield f"| {one.target} | {one.seen} | {'met' if one.is_met else 'missed'} |"


def _times(target: str, ours: float, theirs: float, least: float) -> Iterator[Promise]:
    if ours and theirs:
        yield Promise(target, f"{ours / theirs:.2f} times", ours / theirs >= least)


def _cpu_us(found: Mapping[str, Result], cell: Cell) -> float:
    result = found.get(cell.name)
    values = result.cpu_us(FANOUT.name) if result and FANOUT in result.cell.thousands else []
    return median(values) if values else 0.0


def _per_s(found: Mapping[str, Result], cell: Cell, runtime: Runtime) -> float:
    result = found.get(cell.name)
    values = result.per_s(runtime.name) if result and runtime in result.cell.thousands else []
    return median(values) if values else 0.0
