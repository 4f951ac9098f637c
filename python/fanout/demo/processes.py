"""The owner's end of `keeper.py`: processes that live no longer than the program that asked for them."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Keeper"]


class Keeper:
    """Processes and the folder they work in; both are gone when `end` returns or the owner is dead. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        script = Path(__file__).with_name("keeper.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends one request and returns its answer. Raises RuntimeError once the keeper has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        number = next(self._numbers)
        with self._lock:
            if stdin is None or stdout is None or stdin.closed or self._process.poll() is not None:
                raise RuntimeError("the throw-away cluster has ended")
            stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
            stdin.flush()
            while line := stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer["id"] == number:  # an older one belongs to a question that Ctrl-C cut off
                    return answer
        raise RuntimeError("the keeper of the throw-away cluster has died; its error is on stderr")

    def run(self, argv: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, both outputs captured. Raises subprocess.TimeoutExpired."""
        name = f"run-{next(self._numbers)}"
        out, err = self._folder / f"{name}.out", self._folder / f"{name}.err"
        deadline = time.monotonic() + timeout_s
        self.ask(do="start", name=name, argv=list(argv), out=str(out), err=str(err))
        while (code := self.ask(do="poll", name=name)["code"]) is None:
            if time.monotonic() > deadline:
                self.ask(do="signal", name=name, signal=9)
                raise subprocess.TimeoutExpired(argv, timeout_s, out.read_bytes(), err.read_bytes())
            time.sleep(0.02)
        done = subprocess.CompletedProcess(argv, code, out.read_text(), err.read_text())
        out.unlink()
        err.unlink()
        return done

    def end(self) -> None:
        """Kills every process and removes the folder; returns when both are gone."""
        # Closing the pipe is the order: it holds whatever state an interrupt left the conversation in.
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # a keeper that was killed could not
