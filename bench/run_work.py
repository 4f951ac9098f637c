"""
Question: what does a handled record cost here, beside the other ways to handle records in Python?
Budget:   no-op handler 6 CPU-µs a record and 100,000/s; 5 ms handler with 1,000 in flight 15 µs and 60,000/s; dedup
          adds 6 µs; ten times the rate of the best peer that keeps key order with many in flight.

`make bench-work` runs this. README.md beside it says how each figure is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fanout.demo.cluster import Cluster
from forward import machine
from forward.report import machine_line
from work import budget, report
from work.cells import CELLS, NOOP, Cell
from work.rounds import Pace, Result, Servers, measure
from work.runtimes import FANOUT
from work.store import Store

BUILD = Path(__file__).parents[1] / "build"
RUNS = 3
QUICK = 10
"""With --quick: so many times fewer records, once."""


def main() -> int:
    options = _options()
    began = time.monotonic()
    facts = machine.facts()
    print(machine_line(facts), flush=True)
    results = []
    # As much heap from the start as a small production broker has: a heap that grows is seen as broker CPU.
    with Cluster(java_options=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")) as kafka, Store() as store:
        for result in _measured(Servers(kafka.bootstrap, store), options):
            print(*report.cell_lines(result), sep="\n", flush=True)
            results.append(result)
            _write(options.results, facts, results)
    print("", *budget.promises(results), sep="\n")
    print(f"\n{time.monotonic() - began:.0f} s in all; every run is in {options.results}")
    return 0 if all(result.is_complete for result in results) else 1


def _measured(servers: Servers, options: argparse.Namespace) -> Iterator[Result]:
    cells = [_sized(cell, options) for cell in CELLS if not options.cell or cell.name in options.cell]
    until = time.monotonic() + options.minutes * 60
    if not options.quick:
        measure(servers, replace(NOOP, thousands={FANOUT: NOOP.thousands[FANOUT]}), Pace(rounds=1))  # a young broker
    while cells:
        now, share = time.monotonic(), len(cells[0].thousands) / sum(len(cell.thousands) for cell in cells)
        yield measure(servers, cells.pop(0), Pace(rounds=options.runs, until=now + (until - now) * share))


def _sized(cell: Cell, options: argparse.Namespace) -> Cell:
    chosen = {one: size for one, size in cell.thousands.items() if not options.runtime or one.name in options.runtime}
    if options.quick:
        chosen = {one: max(size / QUICK, 0.1) for one, size in chosen.items()}
    return replace(cell, thousands=chosen)


def _write(path: Path, facts: dict[str, str], results: list[Result]) -> None:
    """After every cell: what was measured is kept if a later one fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.as_json(facts, results), indent=1) + "\n", encoding="utf-8")
    page = report.page_lines(facts, results, budget.table_lines(results))
    path.with_suffix(".md").write_text("\n".join(page) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells = [cell.name for cell in CELLS]
    runtimes = sorted({runtime.name for cell in CELLS for runtime in cell.thousands})
    parser.add_argument("--cell", choices=cells, action="append", help="only this one; may be given again")
    parser.add_argument("--runtime", choices=runtimes, action="append", help="only this one; may be given again")
    parser.add_argument("--runs", type=int, metavar="N", default=RUNS, help=f"of each runtime ({RUNS})")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="fewer runs, one at least, if need be")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, once: does everything work?")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", default=BUILD / "bench-work.json", help="where JSON goes"
    )
    options = parser.parse_args()
    options.runs = 1 if options.quick else options.runs
    return options


if __name__ == "__main__":
    sys.exit(main())
