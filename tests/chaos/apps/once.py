"""
Handlers with an effect that can be counted, and one that a sink takes once.

`ONCE_TOPIC`, `ONCE_NAP_S`, `ONCE_LOG` (a line `begin|end PID ID` each, which survives a kill), `ONCE_SINK` (SQLite),
`ONCE_KEY` (what makes two records the same).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3

from fanout import App, Message

TOPIC = os.environ.get("ONCE_TOPIC", "unset")
NAP_S = float(os.environ.get("ONCE_NAP_S", "0"))
LOG = os.open(os.environ.get("ONCE_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
SINK = sqlite3.connect(os.environ.get("ONCE_SINK", ":memory:"), timeout=60, isolation_level=None)

SINK.execute("PRAGMA synchronous = OFF")  # it outlives a kill all the same, and blocks the event loop for less

app = App("once")


@app.handler(TOPIC, concurrency=1_000, dlq=None, key=os.environ.get("ONCE_KEY", "origin"))
async def note(_value: bytes, message: Message) -> None:
    """Naps, then leaves both effects."""
    os.write(LOG, f"begin {os.getpid()} {message.id}\n".encode())
    await asyncio.sleep(NAP_S)
    os.write(LOG, f"end {os.getpid()} {message.id}\n".encode())
    SINK.execute("INSERT INTO effects (partition, offset) VALUES (?, ?) ON CONFLICT DO NOTHING", message.position)
