"""
Workers that follow their source: for who is writing an application.

A change is tried in a process of its own first. Only an app that can be imported, and has all its topics, takes the
place of the one that runs. That may take a minute, and neither the work nor a stop waits for it.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fanout.errors import ConfigError, FanoutError

if TYPE_CHECKING:
    from .check import Checked
    from .supervisor import WorkStats

__all__ = ["Changes", "Crew", "Reloading"]

logger = logging.getLogger("fanout.work")

GIVE_UP_S = 1.0
"""How long the end of an import is waited for. It is killed: only a broker that is asked after it takes longer."""

State = Literal["new", "up", "down"]
"""Of the workers: not started yet, started, stopped by what went wrong."""


class Crew(Protocol):
    """What is used of a `Supervisor`."""

    def check(self) -> Checked: ...
    def start(self) -> None: ...
    def poll(self) -> WorkStats: ...
    def stats(self) -> WorkStats: ...
    def stop(self) -> WorkStats: ...


class Changes:
    """Notes that Python files under a folder change. Raises ConfigError where the package for it is missing."""

    def __init__(self, folder: str) -> None:
        try:
            self._watchfiles: Any = importlib.import_module("watchfiles")
        except ImportError as error:
            raise ConfigError("--reload", "needs watchfiles: pip install 'kafka-fanout[reload]'") from error
        self._folder = Path(folder).expanduser().resolve()
        self._seen = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="changes", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._end.set()
        self._thread.join()

    def take(self) -> bool:
        """Whether something has changed since the last call."""
        seen = self._seen.is_set()
        self._seen.clear()
        return seen

    def _watch(self) -> None:
        python = self._watchfiles.PythonFilter()
        for _ in self._watchfiles.watch(self._folder, watch_filter=python, stop_event=self._end, rust_timeout=200):
            self._seen.set()


class Watcher(Protocol):
    """What is used of `Changes`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def take(self) -> bool: ...


class Trial:
    """A crew that is looked at on a thread of its own, until it is known whether it works or that is given up."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self._found: Future[Checked] = Future()
        # A daemon, for a broker that does not answer may hold it for longer than a command may take to end.
        self._thread = threading.Thread(target=self._look, name="trial", daemon=True)
        self._thread.start()

    def is_over(self) -> bool:
        """Whether `result` knows."""
        return self._found.done()

    def result(self) -> Checked:
        """What the crew was found to run. Raises what is wrong with it."""
        return self._found.result()

    def give_up(self) -> None:
        """Has the import ended, and its process with it. Returns at once; see `wait`."""
        self.crew.stop()

    def wait(self) -> None:
        """Waits for the end, or for as long as it may take."""
        self._thread.join(GIVE_UP_S)

    def _look(self) -> None:
        try:
            self._found.set_result(self.crew.check())
        except BaseException as error:  # noqa: BLE001  raised by `result`
            self._found.set_exception(error)


class Reloading:
    """A crew that is replaced by a new one after each change that works. Its figures begin anew with each."""

    def __init__(self, make: Callable[[], Crew], changes: Watcher) -> None:
        self._make = make
        self._changes = changes
        self._crew = make()
        self._trial: Trial | None = None
        self._state: State = "new"

    def check(self) -> Checked:
        """As the crew's."""
        return self._crew.check()

    def start(self) -> None:
        """Starts the workers and looks for changes."""
        self._changes.start()
        self._begin()

    def poll(self) -> WorkStats:
        """How the work stands. Takes a change in; what stops the workers is told, and the next change waited for."""
        if self._changes.take():
            self._try_anew()
        if self._trial is not None and self._trial.is_over():
            self._judge(self._trial)
        elif self._state == "new":
            self._begin()
        if self._state == "up":
            try:
                return self._crew.poll()
            except FanoutError as error:
                self._state = "down"
                logger.error("the workers stopped: %s; they start again after the next change", error)  # noqa: TRY400
        return self._crew.stats()

    def stats(self) -> WorkStats:
        """How the work stands."""
        return self._crew.stats()

    def stop(self) -> WorkStats:
        """Ends the workers, and looks for no more changes. A change that is being tried is given up."""
        self._changes.stop()
        if self._trial is None:
            return self._crew.stop()
        self._trial.give_up()
        try:
            return self._crew.stop()
        finally:
            self._trial.wait()

    def _begin(self) -> None:
        self._crew.start()
        self._state = "up"

    def _try_anew(self) -> None:
        """Tries the source as it is now; what was being tried before is no longer."""
        if self._trial is not None:
            self._trial.give_up()
        self._trial = Trial(self._make())

    def _judge(self, trial: Trial) -> None:
        """Ends the workers, if the new ones work. Those start at the next poll: a stop may have come meanwhile."""
        self._trial = None
        try:
            trial.result()
        except FanoutError as error:
            kept = "there are no workers" if self._state == "down" else "the workers go on with the source as it was"
            logger.error("changed, but it does not work: %s; %s", error, kept)  # noqa: TRY400
            return
        logger.warning("changed: the workers are replaced")
        try:
            self._crew.stop()
        except FanoutError as error:
            logger.warning("the workers before were not stopped cleanly: %s", error)
        self._crew, self._state = trial.crew, "new"
