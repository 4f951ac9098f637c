"""What an application may say of its handlers, and what is refused at once."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest
from pydantic import BaseModel

from fanout import App, Backoff, Message
from fanout.errors import ConfigError


class Order(BaseModel):
    """A value as applications write them."""

    id: str
    cents: int


def test_a_handler_knows_how_it_is_to_be_called() -> None:
    app = App("billing")

    @app.handler("orders", decode=Order, timeout=3)
    async def charge(order: Order, msg: Message) -> None: ...

    @app.handler("clicks", dlq=None)
    def count(click: bytes | None) -> None: ...

    orders, clicks = app.handlers["orders"], app.handlers["clicks"]
    assert orders.function is charge
    assert (orders.is_async, orders.wants_message, orders.takes_none) == (True, True, False)
    assert (clicks.is_async, clicks.wants_message, clicks.takes_none) == (False, False, True)
    assert (orders.dead_letters, clicks.dead_letters) == ("dlq.orders", None)


@pytest.mark.parametrize(
    "takes", ["order", "order: Any", "order: object", "order: bytes | None", "order: 'Any'", "order: 'Hidden | None'"]
)
def test_a_value_without_another_promise_may_be_none(takes: str) -> None:
    app = App("billing")
    names: dict[str, Any] = {"app": app, "Any": Any}
    exec(f"@app.handler('orders')\ndef handle({takes}): ...", names)  # noqa: S102  one function for each annotation
    assert app.handlers["orders"].takes_none


def test_an_object_with_an_async_call_is_an_async_handler() -> None:
    class Charge:
        async def __call__(self, order: bytes) -> None: ...

    app = App("billing")
    app.handler("orders")(Charge())
    assert app.handlers["orders"].is_async


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order_by": "value"}, "order_by"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout": 0}, "timeout"),
        ({"decode": "yaml"}, "decode"),
        ({"decode": dict}, "decode"),
        ({"key": "order.id"}, "key"),
        ({"key": "json:order"}, "key"),
        ({"key": "header:"}, "key"),
        ({"key": None}, "key"),
    ],
)
def test_a_wrong_option_is_refused_under_its_own_name(options: dict[str, Any], said: str) -> None:
    async def handle(order: bytes) -> None: ...

    with pytest.raises(ConfigError, match=f"^{said}: "):
        App("billing").handler("orders", **options)(handle)


@pytest.mark.parametrize("key", ["json:/order/id", "header:ce_id", "origin", "content", lambda msg: msg.value.id])
def test_a_handler_says_what_makes_two_records_the_same(key: Any) -> None:
    app = App("billing")
    app.handler("orders", key=key)(lambda order: None)  # noqa: ARG005
    app.handler("clicks")(lambda click: None)  # noqa: ARG005
    assert app.handlers["orders"].dedup_key == key
    assert app.handlers["clicks"].dedup_key == "origin"


class Desk:
    """Handlers that are not plain functions."""

    async def take(self, order: Order, msg: Message) -> None: ...

    async def __call__(self, prefix: str, order: Order | None) -> None: ...


def test_methods_partials_and_objects_are_handlers() -> None:
    app, desk = App("billing"), Desk()
    app.handler("method")(desk.take)
    app.handler("partial")(partial(desk, "x"))
    app.handler("keyword")(partial(desk.take, msg=cast("Message", None)))
    method, wrapped, keyword = (app.handlers[topic] for topic in ("method", "partial", "keyword"))
    assert (method.is_async, method.wants_message, method.takes_none) == (True, True, False)
    assert (wrapped.is_async, wrapped.wants_message, wrapped.takes_none) == (True, False, True)
    assert (keyword.is_async, keyword.wants_message, keyword.takes_none) == (True, False, False)


def test_a_timeout_of_a_thread_is_refused_because_nothing_can_stop_it() -> None:
    with pytest.raises(ConfigError, match="runs in a thread"):
        App("billing").handler("orders", timeout=1)(lambda order: None)  # noqa: ARG005


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None])  # noqa: ARG005
def test_a_function_with_other_parameters_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"\(value\) or \(value, message\)"):
        App("billing").handler("orders")(function)


def test_a_second_handler_of_a_topic_is_refused() -> None:
    app = App("billing")
    app.handler("orders")(lambda order: None)  # noqa: ARG005
    with pytest.raises(ConfigError, match="orders has a handler already"):
        app.handler("orders")(lambda order: None)  # noqa: ARG005


def test_waits_double_up_to_their_most_and_are_never_all_the_same() -> None:
    backoff = Backoff(base=1, max=10, attempts=9)
    waits = [[backoff.delay(attempt) for _ in range(200)] for attempt in (1, 2, 3, 9, 1000)]
    for wait, whole in zip(waits, (1, 2, 4, 10, 10), strict=True):
        assert whole * 0.75 <= min(wait) < max(wait) <= whole


@pytest.mark.parametrize("options", [{"base": -1}, {"base": 9, "max": 1}, {"attempts": 0}, {"max": float("inf")}])
def test_a_backoff_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^retry: "):
        Backoff(**options)
