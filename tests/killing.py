"""Worker processes that die in the middle of their handlers, and what that cost."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.working import Handled, Line, committed, ends, settings_of, wait_until, writer
from fanout.work.supervisor import Supervisor
from oracle.effects import Effect, check_effects
from oracle.read import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from oracle.verdict import Verdict

__all__ = [
    "COOPERATIVE",
    "Job",
    "Kill",
    "Toll",
    "at_rest",
    "dead_letters",
    "fill",
    "freeze",
    "kill_every",
    "toll_of",
    "workers",
]

TOLD_OF = re.compile(r"worker (\d+): .*(?:did not get through|lost partitions|still ran|not left cleanly)")
"""What a worker says whose records run again though nobody killed it: a rebalance overtook it. Excuses its own."""

PLACE = ("topic", "partition", "offset")

LOOKS = 5
"""How many looks in a row make a number that stands."""

COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": "6000"}
"""Those who live keep their partitions, and what a killed one held waits as short as a broker allows by default."""

Acknowledged = dict[tuple[bytes, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A killed worker: how many of its handlers ran, and its records that no commit covered.

    `line` is where the handlers' log stood: what comes later knows that this process is gone.
    """

    pid: int
    running: int
    in_flight: int
    line: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """A topic and its group: what the broker acknowledged there, and what handlers logged."""

    bootstrap: str
    topic: str
    group: str
    handled: Handled
    acknowledged: Acknowledged

    def places(self) -> dict[int, int]:
        """Where the group stands."""
        return committed(self.bootstrap, self.group, self.topic)

    def is_finished(self) -> bool:
        """Whether everything is committed."""
        return self.places() == ends(self.bootstrap, self.topic)

    def busy(self, pids: Iterable[int]) -> dict[int, set[str]]:
        """Records whose handlers run now, by those of the processes that have any."""
        running: dict[int, set[str]] = {pid: set() for pid in pids}
        for line in self.handled.lines():
            if line.pid in running:
                (running[line.pid].add if line.kind == "begin" else running[line.pid].discard)(line.id)
        return {pid: records for pid, records in running.items() if records}

    def kill(self, pid: int) -> Kill:
        """SIGKILL. It is frozen first: what it holds is counted before anybody can take it over and commit for it."""
        freeze(pid)
        lines = self.handled.lines()
        begun = {line.id for line in lines if line.pid == pid and line.kind == "begin"}
        running = len(self.busy([pid]).get(pid, ()))
        in_flight = at_rest(lambda: self._uncommitted(begun))
        os.kill(pid, signal.SIGKILL)
        return Kill(pid=pid, running=running, in_flight=in_flight, line=len(lines))

    def _uncommitted(self, records: Iterable[str]) -> int:
        places = self.places()
        return sum(_offset(name) >= places.get(_partition(name), 0) for name in records)

    def kill_busy(self, pids: Iterable[int], dice: random.Random) -> list[Kill]:
        """Kills one that is in its handlers; nobody if none is."""
        candidates = sorted(self.busy(pids))
        return [self.kill(dice.choice(candidates))] if candidates else []

    def passed_unfinished(self, otherwise: Callable[[], Iterable[str]] = tuple) -> list[str]:
        """Records below a commit that neither ended nor are among `otherwise`, which is asked after the commit."""
        places = self.places()
        done = self.handled.ended().keys() | set(otherwise())
        passed = (f"{self.topic}/{p}/{offset}" for p, place in places.items() for offset in range(place))
        return [name for name in passed if name not in done]

    def top_up(self, keys: int, least: int) -> None:
        """Appends as many records as must be open at least, when there are fewer."""
        known = len(self.acknowledged)
        if known - len(self.handled.ended()) < least:
            more = range(known, known + least)
            self.acknowledged.update(fill(self.bootstrap, self.topic, ((b"key-%d" % (n % keys), n) for n in more)))

    def let_go(self) -> None:
        """Ends the handlers that are stuck: see `work_app.cursed`."""
        self.handled.path.with_name(f"{self.handled.path.name}.let-go").touch()

    def verdict(self) -> Verdict:
        """Every record handled, each key's completions in order."""
        done = (line for line in self.handled.lines() if line.kind == "end")
        effects = (Effect(line.key.encode(), line.sequence, (_partition(line.id), _offset(line.id))) for line in done)
        return check_effects(effects, self.acknowledged)


