"""Every runtime in turn, round after round: whatever slows the machine down for a while slows them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from peers.build import MissingError
from work import backlog
from work.order import Order

if TYPE_CHECKING:
    from work.cells import Cell
    from work.runtimes import Runtime
    from work.store import Store

__all__ = ["Pace", "Result", "Run", "Servers", "measure"]

BENCH = Path(__file__).parents[1]
GLANCE_S = 0.05
TIMEOUT_S = 60.0
"""What one run may take: backlogs are sized for some seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One runtime, once. `problem` is empty when every record was handled. The figures are those of `Tally`.

    store_cpu_s: of the Redis server over the whole run.
    """

    cpu_s: float = 0.0
    main_cpu_s: float = 0.0
    librdkafka_cpu_s: float = 0.0
    running_s: float = 0.0
    peak_bytes: int = 0
    most_at_once: int = 0
    overlaps: int = 0
    doubled: int = 0
    switches: int = 0
    supervisor_cpu_s: float = 0.0
    supervisor_peak_bytes: int = 0
    store_cpu_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The runs of each runtime of a cell, in the order of the rounds."""

    cell: Cell
    runs: dict[str, list[Run]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every run handled every record."""
        return not any(run.problem for runs in self.runs.values() for run in runs)

    def good(self, name: str) -> list[Run]:
        """Those that handled every record."""
        return [run for run in self.runs.get(name, []) if not run.problem]

    def cpu_us(self, name: str) -> list[float]:
        """CPU of each run in µs a record."""
        return [run.cpu_s / self.records(name) * 1e6 for run in self.good(name)]

    def per_s(self, name: str) -> list[float]:
        """Records a second of each run."""
        return [self.records(name) / run.running_s for run in self.good(name)]

    def beside_us(self, name: str, of: str) -> float:
        """The median of another process' CPU, in µs a record."""
        used: float = median(getattr(run, of) for run in self.good(name))
        return used / self.records(name) * 1e6

    def records(self, name: str) -> int:
        """How many records a run of `name` handles."""
        return next(self.cell.records(runtime) for runtime in self.cell.thousands if runtime.name == name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How many rounds there are: `rounds`, but only the first once it is later than `until`."""

    rounds: int
    until: float = float("inf")

    def goes_on(self, number: int) -> bool:
        """Whether round `number`, from 0, is still to be run."""
        return number < self.rounds and (number == 0 or time.monotonic() < self.until)


@dataclass(frozen=True, slots=True)
class Servers:
    """What all runs share."""

    bootstrap: str
    store: Store


def measure(servers: Servers, cell: Cell, pace: Pace) -> Result:
    """Writes the backlogs, then lets each runtime handle its own in every round."""
    result = Result(cell=cell)
    able = [runtime for runtime in cell.thousands if _is_able(runtime, result)]
    topics = _fill(servers.bootstrap, cell, able)
    number = 0
    while able and pace.goes_on(number):
        first = number % len(able)
        # Another one begins each round: who follows a heavy one finds a broker that still tidies up after it.
        for runtime in (*able[first:], *able[:first]):
            run = _handle(servers, cell, runtime, topics[cell.backlog_of(runtime)])
            if run.problem:
                print(f"{cell.name}, {runtime.name}: {run.problem}", file=sys.stderr)
            result.runs.setdefault(runtime.name, []).append(run)
        number += 1
    backlog.remove(servers.bootstrap, list(topics.values()))
    return result


def _is_able(runtime: Runtime, result: Result) -> bool:
    try:
        runtime.command()
    except MissingError as missing:
        result.missing[runtime.name] = str(missing)
        print(f"{runtime.name} is left out: {missing}", file=sys.stderr)
        return False
    return True


def _fill(bootstrap: str, cell: Cell, runtimes: list[Runtime]) -> Mapping[backlog.Backlog, str]:
    """A topic for each backlog, whoever handles it."""
    topics = {wanted: f"{_slug(cell.name)}-{wanted.records}" for wanted in map(cell.backlog_of, runtimes)}
    for wanted, topic in topics.items():
        backlog.make(bootstrap, topic, wanted)
    return topics


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def _handle(servers: Servers, cell: Cell, runtime: Runtime, topic: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-work-", ignore_cleanup_errors=True) as folder:
        told = Path(folder) / "told.json"
        order = Order(
            bootstrap=servers.bootstrap,
            topic=topic,
            group=f"{_slug(runtime.name)}-{time.monotonic_ns()}",
            records=cell.records(runtime),
            wait_s=cell.wait_s,
            at_once=cell.at_once,
            redis=servers.store.url if cell.dedup else "",
            told=str(told),
        )
        servers.store.clear()
        before_s = servers.store.cpu_s()
        problem = _until_told(runtime, order, told)
        if problem:
            return Run(problem=problem)
        run = Run(**json.loads(told.read_text(encoding="utf-8")))
        return replace(run, store_cpu_s=servers.store.cpu_s() - before_s) if cell.dedup else run


def _until_told(runtime: Runtime, order: Order, told: Path) -> str:
    """Runs a process until it has told what it used, then ends it. Returns what went wrong, or nothing."""
    said = told.with_name("said.txt")
    environment = {**order.environment(), **runtime.environment}
    # A session of its own: some runtimes start processes, and none may outlive its run.
    with (
        said.open("wb") as out,
        subprocess.Popen(
            runtime.command(), cwd=BENCH, env=environment, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        deadline = time.monotonic() + TIMEOUT_S
        try:
            while not told.exists():
                if process.poll() is not None and not told.exists():
                    return f"ended with {process.returncode} before all records were handled: {_last_line(said)}"
                if time.monotonic() > deadline:
                    return f"not all records were handled in {TIMEOUT_S:.0f} s: {_last_line(said)}"
                time.sleep(GLANCE_S)
        finally:
            _end(process)
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole session: all is told, and how a peer is stopped cleanly need not be known."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself


def _last_line(said: Path) -> str:
    lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
