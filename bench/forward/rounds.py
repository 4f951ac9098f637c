"""Every mover in turn, round after round: whatever slows the machine down for a while slows them all."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from forward import ceiling, topics
from forward.cells import Cell, Source
from forward.movers import BENCH, Mover, program_of
from forward.order import Order
from peers.build import MissingError

if TYPE_CHECKING:
    from fanout.demo.cluster import Cluster

__all__ = ["Pace", "Result", "Run", "Subject", "ceilings", "measure", "subjects_of"]

TIMEOUT_S = 240
LEAST_ROUNDS = 3
STARTS = 3
"""How often a mover's start is measured: a backlog of so few records that only the start costs."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How many measured rounds there are: `rounds`, but only `LEAST_ROUNDS` of them once it is later than `until`."""

    rounds: int
    until: float = float("inf")

    def goes_on(self, number: int) -> bool:
        """Whether round `number` is still to be run; 0 warms up."""
        most = self.rounds if time.monotonic() < self.until else min(self.rounds, LEAST_ROUNDS)
        return number <= most


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One mover with one backlog, under the name it is reported by."""

    name: str
    source: Source
    mover: Mover


@dataclass(kw_only=True, slots=True)
class Result:
    """The runs of each subject, in the order of the rounds; the one that warms up is not among them.

    starts: what each subject used for hardly any records.
    """

    name: str
    subjects: Sequence[Subject]
    runs: dict[str, list[Run]] = field(default_factory=dict)
    starts: dict[str, list[Run]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every run left a complete target."""
        measured = [*self.runs.values(), *self.starts.values()]
        return not any(run.problem for runs in measured for run in runs)

    def cpu_us(self, name: str) -> list[float]:
        """CPU of each run in µs a record, without what a start costs."""
        return self._us(name, lambda run: run.cpu_s)

    def broker_us(self, name: str) -> list[float]:
        """The broker's CPU, likewise."""
        return self._us(name, lambda run: run.broker_cpu_s)

    def _us(self, name: str, used: Callable[[Run], float]) -> list[float]:
        starts = self.starts.get(name)
        start = median(used(run) for run in starts) if starts else 0.0
        records = self.source_of(name).records
        return [(used(run) - start) / records * 1e6 for run in self.runs[name]]

    def source_of(self, name: str) -> Source:
        """What the subject `name` carried; Kafka's own tools carry what the first one does."""
        return next((one.source for one in self.subjects if one.name == name), self.subjects[0].source)


def subjects_of(cell: Cell) -> list[Subject]:
    """One for each mover of the cell, by the mover's name."""
    return [Subject(name=mover.name, source=cell.source, mover=mover) for mover in cell.movers]


def measure(kafka: Cluster, name: str, subjects: Sequence[Subject], pace: Pace) -> Result:
    """Writes the backlogs, then lets each subject carry its own, round after round, and once before to warm up."""
    result = Result(name=name, subjects=subjects)
    able = [subject for subject in subjects if _is_able(subject, result)]
    result.runs = {subject.name: [] for subject in able}
    starting = {subject.name: replace(subject, source=_tiny(subject.source)) for subject in able}
    topic_of = _fill(kafka.bootstrap, name, [subject.source for subject in [*able, *starting.values()]])
    for number in itertools.takewhile(pace.goes_on, itertools.count()):
        for subject in _in_turn(able, number):
            run = _carry(kafka, subject, topic_of[_written(subject.source)], number)
            _note(result, subject.name, run, number)
            if 1 <= number <= STARTS:
                start = starting[subject.name]
                run = _carry(kafka, start, topic_of[_written(start.source)], number)
                result.starts.setdefault(subject.name, []).append(run)
    for topic in topic_of.values():
        topics.delete(kafka.bootstrap, topic)
    return result


def ceilings(kafka: Cluster, cell: Cell, rounds: int, result: Result) -> None:
    """Kafka's own perf tools: a backlog like the cell's written to a new topic, and the same read."""
    for number in range(1, min(rounds, 3) + 1):
        for tool, run in _ceiling(kafka, cell.source, number).items():
            _note(result, tool, run, number)


