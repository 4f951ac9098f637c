"""Commands that work on one topic, join, leave and are killed at random; their effects go into a sink that counts."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from broker.working import APP, HERE, wait_until
from commands import Running
from killing import COOPERATIVE, Toll, toll_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from killing import Job, Kill

__all__ = ["Deed", "Sink", "Storm", "children_of"]

Deed = Literal["join", "leave", "kill"]

STOP_S = 120.0


class Sink:
    """What `work_app.sink` wrote: a row a key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as rows:
            rows.execute("PRAGMA journal_mode = WAL")
            rows.execute("CREATE TABLE effects (key BLOB PRIMARY KEY, last_offset INT, applied INT, naive INT)")
            rows.commit()

    def effects(self) -> tuple[dict[bytes, int], int]:
        """How often the conditional write took effect by key, and how often any write was made."""
        with closing(sqlite3.connect(self.path)) as rows:
            found = rows.execute("SELECT key, applied, naive FROM effects").fetchall()
        return {key: applied for key, applied, _ in found}, sum(naive for *_, naive in found)


@dataclass
class Storm:
    """Commands over the job; the first of them is never told to leave, though its worker may be killed.

    There is always work for them while it blows: `keys` and `least` are those of `Job.top_up`.
    """

    job: Job
    keys: int
    least: int
    joins: int = 0
    leaves: int = 0
    said: str = ""
    kills: list[Kill] = field(default_factory=list)

    def blow(self, deeds: Iterable[Deed], dice: random.Random) -> None:
        """Does one deed after the other; then what is left is worked off and all leave."""
        with ExitStack() as stack:
            running = [self._join(stack)]
            for deed in deeds:
                self.job.top_up(self.keys, self.least)
                self._do(deed, running, stack, dice)
                time.sleep(dice.uniform(0.5, 1.5))
            wait_until(self.job.is_finished, "the end", 120)
            for each in running:
                self._leave(each)

    def _do(self, deed: Deed, running: list[Running], stack: ExitStack, dice: random.Random) -> None:
        if deed == "kill":
            before = len(self.kills)
            wait_until(lambda: self._kill(running, dice) > before, "a worker in its handlers")
        elif deed == "leave":
            self._leave(running.pop(dice.randrange(1, len(running))))
        else:
            running.append(self._join(stack))

    def _kill(self, running: list[Running], dice: random.Random) -> int:
        """How many are killed by now: nobody more if none is in its handlers."""
        self.kills += self.job.kill_busy(children_of(running), dice)
        return len(self.kills)

    def toll(self) -> Toll:
        """What the handlers' log shows, with a line of figures."""
        toll = toll_of(self.job.handled.lines(), self.kills)
        in_flight = sum(kill.in_flight for kill in self.kills)
        print(f"joins={self.joins} leaves={self.leaves} kills={len(self.kills)} in_flight_at_kills={in_flight} "
              f"repeats={toll.repeats.total()} of_survivors={toll.of_survivors(self.kills)} "
              f"overlapping={len(toll.overlapping)}")  # fmt: skip
        return toll

    def _join(self, stack: ExitStack) -> Running:
        self.joins += 1
        options = [part for name, value in COOPERATIVE.items() for part in ("-X", f"consumer.{name}={value}")]
        work = ("work", APP, "--app-dir", str(HERE), "-g", self.job.group)
        running = stack.enter_context(Running(self.job.bootstrap, *options, *work))
        wait_until(lambda: children_of([running]), "its worker")
        return running

    def _leave(self, running: Running) -> None:
        assert running.runs, f"a command left by itself:\n{running.said()}"
        self.leaves += 1
        running.signal(signal.SIGTERM)
        self.said += running.wait(STOP_S).require().err


def children_of(commands: Iterable[Running]) -> list[int]:
    """Process ids of their workers; what only imports the application to describe it is none."""
    listed = (path for command in commands for path in Path(f"/proc/{command.pid}/task").glob("*/children"))
    pids = [int(child) for path in listed for child in _told(path).split()]
    said = {pid: _told(Path(f"/proc/{pid}/cmdline")) for pid in pids}
    return [pid for pid, words in said.items() if b"fanout.work.child" in words and b"--describe" not in words]


def _told(of: Path) -> bytes:
    """What the kernel tells of a process or a thread; nothing if it has ended meanwhile."""
    try:
        return of.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