@dataclass
class Toll:
    """What a log shows of the kills.

    repeats: records that were begun again, by the process that had begun them before.
    overlapping: records begun while another of their key ran in a process that lived.
    """

    repeats: Counter[int] = field(default_factory=Counter)
    overlapping: list[str] = field(default_factory=list)

    def of_survivors(self, kills: Sequence[Kill]) -> int:
        """Repeats that no kill explains."""
        return self.repeats.total() - sum(self.repeats[pid] for pid in {kill.pid for kill in kills})

    def unexplained(self, kills: Sequence[Kill], said: str) -> int:
        """Repeats that neither a kill explains nor anything the worker said that had begun them before."""
        excused = {kill.pid for kill in kills} | {int(pid) for pid in TOLD_OF.findall(said)}
        return sum(times for pid, times in self.repeats.items() if pid not in excused)

    def report(self, kills: Sequence[Kill]) -> None:
        """One line a kill."""
        for number, kill in enumerate(kills, start=1):
            repeats = self.repeats[kill.pid]
            print(f"kill {number}: {kill.running} handlers ran, {kill.in_flight} in flight, {repeats} repeated")


def toll_of(lines: Iterable[Line], kills: Sequence[Kill]) -> Toll:
    """Replays a log in which every record has a key."""
    died_at = {kill.pid: kill.line for kill in kills}
    toll, beginner, running = Toll(), dict[str, int](), dict[str, int]()
    beside: dict[tuple[int, str], list[str]] = {}
    for number, line in enumerate(lines):
        if line.kind == "end":
            if running.get(line.key) == line.pid:
                del running[line.key]
            # Only now is it known that whoever held the key lived: a suspect's process dies with its worker, unnamed.
            toll.overlapping += beside.pop((line.pid, line.key), [])
            continue
        if line.id in beginner:
            toll.repeats[beginner[line.id]] += 1
        holder = running.get(line.key)
        if holder is not None and number < died_at.get(holder, number + 1):
            beside.setdefault((holder, line.key), []).append(line.id)
        beginner[line.id] = running[line.key] = line.pid
    return toll


def fill(
    bootstrap: str,
    topic: str,
    records: Iterable[tuple[bytes | None, int]],
    partition_of: Callable[[int], int] = lambda _number: -1,
) -> Acknowledged:
    """Appends records of a key and a number; returns where the broker put each.

    `partition_of` a number; -1 leaves it to the key.
    """
    acknowledged: Acknowledged = {}
    producer = writer(bootstrap)

    def delivered(error: KafkaError | None, message: Message[bytes, bytes]) -> None:
        assert error is None, error
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        acknowledged[message.key() or b"-", int(message.value() or b"")] = (partition, offset)

    for key, number in records:
        place = partition_of(number)
        producer.produce(topic, key=key, value=str(number).encode(), partition=place, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0
    return acknowledged


def dead_letters(job: Job, topic: str) -> list[str]:
    """The record of each dead letter, by its own headers."""
    headers = (dict(letter.headers) for letter in read(job.bootstrap, topic))
    return [b"/".join(held[f"__dlq.errors.{part}"] or b"" for part in PLACE).decode() for held in headers]


def kill_every(seconds: float, job: Job, supervisor: Supervisor, kills: int, keys: int = 0) -> list[Kill]:
    """Kills so many, one after the other, each in its handlers. Fails when the work ends before.

    With `keys` it does not: see `Job.top_up`.
    """
    dice, killed = random.Random(19), list[Kill]()
    while len(killed) < kills:
        if keys:
            job.top_up(keys, keys)
        wait_until(lambda: supervisor.poll() and job.busy(supervisor.pids()), "a worker in its handlers")
        time.sleep(dice.uniform(0, 0.2))
        killed += job.kill_busy(supervisor.pids(), dice)
        time.sleep(seconds)
    return killed


@contextmanager
def workers(job: Job, consumer: Mapping[str, str] | None = None, **more: Any) -> Iterator[Supervisor]:
    """Workers over the job; they are killed at the end if they still run."""
    settings = settings_of(job.bootstrap, job.group, {**COOPERATIVE, **(consumer or {})}, **more)
    supervisor = Supervisor(settings)
    supervisor.check()
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.abort()


def freeze(pid: int) -> None:
    """SIGSTOP; returns when it has taken effect."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _state(pid) == "T", "the process to freeze")


def at_rest(look: Callable[[], int]) -> int:
    """What is seen several times in a row: the last commit of a frozen process may still be on its way."""
    seen = [look()]
    while len(seen) < LOOKS:
        time.sleep(0.1)
        again = look()
        seen = [*seen, again] if again == seen[0] else [again]
    return seen[0]


def _state(pid: int) -> str:
    """As `ps` shows it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]


def _partition(name: str) -> int:
    return int(name.rsplit("/", 2)[1])


def _offset(name: str) -> int:
    return int(name.rsplit("/", 1)[1])
