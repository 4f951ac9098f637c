"""Repeats and keys that wait, in an application tried without Kafka: as a worker with a store does it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from fanout import App, Backoff, Batch, Message, Reject, Retry, TestApp
from fanout.errors import ConfigError

DAY_S = 86_400.0


class Shop:
    """An application that notes what it runs; `fails` says what an attempt of an order raises, by its words."""

    def __init__(self, **options: Any) -> None:
        self.app = App("shop")
        self.ran: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.app.handler("orders", decode="json", **{"key": "json:/id", **options})(self.handle)

    async def handle(self, order: dict[str, str]) -> None:
        said = order["says"]
        self.ran.append(said)
        if said in self.fails:
            raise self.fails.pop(said)


def order(name: str, says: str) -> dict[str, str]:
    return {"id": name, "says": says}


async def test_what_is_done_is_not_run_again_within_the_window_of_the_tests_clock() -> None:
    shop = Shop()
    async with TestApp(shop.app, window=DAY_S) as t:
        assert (await t.send("orders", order("1", "a"))).outcome == "done"
        await t.clock.advance(DAY_S - 1)
        again = await t.send("orders", order("1", "a"))
        assert (again.outcome, again.attempts, again.id) == ("repeated", 0, "orders/0/1")
        await t.clock.advance(1)
        assert (await t.send("orders", order("1", "a"))).outcome == "done"
    assert shop.ran == ["a", "a"]


async def test_without_a_store_and_with_an_origin_of_its_own_every_record_runs() -> None:
    shop, by_origin = Shop(), Shop(key="origin")
    async with TestApp(shop.app, window=None) as t, TestApp(by_origin.app) as o:
        for app in (t, o, t, o):
            assert (await app.send("orders", order("1", "a"))).outcome == "done"
    assert (shop.ran, by_origin.ran) == (["a", "a"], ["a", "a"])


async def test_one_id_with_other_content_is_a_dead_letter_and_is_not_run() -> None:
    shop = Shop()
    async with TestApp(shop.app) as t:
        sent = [await t.send("orders", order("1", says)) for says in ("a", "b")]
        assert [result.outcome for result in sent] == ["done", "mismatch"]
        assert "other content" in sent[1].reason
        assert dict(t.dead_letters[0].headers)["fanout.outcome"] == b"mismatch"
    assert shop.ran == ["a"]


async def test_one_id_with_other_content_keeps_its_place_where_there_are_no_dead_letters() -> None:
    shop = Shop(dlq=None)
    async with TestApp(shop.app, attempts=3) as t:
        sent = [await t.send("orders", order("1", says)) for says in ("a", "b")]
        assert [(result.outcome, result.attempts) for result in sent] == [("done", 1), ("retrying", 3)]
        assert [(retry.id, retry.attempt) for retry in t.retries] == [("orders/0/1", number) for number in (1, 2, 3)]
    assert shop.ran == ["a"]


async def test_a_dead_letter_is_not_remembered_as_done() -> None:
    shop = Shop()
    shop.fails["a"] = Reject("not today")
    async with TestApp(shop.app) as t:
        sent = [await t.send("orders", order("1", "a")) for _ in range(3)]
    assert [result.outcome for result in sent] == ["rejected", "done", "repeated"]
    assert shop.ran == ["a", "a"]


async def test_a_record_waits_for_one_of_its_id_that_is_being_done_through_all_its_retries() -> None:
    shop = Shop(retry=Backoff(base=DAY_S, max=DAY_S, attempts=5))
    shop.fails["a"] = ConnectionError("not yet")
    async with TestApp(shop.app) as t:
        sent = await t.send_many("orders", [order("1", "a"), order("1", "a"), order("2", "b")], keys=["k", "l", "m"])
        assert [(result.outcome, result.attempts) for result in sent] == [("done", 2), ("repeated", 0), ("done", 1)]
        assert t.clock.time() == pytest.approx(t.retries[0].delay_s)
    assert shop.ran == ["a", "b", "a"]


async def test_a_record_is_left_waiting_behind_one_of_its_id_that_is_never_settled() -> None:
    shop = App("shop")

    @shop.handler("orders", decode="json", key="json:/id")
    async def ask(_order: dict[str, str]) -> None:
        raise Retry(after=5)

    async with TestApp(shop, attempts=2) as t:
        assert (await t.send("orders", order("1", "a"))).outcome == "retrying"
        async with asyncio.timeout(20):
            assert (await t.send("orders", order("1", "a"))).outcome == "waiting"


async def test_records_of_a_batch_are_claimed_one_by_one() -> None:
    shop, sizes = App("shop"), list[int]()

    @shop.batch_handler("clicks", decode="json", key="json:/id", max_size=10, max_wait=30)
    async def load(batch: Batch[dict[str, int]]) -> None:
        sizes.append(len(batch))

    async with TestApp(shop) as t:
        sent = await t.send_many("clicks", [{"id": number % 3} for number in range(5)])
        assert sorted(result.outcome for result in sent) == ["done"] * 3 + ["repeated"] * 2
        assert (await t.send("clicks", {"id": 2})).outcome == "repeated"
    assert sizes == [3]


async def test_a_record_that_lacks_its_id_is_known_by_its_origin(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    with caplog.at_level(logging.WARNING):
        async with TestApp(shop.app) as t:
            assert [(await t.send("orders", {"says": "a"})).outcome for _ in range(2)] == ["done", "done"]
    assert "lack the id they are known by" in caplog.text


async def test_a_function_of_the_message_names_what_is_the_same_and_apps_of_other_topics_are_apart() -> None:
    shop, ran = App("shop"), list[str]()

    def same(msg: Message) -> bytes:
        return dict(msg.headers)["id"] or b""

    async def handle(_value: bytes, msg: Message) -> None:
        ran.append(msg.id)

    shop.handler("orders", key=same)(handle)
    shop.handler("returns", key="header:id")(handle)
    async with TestApp(shop) as t:
        sent = [await t.send(topic, "x", headers={"id": "7"}) for topic in ("orders", "returns", "orders", "returns")]
    assert [result.outcome for result in sent] == ["done", "done", "repeated", "repeated"]
    assert ran == ["orders/0/0", "returns/0/0"]


async def test_a_test_leaves_no_thread_of_a_store_behind() -> None:
    async with TestApp(Shop().app) as t:
        await t.send("orders", order("1", "a"))
        assert "dedup-owner" in {thread.name for thread in threading.enumerate()}
    assert not {thread.name for thread in threading.enumerate()} & {"dedup-owner", "dedup-store"}


def test_a_window_that_no_worker_would_take_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dedup\.window: at least 60 s"):
        TestApp(Shop().app, window=1)


async def test_a_key_waits_behind_its_dead_letter_until_all_that_followed_is_put_back() -> None:
    shop = Shop(key="origin", on_dead_letter="park_key")
    shop.fails["1"] = Reject("not today")
    async with TestApp(shop.app) as t:
        sent = await t.send_many("orders", [order("x", says) for says in "123"], keys=["k", "k", "other"])
        assert [result.outcome for result in sent] == ["rejected", "parked", "done"]
        back = [
            await t.send("orders", order("x", says), key="k", headers={"fanout.redrive-of": result.id})
            for says, result in zip("12", sent, strict=False)
        ]
        assert [result.outcome for result in back] == ["done", "done"]
        assert (await t.send("orders", order("x", "4"), key="k")).outcome == "done"
    assert shop.ran == ["1", "3", "1", "2", "4"]
    assert [dict(letter.headers)["fanout.outcome"] for letter in t.dead_letters] == [b"rejected", b"parked"]


async def test_keys_that_are_free_again_make_room_for_others() -> None:
    shop = Shop(key="origin", on_dead_letter="park_key")
    async with TestApp(shop.app) as t:
        for number in range(70):
            shop.fails["a"] = Reject("not today")
            dead = await t.send("orders", order("x", "a"), key=f"k{number}")
            assert dead.outcome == "rejected"
            back = {"fanout.redrive-of": dead.id}
            assert (await t.send("orders", order("x", "a"), key=f"k{number}", headers=back)).outcome == "done"


async def test_a_letter_that_was_done_meanwhile_comes_back_without_a_run_and_frees_its_key() -> None:
    shop = Shop(on_dead_letter="park_key")
    shop.fails["1"] = Reject("not today")
    async with TestApp(shop.app) as t:
        sent = await t.send_many("orders", [order("x", "1"), order("x", "1")], keys=["k", "k"])
        assert [result.outcome for result in sent] == ["rejected", "parked"]
        back = [await t.send("orders", order("x", "1"), key="k", headers={"fanout.redrive-of": r.id}) for r in sent]
        assert [result.outcome for result in back] == ["done", "repeated"]
        assert (await t.send("orders", order("y", "2"), key="k")).outcome == "done"
    assert shop.ran == ["1", "1", "2"]


async def test_of_two_records_of_an_id_one_is_done_whichever_is_first_while_one_waits_in_the_retry_topic() -> None:
    shop = Shop(order_by="none", retry_topic="retry.orders", retry=Backoff(base=DAY_S, max=DAY_S))
    shop.fails["a"] = ConnectionError("not yet")
    async with TestApp(shop.app) as t:
        sent = await t.send_many("orders", [order("1", "a"), order("1", "a")])
        assert sorted(result.outcome for result in sent) == ["done", "repeated"]
        assert [retry.id for retry in t.retries] == ["orders/0/0"]
    assert shop.ran == ["a", "a"]