def _is_able(subject: Subject, result: Result) -> bool:
    try:
        program_of(subject.mover)
    except MissingError as missing:
        result.missing[subject.name] = str(missing)
        print(f"{subject.name} is left out: {missing}", file=sys.stderr)
        return False
    return True


def _tiny(source: Source) -> Source:
    return replace(source, records=10 * source.partitions)


def _fill(bootstrap: str, name: str, sources: Sequence[Source]) -> dict[Source, str]:
    """A topic for each backlog, whatever it is carried to."""
    backlogs = dict.fromkeys(_written(source) for source in sources)
    topic_of = {source: f"{_slug(name)}-{number}" for number, source in enumerate(backlogs)}
    for source, topic in topic_of.items():
        topics.create(bootstrap, topic, source.partitions)
        topics.fill(bootstrap, topic, source)
    return topic_of


def _written(source: Source) -> Source:
    return replace(source, targets=0)


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def _in_turn(subjects: Sequence[Subject], number: int) -> list[Subject]:
    """Another one begins each round: who follows a heavy one finds a broker that still tidies up after it."""
    first = number % len(subjects) if subjects else 0
    return [*subjects[first:], *subjects[:first]]


def _note(result: Result, name: str, run: Run, number: int) -> None:
    if run.problem:
        print(f"{result.name}, {name}, round {number}: {run.problem}", file=sys.stderr)
    # A first run that went well only warms up; one that did not must not be forgotten.
    if number or run.problem:
        result.runs.setdefault(name, []).append(run)


def _carry(kafka: Cluster, subject: Subject, topic: str, number: int) -> Run:
    source, bootstrap = subject.source, kafka.bootstrap
    target = f"to-{_slug(subject.name)}-{topic}-{number}"
    topics.create(bootstrap, target, source.targets)
    order = Order(
        bootstrap=bootstrap,
        source=topic,
        target=target,
        targets=source.targets,
        records=source.records,
        ends=topics.ends(bootstrap, topic, source),
        codec=source.codec,
        transaction_records=source.transaction_records,
        settings=subject.mover.settings,
    )
    before = _broker_cpu_s(kafka)
    told = json.loads(_process(subject.mover, order))
    broker_cpu_s = _broker_cpu_s(kafka) - before
    problem = _problem(bootstrap, target, source, number)
    topics.delete(bootstrap, target)
    return Run(**told, broker_cpu_s=broker_cpu_s, problem=problem)


def _process(mover: Mover, order: Order) -> str:
    command, environment = program_of(mover)
    done = subprocess.run(
        [*command, *order.arguments()],
        cwd=BENCH,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


def _problem(bootstrap: str, target: str, source: Source, number: int) -> str:
    """Every target is counted; the first of each mover is read record by record, too, by a client that is not ours."""
    counted = topics.count(bootstrap, target)
    if counted != source.records:
        return f"{counted} of {source.records} records in the target"
    return "" if number else topics.read_back(bootstrap, target, source)


def _ceiling(kafka: Cluster, source: Source, number: int) -> dict[str, Run]:
    """One run of each of Kafka's own tools. What a JVM costs that does nothing is subtracted."""
    target = f"perf-{number}"
    topics.create(kafka.bootstrap, target, source.targets)

    def produce(records: int) -> float:
        return ceiling.produce(kafka.bootstrap, target, source, records)

    runs = {ceiling.PRODUCER: _tool(kafka, produce, source)}
    runs[ceiling.CONSUMER] = _tool(kafka, lambda records: ceiling.consume(kafka.bootstrap, target, records), source)
    topics.delete(kafka.bootstrap, target)
    return runs


def _tool(kafka: Cluster, run: Callable[[int], float], source: Source) -> Run:
    empty_cpu_s = _children_cpu_s()
    run(1)
    empty_cpu_s = _children_cpu_s() - empty_cpu_s
    before, broker_before = _children_cpu_s(), _broker_cpu_s(kafka)
    seconds = run(source.records)
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
