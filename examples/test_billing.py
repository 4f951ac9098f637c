"""How an application is tried: no Kafka, no waiting. Run: pytest examples"""

from __future__ import annotations

from billing import app

from fanout import TestApp


async def test_negative_is_rejected() -> None:
    async with TestApp(app) as t:
        assert (await t.send("orders", {"id": "1", "cents": -1})).outcome == "rejected"


async def test_an_order_is_charged_once_the_gateway_is_ready() -> None:
    async with TestApp(app, attempts=3) as t:
        app.state.gateway.is_ready = False
        assert (await t.send("orders", {"id": "1", "cents": 250})).outcome == "retrying"
        app.state.gateway.is_ready = True
        await t.clock.advance(5)
        assert app.state.gateway.charged == {"orders/0/0": 250}


async def test_clicks_without_a_user_are_dead_letters() -> None:
    async with TestApp(app) as t:
        sent = await t.send_many("clicks", [{"user": 1}, {}, {"user": 2}])
        assert [result.outcome for result in sent] == ["done", "rejected", "done"]
        assert len(app.state.warehouse.rows) == 2
        assert [letter.value for letter in t.dead_letters] == [b"{}"]
