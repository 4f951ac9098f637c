"""
The application the worker tests run, in the processes that `fanout work` starts.

`FANOUT_TEST_APP` is JSON: `topic`, `dlq`, `log` (a file), `behaviour` and what it needs. Each attempt appends
`begin PID KEY SEQUENCE` to the log, and `end …` when it is done; appended lines survive a SIGKILL.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from fanout import App, Backoff, Message, Reject

TOLD: dict[str, Any] = json.loads(os.environ["FANOUT_TEST_APP"])
LOG = os.open(TOLD["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
WORKER = os.getppid() if "fanout.work.alone" in sys.orig_argv else os.getpid()
"""Whose records these are: a process in which suspects run alone is its worker's, and dies with it."""

app = App("workers")


def note(kind: str, msg: Message) -> None:
    """Appends one line in one write."""
    key = "-" if msg.key is None else msg.key.decode()
    os.write(LOG, f"{kind} {WORKER} {key} {int(msg.raw or b'0')} {msg.id} {msg.attempt}\n".encode())


async def nap(_value: bytes, msg: Message) -> None:
    """Takes a while."""
    note("begin", msg)
    await asyncio.sleep(random.uniform(*TOLD["sleep_s"]))
    note("end", msg)


async def poison(value: bytes, msg: Message) -> None:
    """Cannot handle every 500th record, and refuses the next."""
    note("begin", msg)
    if int(value) % 500 == 0:
        raise ValueError(f"poison {value.decode()}")
    if int(value) % 500 == 1:
        raise Reject("refused")
    note("end", msg)


async def block(value: bytes, msg: Message) -> None:
    """Blocks the event loop of the first process that meets record 0, for longer than any test lasts."""
    note("begin", msg)
    if int(value) == 0 and is_first():
        time.sleep(600)  # noqa: ASYNC251  the very fault that is tested
    note("end", msg)


def is_first(what: str = "blocked") -> bool:
    """True once, whichever process asks."""
    try:
        os.close(os.open(f"{TOLD['log']}.{what}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def plain(_value: bytes, msg: Message) -> None:
    """Runs in a thread."""
    note("begin", msg)
    time.sleep(TOLD["sleep_s"][0])
    note("end", msg)


async def leave(value: bytes, msg: Message) -> None:
    """Tries to end its worker, once a record."""
    note("begin", msg)
    if msg.attempt == 1 and int(value) % 10 == 0:
        raise SystemExit(3)
    note("end", msg)


class Gate:
    """Opens, for good, when so many stand before it as records may be handled at once."""

    def __init__(self, width: int) -> None:
        self._missing = width
        self._open = asyncio.Event()

    async def pass_through(self) -> None:
        """Waits for the others. Those that come later find it open."""
        self._missing -= 1
        if self._missing <= 0:
            self._open.set()
        await self._open.wait()


GATE = Gate(TOLD.get("concurrency", 0))


async def gather(_value: bytes, msg: Message) -> None:
    """Ends once as many records are handled at once as may be."""
    note("begin", msg)
    await GATE.pass_through()
    note("end", msg)


async def cursed(value: bytes, msg: Message) -> None:
    """Never manages the records it was told of, and is held up by others until a file appears."""
    note("begin", msg)
    await asyncio.sleep(random.uniform(*TOLD["sleep_s"]))
    while int(value) in SLOW and not LET_GO.exists():  # noqa: ASYNC110, ASYNC240  another process makes it
        await asyncio.sleep(0.05)
    if int(value) in CURSED:
        raise LookupError(f"cursed {value.decode()}")
    note("end", msg)


CURSED = frozenset(TOLD.get("cursed", ()))
SLOW = frozenset(TOLD.get("slow", ()))
LET_GO = Path(f"{TOLD['log']}.let-go")


async def sink(_value: bytes, msg: Message) -> None:
    """Applies each record to its key's row: once whatever happens, and once more for every repeat beside it."""
    note("begin", msg)
    await asyncio.sleep(random.uniform(*TOLD["sleep_s"]))
    rows = store()
    with rows:
        rows.execute(APPLY, {"key": msg.key, "offset": msg.position.offset})
        rows.execute("UPDATE effects SET naive = naive + 1 WHERE key = ?", [msg.key])
    note("end", msg)


APPLY = """
    INSERT INTO effects (key, last_offset, applied, naive) VALUES (:key, :offset, 1, 0)
    ON CONFLICT DO UPDATE SET last_offset = :offset, applied = applied + 1 WHERE last_offset < :offset
"""


@functools.cache
def store() -> sqlite3.Connection:
    """The effects of all processes, in one file."""
    rows = sqlite3.connect(TOLD["effects"], timeout=60, isolation_level="IMMEDIATE")
    rows.execute("PRAGMA synchronous = OFF")
    return rows


async def always(value: bytes, msg: Message) -> None:
    """Always fails for every `every`th record, and for the one behind it until its last attempt."""
    note("begin", msg)
    number, every = int(value), TOLD["every"]
    if number % every == 0 or (number % every == 1 and msg.attempt < 3):
        raise ConnectionError(f"no answer to {number}")
    note("end", msg)


async def until_mended(value: bytes, msg: Message) -> None:
    """Refuses the records named until somebody has made a file."""
    note("begin", msg)
    if int(value) in TOLD["refused"] and not MENDED.exists():  # noqa: ASYNC240  quick
        raise Reject("not mended yet")
    note("end", msg)


MENDED = Path(f"{TOLD['log']}.mended")


async def misbehave(value: bytes, msg: Message) -> None:
    """Does what `faults` says of its number; what takes the process with it, the first time only."""
    note("begin", msg)
    await asyncio.sleep(random.uniform(*TOLD["sleep_s"]))
    match TOLD["faults"].get(value.decode()):
        case "never-returns":
            await asyncio.Event().wait()
        case "base-exception":
            raise Unexpected
        case "exit":
            sys.exit(3)
        case "blocks" if is_first("blocked"):
            time.sleep(600)  # noqa: ASYNC251  the very fault that is tested
        case "os-exit" if is_first("left"):
            os._exit(9)
        case "segv" if is_first("crashed"):
            os.kill(os.getpid(), signal.SIGSEGV)
    note("end", msg)


class Unexpected(BaseException):
    """Not an `Exception`, as what ends a program is not."""


async def kill(value: bytes, msg: Message) -> None:
    """Record 100 kills its process."""
    note("begin", msg)
    await asyncio.sleep(0.05)
    if int(value) == 100:
        os.kill(os.getpid(), signal.SIGSEGV)
    note("end", msg)


BEHAVIOURS = {
    each.__name__: each
    for each in (
        always,
        block,
        cursed,
        gather,
        kill,
        leave,
        misbehave,
        nap,
        plain,
        poison,
        sink,
        until_mended,
    )
}

app.handler(
    TOLD["topic"],
    dlq=TOLD.get("dlq"),
    concurrency=TOLD.get("concurrency", 50),
    timeout=TOLD.get("timeout"),
    retry=Backoff(base=TOLD.get("wait_s", 0.02), max=TOLD.get("wait_s", 0.02), attempts=3),
    order_by=TOLD.get("order_by", "key"),
    retry_topic=TOLD.get("retry_topic"),
    on_dead_letter=TOLD.get("on_dead_letter", "go_on"),
)(BEHAVIOURS[TOLD["behaviour"]])
