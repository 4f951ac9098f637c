"""Running `fanout` as its users do: a process of its own, arguments in, exit code and output out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Ran", "Running", "fanout"]

LATEST_S = 300.0
"""For what takes seconds: where the time is what is proven, a test says its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A command that ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What it printed with `-o json`."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def require(self, code: int = 0) -> Self:
        """Raises AssertionError, with everything the command said, unless it ended with `code`."""
        if self.code != code:
            said = f"{self.out}\n{self.err}".strip()
            raise AssertionError(f"fanout {' '.join(self.arguments)}\nended with {self.code}, not {code}:\n{said}")
        return self


class Running:
    """A command under way. Leaving the block kills it if it still runs: nothing survives a failed test."""

    def __init__(self, bootstrap: str, *arguments: str) -> None:
        self._arguments = ("-b", bootstrap, *arguments)
        self._files = ExitStack()
        # Files, not pipes: nobody reads while it runs, and a full pipe would stop it.
        self._out = self._files.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115  closed with the rest
        self._err = self._files.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fanout", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._files.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal and returns at once."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = LATEST_S) -> Ran:
        """Waits for the end. Raises AssertionError with what it said so far if it does not come in time."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout_s:g} s; it said:\n{self._said(self._err)}") from None
        return Ran(arguments=self._arguments, code=code, out=self._said(self._out), err=self._said(self._err))

    def said(self) -> str:
        """What it has written to standard error so far."""
        # Not by seeking: the command writes at the very position that would be moved.
        descriptor = self._err.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    @staticmethod
    def _said(file: IO[str]) -> str:
        file.seek(0)
        return file.read()


def fanout(bootstrap: str, *arguments: str, timeout_s: float = LATEST_S) -> Ran:
    """Runs `fanout -b BOOTSTRAP ARGUMENTS…` to its end."""
    with Running(bootstrap, *arguments) as running:
        return running.wait(timeout_s)
