"""Every runtime in turn, round after round: whatever slows the machine down for a while slows them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from work import backlog
from work.order import Order

if TYPE_CHECKING:
    from work.cells import Cell, Entry
    from work.runtimes import Runtime

__all__ = ["Result", "Run", "measure"]

BENCH = Path(__file__).parents[1]
GLANCE_S = 0.05
TIMEOUT_S = 60.0
"""What handling may take: entries are sized for some seconds."""
LEAVE_S = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One runtime, once. `problem` is empty when every record was handled. Figures are those of `Tally`."""

    cpu_s: float = 0.0
    running_s: float = 0.0
    peak_bytes: int = 0
    most_at_once: int = 0
    overlaps: int = 0
    doubled: int = 0
    switches: int = 0
    supervisor_cpu_s: float = 0.0
    supervisor_peak_bytes: int = 0
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

    def cpu_us(self, name: str) -> list[float]:
        """CPU of each run in µs a record."""
        return [run.cpu_s / self._records(name) * 1e6 for run in self._good(name)]

    def per_s(self, name: str) -> list[float]:
        """Records a second of each run."""
        return [self._records(name) / run.running_s for run in self._good(name)]

    def most(self, name: str, of: str) -> int:
        """The highest of a figure over all runs."""
        return max((getattr(run, of) for run in self._good(name)), default=0)

    def supervisor_cpu_us(self, name: str) -> float:
        """CPU of the supervisor, in µs a record."""
        return median(run.supervisor_cpu_s for run in self._good(name)) / self._records(name) * 1e6

    def _good(self, name: str) -> list[Run]:
        return [run for run in self.runs[name] if not run.problem]

    def _records(self, name: str) -> int:
        return next(entry.records for entry in self.cell.entries if entry.runtime.name == name)


def measure(bootstrap: str, cell: Cell, rounds: int) -> Result:
    """Writes the backlogs, then lets each runtime handle its own in every round."""
    result = Result(cell=cell)
    topic_of: dict[backlog.Backlog, str] = {}
    for wanted in dict.fromkeys(cell.backlog_of(entry) for entry in cell.entries):
        topic_of[wanted] = f"{_slug(cell.name)}-{wanted.records}"
        backlog.make(bootstrap, topic_of[wanted], wanted)
    for number in range(rounds):
        for entry in _in_turn(cell.entries, number):
            run = _handle(bootstrap, cell, entry, topic_of[cell.backlog_of(entry)])
            result.runs.setdefault(entry.runtime.name, []).append(run)
    backlog.remove(bootstrap, list(topic_of.values()))
    return result


def _in_turn(entries: tuple[Entry, ...], number: int) -> tuple[Entry, ...]:
    """Another one begins each round: who follows a heavy one finds a broker that still tidies up after it."""
    first = number % len(entries)
    return entries[first:] + entries[:first]


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def _handle(bootstrap: str, cell: Cell, entry: Entry, topic: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-work-") as folder:
        told = Path(folder) / "told.json"
        order = Order(
            bootstrap=bootstrap,
            topic=topic,
            group=f"{_slug(entry.runtime.name)}-{time.monotonic_ns()}",
            records=entry.records,
            wait_s=cell.wait_s,
            at_once=cell.at_once,
            redis="",
            told=str(told),
        )
        problem = _until_told(entry.runtime, order, told)
        return Run(problem=problem) if problem else Run(**json.loads(told.read_text(encoding="utf-8")))


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


def _last_line(said: Path) -> str:
    lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks the whole session to end, and insists: peers need not know how."""
    for number, wait_s in ((signal.SIGTERM, LEAVE_S), (signal.SIGKILL, LEAVE_S)):
        try:
            os.killpg(process.pid, number)
            process.wait(wait_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
