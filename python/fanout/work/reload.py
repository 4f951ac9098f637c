"""
Workers that follow their source: for who is writing an application.

A change is tried in a process of its own first. Only an app that can be imported, and has all its topics, takes the
place of the one that runs.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fanout.errors import ConfigError, FanoutError

if TYPE_CHECKING:
    from .check import Checked
    from .supervisor import WorkStats

__all__ = ["Changes", "Crew", "Reloading"]

logger = logging.getLogger("fanout.work")


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


class Reloading:
    """A crew that is replaced by a new one after each change that works. Its figures begin anew with each."""

    def __init__(self, make: Callable[[], Crew], changes: Watcher) -> None:
        self._make = make
        self._changes = changes
        self._crew = make()
        self._is_down = False

    def check(self) -> Checked:
        """As the crew's."""
        return self._crew.check()

    def start(self) -> None:
        """Starts the workers and looks for changes."""
        self._changes.start()
        self._crew.start()

    def poll(self) -> WorkStats:
        """How the work stands. Takes a change in; what stops the workers is told, and the next change waited for."""
        if self._changes.take():
            self._renew()
        if not self._is_down:
            try:
                return self._crew.poll()
            except FanoutError as error:
                self._is_down = True
                logger.error("the workers stopped: %s; they start again after the next change", error)  # noqa: TRY400
        return self._crew.stats()

    def stats(self) -> WorkStats:
        """How the work stands."""
        return self._crew.stats()

    def stop(self) -> WorkStats:
        """Ends the workers, and looks for no more changes."""
        self._changes.stop()
        return self._crew.stop()

    def _renew(self) -> None:
        fresh = self._make()
        try:
            fresh.check()
        except FanoutError as error:
            kept = "there are no workers" if self._is_down else "the workers go on with the source as it was"
            logger.error("changed, but it does not work: %s; %s", error, kept)  # noqa: TRY400
            return
        logger.warning("changed: the workers are replaced")
        try:
            self._crew.stop()
        except FanoutError as error:
            logger.warning("the workers before were not stopped cleanly: %s", error)
        self._crew, self._is_down = fresh, False
        fresh.start()
