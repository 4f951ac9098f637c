"""
Question: what does a carried record cost here, beside copy loops on other clients and a forwarder that does nothing?
Budget:   by key 0.11 µs a 100-byte record and 6 times less CPU than the best peer, whole batches 12 times less and
          at most 1.3 times the forwarder that does nothing, 3 million records/s.

`make bench` runs this: all cells, then all sweeps. README.md beside it says how each figure is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fanout.demo.cluster import Cluster
from forward import machine, picture, report
from forward.cells import BASE, CELLS
from forward.rounds import Pace, Result, Subject, ceilings, measure, subjects_of
from forward.sweeps import SWEEPS

BUILD = Path(__file__).parents[1] / "build"
RUNS = 5
QUICK = 10
"""With --quick: so many times fewer records, and one measured run."""


def main() -> int:
    options = _options()
    began = time.monotonic()
    facts = machine.facts()
    print(report.machine_line(facts), flush=True)
    results = []
    # As much heap from the start as a small production broker has: a heap that grows is seen as broker CPU.
    with Cluster(java_options=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")) as kafka:
        for result in _measured(kafka, options):
            results.append(result)
            _write(options.results, facts, results)
    print(*report.budget_lines(results), sep="\n")
    print(f"\n{time.monotonic() - began:.0f} s in all; every run is in {options.results}")
    return 0 if all(result.is_complete for result in results) else 1


def _measured(kafka: Cluster, options: argparse.Namespace) -> Iterator[Result]:
    cells = [cell for cell in CELLS if _is_wanted(cell.name, options.cell, options.sweep)]
    sweeps = [sweep for sweep in SWEEPS if _is_wanted(sweep.name, options.sweep, options.cell)]
    budget = Budget(options, [len(cell.movers) for cell in cells] + [len(sweep.subjects) for sweep in sweeps])
    for cell in cells:
        result = measure(kafka, cell.name, _sized(subjects_of(cell), options), budget.next_pace())
        if cell.ceiling and not options.quick:
            ceilings(kafka, cell, options.runs, result)
        print(*report.cell_lines(result), sep="\n", flush=True)
        yield result
    for sweep in sweeps:
        result = measure(kafka, sweep.name, _sized(sweep.subjects, options), budget.next_pace())
        print(*report.sweep_lines(sweep, result), sep="\n", flush=True)
        yield result


class Budget:
    """Shares the minutes that are given among cells and sweeps, by their subjects."""

    def __init__(self, options: argparse.Namespace, subjects: list[int]) -> None:
        self._runs = 1 if options.quick else options.runs
        self._until = time.monotonic() + options.minutes * 60
        self._subjects = subjects

    def next_pace(self) -> Pace:
        """That of the next cell or sweep: time that earlier ones saved is shared, too."""
        now, share = time.monotonic(), self._subjects[0] / sum(self._subjects)
        del self._subjects[0]
        return Pace(rounds=self._runs, until=now + (self._until - now) * share)


def _is_wanted(name: str, chosen: list[str] | None, others: list[str] | None) -> bool:
    """Without a choice everything is; a choice of one kind leaves out all of the other."""
    return name in chosen if chosen else not others


def _sized(subjects: Sequence[Subject], options: argparse.Namespace) -> list[Subject]:
    if not options.quick:
        return list(subjects)
    return [
        replace(subject, source=replace(subject.source, records=subject.source.records // QUICK))
        for subject in subjects
    ]


def _write(path: Path, facts: dict[str, str], results: list[Result]) -> None:
    """After every cell: what was measured is kept if a later one fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.as_json(facts, results), indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text("\n".join(report.table_lines(results)) + "\n", encoding="utf-8")
    if base := next((result for result in results if result.name == BASE.name), None):
        path.with_suffix(".svg").write_text(picture.draw(base), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells, sweeps = [cell.name for cell in CELLS], [sweep.name for sweep in SWEEPS]
    parser.add_argument("--cell", choices=cells, action="append", help="only this one; may be given again")
    parser.add_argument("--sweep", choices=sweeps, action="append", help="only this one; may be given again")
    parser.add_argument("--runs", type=int, metavar="N", default=RUNS, help=f"of each mover ({RUNS})")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="fewer runs, three at least, if need be")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, once: does everything work?")
    parser.add_argument("--results", type=Path, metavar="FILE", default=BUILD / "bench.json", help="where JSON goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
