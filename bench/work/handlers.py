"""The two handlers that are measured, the same for every runtime that awaits them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from work.order import Order
from work.tally import Tally

__all__ = ["Handle", "Value", "handler_of"]

Value = dict[str, Any]
Handle = Callable[[Value], Awaitable[None]]


def handler_of(order: Order) -> Handle:
    """The handler that does nothing but note its record; or, with a wait, the one that sleeps meanwhile."""
    tally, wait_s = Tally(order), order.wait_s

    async def instant(value: dict[str, Any]) -> None:
        tally.done(value["id"])

    async def waiting(value: dict[str, Any]) -> None:
        tally.begins(value["key"])
        await asyncio.sleep(wait_s)
        tally.ends(value["key"], value["id"])

    return waiting if wait_s else instant
