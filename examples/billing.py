"""Handlers as the README shows them. Run: fanout work billing:app --app-dir examples"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from fanout import App, Backoff, Batch, Message, Reject, Retry
from fanout.app import CallNext

app = App("billing")


class Order(BaseModel):
    id: str
    cents: int


@app.handler("orders", decode=Order, key="json:/id", concurrency=64, timeout=30,
             retry=Backoff(base=1, max=60, attempts=5), dlq="dlq.orders")  # fmt: skip
async def charge(order: Order, msg: Message) -> None:
    if order.cents < 0:
        raise Reject("negative amount")  # a dead letter now
    if not await app.state.gateway.ready():
        raise Retry(after=5)  # later, as often as it takes; its key waits
    await app.state.gateway.charge(order.id, order.cents, idempotency_key=msg.id)


@app.batch_handler("clicks", decode="json", max_size=500, max_wait=0.2, order_by="none")
async def load(batch: Batch[dict[str, Any]]) -> None:
    for index, click in enumerate(batch):
        if "user" not in click:
            batch.fail(index, Reject("no user"))  # this one alone
    await app.state.warehouse.insert("clicks", [click for click in batch if "user" in click])


@app.lifespan
async def connected(app: App) -> AsyncIterator[None]:
    app.state.gateway, app.state.warehouse = Gateway(), Warehouse()
    yield
    app.state.warehouse.close()


@app.middleware
async def counted(call_next: CallNext, msg: Message | Batch[Any]) -> Any:
    app.state.calls = getattr(app.state, "calls", 0) + 1
    return await call_next(msg)


class Gateway:
    """Stands for a payment provider."""

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.is_ready = True

    async def ready(self) -> bool:
        return self.is_ready

    async def charge(self, order: str, cents: int, *, idempotency_key: str) -> None:
        self.charged[idempotency_key] = cents
        print(f"{order}: {cents / 100:.2f}")  # noqa: T201  the whole of what it does


class Warehouse:
    """Stands for a database of many rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.is_open = True

    async def insert(self, _table: str, rows: list[dict[str, Any]]) -> None:
        self.rows += rows

    def close(self) -> None:
        self.is_open = False
