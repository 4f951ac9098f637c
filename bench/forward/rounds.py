"""Every mover in turn, round after round: whatever slows the machine down for a while slows them all."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from forward import ceiling, topics
from forward.cells import LOOP, SOURCE_PARTITIONS, TARGET_PARTITIONS, Cell
from forward.order import Order

if TYPE_CHECKING:
    from fanout.demo.cluster import Cluster

__all__ = ["CellResult", "Run", "measure"]

TIMEOUT_S = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One mover, once. `problem` is empty when the target was complete."""

    cpu_s: float
    broker_cpu_s: float
    wall_s: float
    running_s: float
    peak_bytes: int
    problem: str = ""
    commits: int = 0
    resends: int = 0
    renewals: int = 0


@dataclass(kw_only=True, slots=True)
class CellResult:
    """A cell with the runs of each mover, in the order of the rounds; the one that warms up is not among them."""

    cell: Cell
    runs: dict[str, list[Run]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every run left a complete target."""
        return not any(run.problem for runs in self.runs.values() for run in runs)


def measure(kafka: Cluster, cell: Cell, rounds: int) -> CellResult:
    """Writes the backlog, then lets each mover carry it `rounds` times, and once before to warm up."""
    source = f"source-{cell.name.replace(' ', '-')}"
    topics.create(kafka.bootstrap, source, SOURCE_PARTITIONS)
    topics.fill(kafka.bootstrap, source, cell)
    result = CellResult(cell=cell, runs={mover: [] for mover in cell.movers})
    for number in range(rounds + 1):
        for mover in _in_turn(cell.movers, number):
            run = _carry(kafka, cell, (source, mover), number)
            _note(result, mover, run, number)
    if cell.ceiling:
        for number in range(1, min(rounds, 3) + 1):
            for tool, run in _ceiling(kafka, cell, source, number).items():
                _note(result, tool, run, number)
    topics.delete(kafka.bootstrap, source)
    return result


def _in_turn(movers: tuple[str, ...], number: int) -> tuple[str, ...]:
    """Another one begins each round: who follows the loop finds a broker that still tidies up after it."""
    first = number % len(movers)
    return movers[first:] + movers[:first]


def _note(result: CellResult, mover: str, run: Run, number: int) -> None:
    if run.problem:
        print(f"{result.cell.name}, {mover}, round {number}: {run.problem}", file=sys.stderr)
    # A first run that went well only warms up; one that did not must not be forgotten.
    if number or run.problem:
        result.runs.setdefault(mover, []).append(run)


def _carry(kafka: Cluster, cell: Cell, what: tuple[str, str], number: int) -> Run:
    source, mover = what
    bootstrap = kafka.bootstrap
    target = f"{mover.replace(',', '').replace(' ', '-')}-{cell.name.replace(' ', '-')}-{number}"
    topics.create(bootstrap, target, TARGET_PARTITIONS)
    order = Order(
        mover=mover,
        bootstrap=bootstrap,
        source=source,
        target=target,
        records=cell.records,
        ends=topics.ends(bootstrap, source, cell),
        codec=cell.codec,
        transaction_records=cell.transaction_records,
    )
    before = _broker_cpu_s(kafka)
    told = json.loads(_process("forward.loop" if mover == LOOP else "forward.engine", order))
    broker_cpu_s = _broker_cpu_s(kafka) - before
    problem = _problem(bootstrap, target, cell, number)
    topics.delete(bootstrap, target)
    return Run(**told, broker_cpu_s=broker_cpu_s, problem=problem)


def _process(module: str, order: Order) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=Path(__file__).parents[1],
        input=order.to_json(),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


def _problem(bootstrap: str, target: str, cell: Cell, number: int) -> str:
    """Every target is counted; the first of each mover is read record by record, too, by a client that is not ours."""
    counted = topics.count(bootstrap, target)
    if counted != cell.records:
        return f"{counted} of {cell.records} records in the target"
    return "" if number else topics.read_back(bootstrap, target, cell)


def _ceiling(kafka: Cluster, cell: Cell, source: str, number: int) -> dict[str, Run]:
    """One run of each of Kafka's own tools. What a JVM costs that does nothing is subtracted."""
    target = f"perf-{cell.name.replace(' ', '-')}-{number}"
    topics.create(kafka.bootstrap, target, TARGET_PARTITIONS)
    runs = {
        ceiling.PRODUCER: _tool(kafka, lambda records: ceiling.produce(kafka.bootstrap, target, cell, records), cell),
        ceiling.CONSUMER: _tool(kafka, lambda records: ceiling.consume(kafka.bootstrap, source, records), cell),
    }
    topics.delete(kafka.bootstrap, target)
    return runs


def _tool(kafka: Cluster, run: Callable[[int], float], cell: Cell) -> Run:
    empty_cpu_s = _children_cpu_s()
    run(1)
    empty_cpu_s = _children_cpu_s() - empty_cpu_s
    before, broker_before = _children_cpu_s(), _broker_cpu_s(kafka)
    seconds = run(cell.records)
    return Run(
        cpu_s=_children_cpu_s() - before - empty_cpu_s,
        broker_cpu_s=_broker_cpu_s(kafka) - broker_before,
        wall_s=seconds,
        running_s=seconds,
        peak_bytes=0,
    )


def _children_cpu_s() -> float:
    """CPU of all child processes that have ended; the brokers' keeper has not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _broker_cpu_s(kafka: Cluster) -> float:
    """CPU of the broker so far, in ticks of 10 ms."""
    stat = Path(f"/proc/{kafka.node(1).pid}/stat").read_text(encoding="utf-8")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
