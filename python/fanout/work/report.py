"""
What a worker process tells its supervisor: one JSON object a line.

Through the standard library's JSON, which also carries text that is no UTF-8: handlers raise what they like.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any

from fanout import errors
from fanout.errors import FanoutError, WorkError

__all__ = ["ReportedLogs", "Reporter", "read_report", "relay_log", "take_stdout", "to_error"]


class Reporter:
    """Writes reports to the pipe. A supervisor that is gone is no error here: the other pipe tells of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A long line goes out in pieces, and more threads than one report.
        self._lock = threading.Lock()

    def send(self, kind: str, **fields: Any) -> None:
        """One report. Blocks while the pipe is full: the supervisor always reads."""
        try:
            line = memoryview(json.dumps({"kind": kind, **fields}).encode() + b"\n")
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:
            return

    def failed(self, error: FanoutError) -> None:
        """Reports what ends this process, so that the supervisor can raise the same."""
        self.send("failed", error=type(error).__name__, arguments=list(error.args))


class ReportedLogs(logging.Handler):
    """Sends log records to the supervisor, so that one place renders what all processes say."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        """One report a record, its traceback in the text."""
        self._reporter.send("log", logger=record.name, level=record.levelno, text=self.format(record))


def take_stdout() -> Reporter:
    """Keeps the pipe behind standard output for reports, and sends what handlers print to standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return Reporter(descriptor)


def read_report(line: bytes) -> dict[str, Any]:
    """A report as it was sent."""
    report: dict[str, Any] = json.loads(line)
    return report


def relay_log(report: Mapping[str, Any], who: str) -> None:
    """Logs here what another process said."""
    logging.getLogger(report["logger"]).log(report["level"], "%s", f"{who}: {report['text']}")


def to_error(report: dict[str, Any]) -> FanoutError:
    """The error a `failed` report stands for."""
    kind = getattr(errors, report["error"], None)
    if not (isinstance(kind, type) and issubclass(kind, FanoutError)):
        return WorkError(f"a worker ended with {report['error']}", str(report["arguments"]))
    return kind(*report["arguments"])
