"""
Question: what does a handled record cost here, beside the other ways to handle records in Python?
Budget:   no-op handler 6 CPU-µs a record and 100,000/s; 5 ms handler with 1,000 in flight 15 µs and 60,000/s.

README.md beside it says how each figure is taken.
"""

from __future__ import annotations

import argparse
import sys

from fanout.demo.cluster import Cluster
from forward import machine
from forward.report import machine_line
from work import report
from work.cells import CELLS
from work.rounds import measure

RUNS = 3


def main() -> int:
    options = _options()
    print(machine_line(machine.facts()), flush=True)
    results = []
    # As much heap from the start as a small production broker has: a heap that grows is seen as broker CPU.
    with Cluster(java_options=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")) as kafka:
        for cell in CELLS:
            if options.cell and cell.name not in options.cell:
                continue
            results.append(measure(kafka.bootstrap, cell, options.runs))
            print(*report.cell_lines(results[-1]), sep="\n", flush=True)
    return 0 if all(result.is_complete for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [cell.name for cell in CELLS]
    parser.add_argument("--cell", choices=names, action="append", help="only this one; may be given again")
    parser.add_argument("--runs", type=int, metavar="N", default=RUNS, help=f"of each runtime ({RUNS})")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
