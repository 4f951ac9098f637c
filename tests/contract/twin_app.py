"""
An application whose records meet everything that can become of one, for the workers and for `TestApp`.

`FANOUT_TEST_APP` is JSON: `orders`, `returns`, `retry`, `dead` (topics) and `log` (a file), to which `ID ATTEMPT` is
appended as an attempt begins. An order says what becomes of it: `{"id": …, "says": …}`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from fanout import App, Backoff, Message, Reject, Skip


def make() -> App:
    """The app."""
    told: dict[str, Any] = json.loads(os.environ["FANOUT_TEST_APP"])
    app, begun = App("twin"), set[str]()
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(order: dict[str, str], msg: Message) -> None:
        os.write(log, f"{msg.id} {msg.attempt}\n".encode())
        is_first = order["id"] not in begun
        begun.add(order["id"])
        match order["says"]:
            case "refused once" if is_first:
                raise Reject("not today")
            case "failed once" if is_first:
                raise ConnectionError("not yet")
            case "failed":
                raise ConnectionError("never")
            case "skipped":
                raise Skip

    app.handler(told["orders"], decode="json", key="json:/id", dlq=told["dead"], on_dead_letter="park_key",
                retry=Backoff(base=0.05, max=0.05, attempts=2))(handle)  # fmt: skip
    app.handler(told["returns"], decode="json", key="json:/id", dlq=told["dead"], order_by="none",
                retry_topic=told["retry"], retry=Backoff(base=0.05, max=0.05, attempts=2))(handle)  # fmt: skip
    return app
