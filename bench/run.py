"""
Question: what does a carried record cost here, beside a copy loop on confluent-kafka and Kafka's own tools?
Budget:   12 times less CPU than the loop, a million records 3 → 10 in under a second, peak memory under 300 MB.

`make bench` runs this. README.md beside it says how each figure is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from fanout.demo.cluster import Cluster
from forward import machine, report
from forward.cells import CELLS
from forward.rounds import measure

RESULTS = Path(__file__).parents[1] / "build" / "bench.json"


def main() -> int:
    options = _options()
    cells = [cell for cell in CELLS if options.cell in (None, cell.name)]
    began = time.monotonic()
    facts = machine.facts()
    print(report.machine_line(facts), flush=True)
    results = []
    # As much heap from the start as a small production broker has: a heap that grows is seen as broker CPU.
    with Cluster(java_options=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")) as kafka:
        for cell in cells:
            result = measure(kafka, cell, options.runs or cell.runs)
            print(*report.cell_lines(result), sep="\n", flush=True)
            results.append(result)
    print(*report.budget_lines(results), sep="\n")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(report.as_json(facts, results), indent=1) + "\n", encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s in all; every run is in {options.results}")
    return 0 if all(result.is_complete for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=[cell.name for cell in CELLS], help="only this one")
    parser.add_argument("--runs", type=int, metavar="N", help="of each mover, instead of each cell's own number")
    parser.add_argument("--results", type=Path, metavar="FILE", default=RESULTS, help="where the JSON goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
