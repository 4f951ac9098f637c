"""
An application of every kind of handler, made by a function, for the processes that `fanout work --factory` starts.

`FANOUT_TEST_APP` is JSON: `clicks`, `orders`, `dead` (topics) and `log` (a file). Whole lines are appended to the log:
`opened PID`, `closed PID`, `batch PID VALUE…`, `order PID VALUE`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

from fanout import App, Backoff, Batch, Message
from fanout.app import CallNext


def make() -> App:
    """The app."""
    told: dict[str, Any] = json.loads(os.environ["FANOUT_TEST_APP"])
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    app = App("handlers")

    def note(*words: object) -> None:
        os.write(log, f"{' '.join(map(str, words))}\n".encode())

    @app.lifespan
    async def opened(app: App) -> AsyncIterator[None]:
        app.state.pid = os.getpid()
        note("opened", app.state.pid)
        yield
        note("closed", app.state.pid)

    @app.middleware
    async def counted(call_next: CallNext, taken: Message | Batch[bytes]) -> Any:
        app.state.calls = getattr(app.state, "calls", 0) + 1
        return await call_next(taken)

    @app.batch_handler(told["clicks"], max_size=100, max_wait=0.1, dlq=told["dead"],
                       retry=Backoff(base=0.01, max=0.01, attempts=2))  # fmt: skip
    async def load(batch: Batch[bytes]) -> None:
        assert app.state.calls > 0
        done = []
        for index, value in enumerate(batch):
            if int(value) % 500 == 0:
                batch.fail(index, ValueError("marked"))
            else:
                done.append(value.decode())
        note("batch", app.state.pid, *done)

    @app.handler(told["orders"], ack="manual", dlq=told["dead"])
    async def take(value: bytes, msg: Message) -> None:
        note("order", app.state.pid, (msg.key or b"-").decode(), value.decode())
        await msg.ack()

    return app
