"""
Keeps worker processes running, and adds up what they report.

A process that dies is replaced, later each time it dies soon. A process that says why
it cannot go on, where another start would end the same way, stops them all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanout._fanout import Cluster
from fanout.errors import FanoutError, NotFinishedError, WorkError

from .check import Checked, check_work
from .deaths import Deaths
from .farewell import Farewell, can_leave
from .process import BLOCKED, FORCED, Brief, WorkerProcess, ending

if TYPE_CHECKING:
    from fanout.config.work import WorkSettings

__all__ = ["Supervisor", "WorkStats"]

logger = logging.getLogger("fanout.work")

WATCH_S = 0.05
STABLE_S = 60.0
"""A process that lived this long counts as healthy: its next restart comes at once again."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
"""Before a seat's next process after its second death, doubled with each more. Only a process that lived `STABLE_S`
begins this anew, whatever it settled before: what kills after a thousand records each time still starts ever more
rarely, so that it does not unsettle its group again and again."""

STARTS_WITHOUT_READY = 5
FRUITLESS_DEATHS = 10
"""As many in a row without a record settled are a crash loop. Records that kill are found out after three."""

SILENCE_S = 5.0
"""A process whose loop stands still ends itself; this much later one that cannot is killed."""
LEAVE_S = 2.5
"""What a process may take to commit, leave its group and end, after its handlers had their time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkStats:
    """What the workers have done since the start, and do now.

    processed: outcomes by handler topic: done, skipped, tombstone, repeated, dead, retried, and dead by reason; under
    `dedup.…` what the store answered: run, done, busy, mismatch, then ok, already, lost, released, unclaimed.
    parked: some records that wait for another attempt, and why.
    committed: by handler topic and partition, the offset last committed, as far as it was reported.
    A process that was killed takes what it did since its last report, at most half a second, with it.
    """

    workers: int
    running: int
    in_flight: int
    processed: Mapping[str, Mapping[str, int]]
    dead_letters: int
    parked: tuple[str, ...]
    restarts: Mapping[str, int]
    committed: Mapping[str, Mapping[int, int]]


@dataclass(slots=True)
class Seat:
    """A place for one process, and how its processes fared."""

    number: int
    process: WorkerProcess | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    never_ready: int = 0
    fruitless: int = 0
    is_retiring: bool = False


@dataclass(slots=True)
class Past:
    """What ended processes reported last."""

    processed: dict[str, Counter[str]] = field(default_factory=dict)
    committed: dict[str, dict[int, int]] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)


class Supervisor:
    """Runs `settings.workers` processes. Its calls may come from any thread.

    `spawn` starts one process; the tests stand in for it.
    """

    def __init__(
        self, settings: WorkSettings, *, spawn: Callable[[WorkSettings, Brief], WorkerProcess] = WorkerProcess
    ) -> None:
        self._settings = settings
        self._spawn = spawn
        self._seats = [Seat(number) for number in range(settings.workers)]
        self._deaths = Deaths()
        self._past = Past()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._error: FanoutError | None = None
        self._looked_at = time.monotonic()
        self._farewell = Farewell(lambda: Cluster(dict(settings.clients.of("core", "work"))))
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def check(self) -> Checked:
        """Looks whether the workers could run, and changes nothing. Raises ConfigError or RefusedError.

        A `stop` meanwhile ends an import, which is a NotFinishedError.
        """
        cluster = Cluster(dict(self._settings.clients.of("core", "work")))
        return check_work(self._settings, cluster, self._stopping)

    def start(self) -> None:
        """Starts the processes. Returns at once; what goes wrong is raised by `poll`."""
        self._watcher.start()

    def poll(self) -> WorkStats:
        """How the work stands. Raises what stopped the workers, if something has."""
        if self._error is not None:
            raise self._error
        return self.stats()

    def stats(self) -> WorkStats:
        """How the work stands, also after it was stopped."""
        with self._lock:
            return self._stats()

    def stop(self, timeout_s: float | None = None) -> WorkStats:
        """Ends the processes cleanly; returns the last figures.

        Running handlers get the settings' `stop_s`. Raises NotFinishedError if a process had to be killed after
        `timeout_s` (their time and some seconds more); its unfinished records are read again.
        """
        deadline = time.monotonic() + (self._settings.stop_s + LEAVE_S if timeout_s is None else timeout_s)
        self._end_watch()
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for process in processes:
            process.stop()
        codes = [process.wait(max(0.0, deadline - time.monotonic())) for process in processes]
        self.abort()
        stats = self.stats()
        if FORCED in codes:
            logger.warning("%d workers ended with handlers that still ran; their records are read again",
                           codes.count(FORCED))  # fmt: skip
        late = codes.count(None)
        if late:
            raise NotFinishedError(f"{late} workers did not end in time and were killed; {stats.running} handlers "
                                   "still ran, their records are read again")  # fmt: skip
        return stats

    def abort(self) -> None:
        """Kills the processes. What was in flight is read again."""
        self._end_watch()
        for seat in self._seats:
            if seat.process is not None:
                seat.process.kill()
                seat.process.wait(LEAVE_S)

    def pids(self) -> list[int]:
        """Processes that run now."""
        with self._lock:
            return [seat.process.pid for seat in self._seats if seat.process and seat.process.is_running()]

    def _end_watch(self) -> None:
        self._stopping.set()
        if self._watcher.is_alive() and self._watcher is not threading.current_thread():
            self._watcher.join()

    def _watch(self) -> None:
        """Replaces what ends, until told to stop or until a process says that it cannot go on."""
        try:
            while not self._stopping.wait(WATCH_S):
                with self._lock:
                    self._note_pause()
                    for seat in self._seats:
                        self._look_after(seat)
        except FanoutError as error:
            self._give_up(error)
        except OSError as error:
            self._give_up(WorkError(f"no worker process can be started: {error}", "see the limits of this machine"))

    def _give_up(self, error: FanoutError) -> None:
        self._error = error
        for seat in self._seats:
            if seat.process is not None:
                seat.process.stop()

    def _look_after(self, seat: Seat) -> None:
        now = time.monotonic()
        if seat.process is None:
            if now >= seat.start_at:
                brief = Brief(seat=seat.number, suspects=self._deaths.suspects())
                seat.process, seat.started_at = self._spawn(self._settings, brief), now
            return
        if seat.process.is_running():
            self._look_for_life(seat.process)
            self._retire_if_due(seat, seat.process)
            return
        code = seat.process.wait(LEAVE_S)
        self._remember(seat.process)
        ended, seat.process = seat.process, None
        if ended.error is not None and not ended.error.retriable:
            raise ended.error
        if seat.is_retiring and code in (0, FORCED):
            seat.is_retiring = False
            self._past.restarts["max-tasks"] += 1
            return
        seat.is_retiring = False
        self._look_for_killers(ended)
        self._bid_farewell(ended)
        self._plan_restart(seat, ended, code)

    def _retire_if_due(self, seat: Seat, process: WorkerProcess) -> None:
        """Replaces a process that has settled enough, when all the others are at work in their group."""
        most = self._settings.max_tasks
        if most is None or process.settled < most:
            return
        if all(one.process is not None and one.process.members and not one.is_retiring for one in self._seats):
            seat.is_retiring = True
            process.stop()

    def _look_for_killers(self, ended: WorkerProcess) -> None:
        """Before the partitions of the dead are given to the others, they know what not to run beside anything."""
        if ended.error is not None:
            return
        self._deaths.forget(self._stats().committed)
        suspects = self._deaths.add(ended.ran)
        if suspects:
            logger.warning("%d records ran at two deaths or more; each of them runs alone now", len(suspects))
            for seat in self._seats:
                if seat.process is not None:
                    seat.process.suspect(suspects)

    def _bid_farewell(self, ended: WorkerProcess) -> None:
        members = ended.members
        if members and can_leave(self._settings.clients.of("consumer", "work")):
            self._farewell.say(ended.group, members)

    def _look_for_life(self, process: WorkerProcess) -> None:
        """Kills a process that says nothing: it is stopped, or native code holds all of it up."""
        silent_s = time.monotonic() - process.heard_at
        if process.ready.is_set() and silent_s > self._settings.most_blocked_s + SILENCE_S:
            logger.warning("worker %d has said nothing for %.0f s and is killed", process.pid, silent_s)
            process.kill()

    def _note_pause(self) -> None:
        """After a pause of this process itself, what the others said meanwhile is still to be read."""
        now = time.monotonic()
        if now - self._looked_at > SILENCE_S:
            for seat in self._seats:
                if seat.process is not None:
                    seat.process.heard_at = now
        self._looked_at = now

    def _plan_restart(self, seat: Seat, ended: WorkerProcess, code: int | None) -> None:
        now = time.monotonic()
        reason = _reason(ended, code)
        seat.deaths = 1 if now - seat.started_at >= STABLE_S else seat.deaths + 1
        seat.never_ready = 0 if ended.ready.is_set() else seat.never_ready + 1
        was_idle = now - seat.started_at >= STABLE_S and not ended.ran
        seat.fruitless = 0 if ended.settled or was_idle else seat.fruitless + 1
        if seat.never_ready >= STARTS_WITHOUT_READY:
            raise WorkError(
                f"{STARTS_WITHOUT_READY} worker processes in a row ended before they could begin "
                f"({reason if ended.error is None else ended.error})",
                "their standard error says why",
            )
        if seat.fruitless >= FRUITLESS_DEATHS:
            raise WorkError(
                f"{FRUITLESS_DEATHS} worker processes in a row ended before one record was settled ({reason})",
                "their standard error says why; nothing unfinished was committed",
            )
        wait_s = 0.0 if seat.deaths == 1 else min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (seat.deaths - 2))
        seat.start_at = now + wait_s
        self._past.restarts[reason] += 1
        logger.warning("worker %d ended (%s); another one starts in %.1f s", ended.pid, reason, wait_s)

    def _remember(self, process: WorkerProcess) -> None:
        for topic, stats in process.stats.items():
            self._past.processed.setdefault(topic, Counter()).update(stats["outcomes"])
            _merge(self._past.committed.setdefault(topic, {}), stats["committed"])

    def _stats(self) -> WorkStats:
        processed = {topic: Counter(counts) for topic, counts in self._past.processed.items()}
        committed = {topic: dict(places) for topic, places in self._past.committed.items()}
        now: list[dict[str, Any]] = []
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for process in processes:
            for topic, stats in process.stats.items():
                processed.setdefault(topic, Counter()).update(stats["outcomes"])
                _merge(committed.setdefault(topic, {}), stats["committed"])
                now.append(stats)
        return WorkStats(
            workers=sum(process.is_running() for process in processes),
            running=sum(stats["running"] for stats in now),
            in_flight=sum(stats["in_flight"] for stats in now),
            processed=processed,
            dead_letters=sum(counts["dead"] for counts in processed.values()),
            parked=tuple(name for stats in now for name in stats["parked_named"]),
            restarts=dict(self._past.restarts),
            committed=committed,
        )


def _merge(places: dict[int, int], reported: Mapping[str, int]) -> None:
    """Keeps the furthest commit of each partition: an old report may come from its owner before."""
    for partition, offset in reported.items():
        places[int(partition)] = max(offset, places.get(int(partition), offset))


def _reason(ended: WorkerProcess, code: int | None) -> str:
    if ended.error is not None:
        return type(ended.error).__name__
    if code == BLOCKED:
        return "blocked"
    if ended.last_words:
        return ended.last_words
    return "no exit" if code is None else ending(code)
