"""The application that fanout's workers run here: what `fanout work work.app:app` would run."""

from __future__ import annotations

from fanout.app import App
from work.handlers import handler_of
from work.order import Order

__all__ = ["app"]

order = Order.read().of_worker()
app = App(order.group)
app.handler(order.topic, decode="json", concurrency=order.at_once, dlq=None)(handler_of(order))
