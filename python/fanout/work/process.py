"""One worker process, seen from its supervisor."""

from __future__ import annotations

import json
import logging
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from .board import read_board
from .report import read_report, relay_log, to_error

if TYPE_CHECKING:
    from fanout.config.work import WorkSettings
    from fanout.errors import FanoutError

__all__ = ["BLOCKED", "FORCED", "Brief", "Place", "Suspect", "WorkerProcess", "ending", "worker_command"]

logger = logging.getLogger("fanout.work")

READ_S = 1.0
"""How long the last reports of a process that ended are waited for, if there are none to be read."""

MOST_READ_S = 30.0
"""The same while there are: what was forked might go on for ever."""

SETTLED = ("done", "skipped", "tombstone", "dead", "repeated")

Place = tuple[str, int, int]
"""Topic, partition, offset."""

Suspect = tuple[str, int, int, int]
"""A record's place, and how many processes died while it ran."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brief:
    """What one process is told beside the settings: the number of its seat, and which records must run alone."""

    seat: int = 0
    suspects: Sequence[Suspect] = ()

    def to_json(self) -> bytes:
        """One line that `from_json` reads back."""
        return json.dumps({"seat": self.seat, "suspects": self.suspects}).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> Brief:
        """What `to_json` wrote."""
        document = json.loads(line)
        suspects = [(topic, partition, offset, deaths) for topic, partition, offset, deaths in document["suspects"]]
        return cls(seat=document["seat"], suspects=suspects)


FORCED = 137
"""Exit code of a worker whose handlers did not end in their time."""

BLOCKED = 70
"""Exit code of a worker whose event loop stood still for too long."""


FIRST = Brief()


class WorkerProcess:
    """A running worker. It ends when it is told to, and when this process ends."""

    def __init__(self, settings: WorkSettings, brief: Brief = FIRST) -> None:
        self._seat = brief.seat
        self._board = tempfile.TemporaryFile()  # noqa: SIM115  closed once it is read
        board = self._board.fileno()
        # A process group of its own, so that Ctrl-C reaches the supervisor alone and the stop is an ordered one.
        self._process = subprocess.Popen(
            [*worker_command(), str(board)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[board],
            process_group=0,
        )
        self.pid = self._process.pid
        self.ready = threading.Event()
        self.stats: dict[str, dict[str, Any]] = {}
        self.heard_at = time.monotonic()
        """When it last said that it lives; before it is ready nothing is expected of it."""
        self.ran: list[Place] = []
        """What ran when it ended; known after `wait`."""
        self.members: list[str] = []
        """What its group knows it by: an id a handler, and older ones."""
        self.group = ""
        """The group it reads in, once it is ready."""
        self.last_words = ""
        """What it said of an end it did not choose, if it could."""
        self._rows: list[tuple[str, int]] = []
        self.error: FanoutError | None = None
        self._write(settings.to_json() + brief.to_json())
        self._reader = threading.Thread(target=self._read, name=f"worker-{self.pid}", daemon=True)
        self._reader.start()

    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    @property
    def settled(self) -> int:
        """How many records it is done with."""
        counts = [stats["outcomes"] for stats in self.stats.values()]
        return sum(one.get(outcome, 0) for one in counts for outcome in SETTLED)

    def suspect(self, suspects: Sequence[Suspect]) -> None:
        """Has these records run alone from now on."""
        self._write(Brief(seat=self._seat, suspects=suspects).to_json())

    def stop(self) -> None:
        """Asks for a clean end; see `wait`."""
        self._write(b"\n")

    def kill(self) -> None:
        """Ends it at once."""
        if self.is_running():
            self._process.kill()

    def wait(self, timeout_s: float) -> int | None:
        """The exit code once its last report is read; None while it runs after `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        if self._process.stdout is not None:
            hear_out(self._reader, self._process.stdout)
        if not self._board.closed:
            self.ran = read_board(self._board.fileno(), self._rows)
            self._board.close()
        if self._process.stdin is not None:
            self._close(self._process.stdin)
        return code

    def _write(self, line: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            logger.debug("worker %d has ended already", self.pid)

    @staticmethod
    def _close(stdin: IO[bytes]) -> None:
        try:
            stdin.close()
        except BrokenPipeError:
            logger.debug("what was left to tell a worker was not read")

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            raise TypeError("the process was started with a pipe")
        with stdout:
            for line in stdout:
                if line.endswith(b"\n"):  # else its end cut it off
                    self._take(read_report(line))

    def _take(self, report: dict[str, Any]) -> None:
        self.heard_at = time.monotonic()
        match report["kind"]:
            case "ready":
                self._rows = [(topic, slots) for topic, slots in report["rows"]]
                self.group = report["group"]
                self.ready.set()
            case "stats":
                self.stats = report["handlers"]
            case "failed":
                self.error = to_error(report)
            case "member":
                self.members.append(report["id"])
            case "broke":
                self.last_words = report["words"]
            case "log":
                relay_log(report, f"worker {self.pid}")


def hear_out(reader: threading.Thread, pipe: IO[bytes]) -> None:
    """Waits until `reader` has read what a process said before it ended.

    A process that was forked may hold the pipe open for ever, so its end is not waited for. Time alone does not tell
    that nothing comes: on a machine that stood still, the reader may not have had its turn.
    """
    until = time.monotonic() + MOST_READ_S
    while reader.is_alive():
        reader.join(READ_S)
        if not _has_more(pipe) or time.monotonic() > until:
            return


def _has_more(pipe: IO[bytes]) -> bool:
    """Whether there is something to read, be it the end."""
    look = select.poll()
    try:
        look.register(pipe, select.POLLIN)
    except ValueError:  # closed: the end was read
        return False
    return bool(look.poll(0))


def ending(code: int) -> str:
    """How a process ended: the signal, or the exit code."""
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def worker_command() -> list[str]:
    """Starts a worker that logs as much as this process does."""
    return [sys.executable, "-m", "fanout.work.child", str(logger.getEffectiveLevel())]
