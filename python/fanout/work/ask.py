"""What an application says of itself, asked of a process of its own before anything is started."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fanout.errors import ConfigError, NotFinishedError

from .process import ending, hear_out, worker_command
from .report import read_report, to_error

if TYPE_CHECKING:
    from fanout.config.work import WorkSettings

__all__ = ["ask_about_app"]

logger = logging.getLogger("fanout.work")

DESCRIBE_S = 60.0
"""How long an import may take."""

PLACE_S = 2.0
"""How long an import that takes too long may take to say where it stands."""

GLANCE_S = 0.02
"""How late its end is seen."""

NEVER = threading.Event()
"""Is not set: whoever asks waits for the answer."""


def ask_about_app(settings: WorkSettings, given_up: threading.Event = NEVER) -> dict[str, Any]:
    """Name and handlers of the app, as a worker would find them. Raises what its import raised.

    A process of its own imports it: the application's code never runs beside the lanes of a drain. That process ends
    with this one, however this one ends, and once `given_up` is set, which is a NotFinishedError. An import that ends
    its process, or does not end, is a ConfigError.
    """
    process = subprocess.Popen(
        [*worker_command(), "--describe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    )
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process was started with pipes")
    heard: list[dict[str, Any]] = []
    reader = threading.Thread(target=_read, args=[process.stdout, heard], name="description", daemon=True)
    reader.start()
    try:
        _tell(process.stdin, settings.to_json())
        code = _wait(process, DESCRIBE_S, given_up)
        _tell(process.stdin, None)
        if code is None:
            _wait(process, PLACE_S, given_up)
    finally:
        process.kill()
        process.wait()
    hear_out(reader, process.stdout)
    if given_up.is_set():
        raise NotFinishedError(f"{settings.app}: its import was given up")
    return _answer(settings, heard, code)


def _answer(settings: WorkSettings, heard: list[dict[str, Any]], code: int | None) -> dict[str, Any]:
    for report in heard:
        if report["kind"] == "failed":
            raise to_error(report)
        if report["kind"] == "app":
            return report
    folder = Path(settings.app_dir).expanduser().resolve()
    if code is not None:
        raise ConfigError(
            settings.app,
            f"importing it in {folder} ended the process ({ending(code)}): "
            f"`python -c 'import {settings.app.partition(':')[0]}'` there does the same, and an import must not",
        )
    place = "".join(f", it stands at {report['place']}" for report in heard if report["kind"] == "stands")
    raise ConfigError(
        settings.app,
        f"importing it in {folder} took longer than {DESCRIBE_S:g} s{place}: "
        "what has to be waited for belongs into a lifespan (`@app.lifespan`)",
    )


def _wait(process: subprocess.Popen[bytes], timeout_s: float, given_up: threading.Event) -> int | None:
    until = time.monotonic() + timeout_s
    while (code := process.poll()) is None and time.monotonic() < until:
        if given_up.wait(GLANCE_S):
            break
    return code


def _tell(stdin: IO[bytes], line: bytes | None) -> None:
    """Writes a line, or with None the end."""
    try:
        if line is None:
            stdin.close()
        else:
            stdin.write(line)
            stdin.flush()
    except BrokenPipeError:
        logger.debug("the process that was asked has ended already")


def _read(stdout: IO[bytes], heard: list[dict[str, Any]]) -> None:
    with stdout:
        heard.extend(read_report(line) for line in stdout if line.endswith(b"\n"))  # else its end cut it off
