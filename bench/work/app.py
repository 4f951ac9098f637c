"""The application that fanout's workers run here: what `fanout work work.app:app` would run."""

from __future__ import annotations

import asyncio
from typing import Any

from fanout.app import App
from work.order import Order
from work.tally import Tally

__all__ = ["app"]

order = Order.read().of_worker()
tally = Tally(order)
app = App(order.group)


async def instant(value: dict[str, Any]) -> None:
    """Does nothing with its record but note it."""
    tally.done(value["id"])


async def waiting(value: dict[str, Any]) -> None:
    """Takes as long as a call to another service might."""
    tally.begins(value["key"])
    await asyncio.sleep(order.wait_s)
    tally.ends(value["key"], value["id"])


app.handler(order.topic, decode="json", concurrency=order.at_once, dlq=None)(waiting if order.wait_s else instant)
