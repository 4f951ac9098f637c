"""
Keeps the processes and the folder of one throw-away cluster, and ends both when their owner is gone.

A broker must not outlive the program that started it, even if that program is killed with SIGKILL and runs
no clean-up of its own. So a keeper stands between the two: it is the brokers' parent, the owner talks to it
over its standard input, and the end of that input, or of the owner, is the order to clean up. Ctrl-C does
not reach it (it leads a process group of its own), so the owner decides how to stop.

Started by file name with `python -I -S`: it imports nothing but the standard library, and no fanout.

Requests and answers are one JSON object a line; an answer bears the number of its request:

    {"id": 1, "do": "start", "name": "node-1", "argv": ["java", …], "out": "/path"}   → {"id": 1, "pid": 4711}
    {"id": 2, "do": "signal", "name": "node-1", "signal": 9}                          → {"id": 2}
    {"id": 3, "do": "poll", "name": "node-1"}                                         → {"id": 3, "code": null}

`out` takes the standard output, and the errors too unless `err` names another file. `code` is null while it runs.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LOOK_FOR_OWNER_S = 0.5


def main() -> None:
    """`keeper.py FOLDER`: serves requests until the input ends or the owner is gone, then removes everything."""
    folder = Path(sys.argv[1])
    # A handler, not SIG_IGN: the brokers would inherit that, and SIGTERM could not stop them cleanly.
    for unheeded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(unheeded, lambda _signum, _frame: None)
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for request in requests(owner=os.getppid()):
            answer = {"id": request["id"], **serve(children, request)}
            os.write(1, json.dumps(answer).encode() + b"\n")
    finally:
        clean_up(children, folder)


def requests(owner: int) -> Iterator[dict[str, Any]]:
    """Requests until the input ends, or the owner does: a process it forked may hold the pipe open after it."""
    pending = b""
    while True:
        ready, _, _ = select.select([0], [], [], LOOK_FOR_OWNER_S)
        read = os.read(0, 65536) if ready else b""
        if os.getppid() != owner or (ready and not read):
            return
        *lines, pending = (pending + read).split(b"\n")
        yield from map(json.loads, lines)


def serve(children: dict[str, subprocess.Popen[bytes]], request: dict[str, Any]) -> dict[str, Any]:
    """Does one request and returns its answer."""
    match request["do"]:
        case "start":
            with Path(request["out"]).open("ab") as out, Path(request.get("err", request["out"])).open("ab") as err:
                child = subprocess.Popen(
                    request["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    preexec_fn=die_with_parent(),  # noqa: PLW1509 (the keeper has one thread)
                )
            children[request["name"]] = child
            return {"pid": child.pid}
        case "signal":
            children[request["name"]].send_signal(request["signal"])
            return {}
        case "poll":
            return {"code": children[request["name"]].poll()}
        case unknown:
            raise ValueError(unknown)


def die_with_parent() -> functools.partial[int] | None:
    """What a child calls before exec on Linux, so that it dies even if this keeper is killed.

    The kernel sends the signal when the *thread* that forked ends; the keeper has one thread, so that is its end.
    """
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def clean_up(children: dict[str, subprocess.Popen[bytes]], folder: Path) -> None:
    """Kills every child, stopped ones too, and removes the folder."""
    for child in children.values():
        child.kill()
    for child in children.values():
        child.wait()
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
