"""`fanout drain` on a real Kafka: live inflow, both cut-overs, and every way to end it early."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from commands import Running, fanout
from fanout.errors import NotFinishedError, ProofError

from .shop import OldConsumers, Shop, Told, open_shop

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Kafka, Topics


@pytest.fixture
def shop(kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A backlog of 2,000 records."""
    return open_shop(kafka.bootstrap, topics, monkeypatch)


def test_a_drain_under_live_inflow_comes_home_and_the_old_consumers_go_on(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop(kafka.bootstrap, topics, monkeypatch, records=10_000)
    with shop.generator.feed(60) as feed:
        with OldConsumers(shop, 3) as before:
            wait_until(lambda: before.handled > 300)
        ran = fanout(kafka.bootstrap, *shop.arguments("--execute", "-o", "json")).require()
        with OldConsumers(shop, 3) as after:
            wait_until(lambda: after.handled > 100)
            sent = feed.sent
    with OldConsumers(shop, 3):
        shop.wait_home()

    print(f"drained {ran.document['records']} in {ran.document['draining_s']} s; fed {sent}; before {before.handled}")
    assert ran.document["outcome"] == "done"
    assert ran.document["records"] >= 10_000 - before.handled > 1_000
    assert shop.temp_topics() == []
    verdict = shop.check()
    verdict.require()
    assert dict(verdict.notes)["repeats"] == 0


def test_a_group_of_the_newer_protocol_is_drained_and_handed_back_too(shop: Shop) -> None:
    with OldConsumers(shop, 1, protocol="consumer") as before:
        wait_until(lambda: before.handled > 20)
    report = shop.drain().run()
    with OldConsumers(shop, 1, protocol="consumer"):
        shop.wait_home()
    assert report.records == 2000 - before.handled
    verdict = shop.check()
    verdict.require()
    assert dict(verdict.notes)["repeats"] == 0


def test_a_dry_run_changes_nothing_and_shows_its_numbers(shop: Shop) -> None:
    before = (shop.offsets, open_names(shop))
    ran = fanout(
        shop.bootstrap, *shop.arguments("--partitions", "10", "--handler-rate", "200/s", "-o", "json")
    ).require()
    assert (shop.offsets, open_names(shop)) == before
    assert ran.document["temp_topic"]["partitions"] == 10
    assert sum(one["backlog"] for one in ran.document["partitions"]) == 2000
    assert sorted(len(one["targets"]) for one in ran.document["partitions"]) == [3, 3, 4]
    assert ran.document["eta_s"] > 0


@pytest.mark.parametrize("step", ["drain", "cut", "finish"])
def test_a_stop_at_any_step_loses_nothing(shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Slow handlers and a wide cut-over leave work for the steps after the cut: each of them is really interrupted.
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0.1")
    drain = shop.drain(told := Told(), cutover_s=60.0)
    told.on_step = {step: drain.stop}

    with pytest.raises(NotFinishedError) as stopped:
        drain.run()

    assert step in told.steps
    shop.require_no_loss()
    said = "\n".join(stopped.value.__notes__)
    assert f"group {shop.group} on {shop.topic} stands at what was finished: 0: {shop.offsets[0]}" in said
    assert shop.temp_topics() == [drain.plan.temp.name]
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0")
    with OldConsumers(shop, 3):
        shop.wait_home()
    verdict = shop.check()
    print(verdict)
    # What was finished above the mark is handled again, by then out of its order; nothing is left out.
    assert (verdict["unhandled"], verdict["foreign"], verdict["wrong_origin"]) == (0, 0, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_command_cleanly_and_says_what_stands(
    shop: Shop, number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0.2")
    with Running(shop.bootstrap, *shop.arguments("--execute", "-o", "json")) as running:
        wait_until(lambda: sum(shop.offsets.values()) > 0)
        began = time.monotonic()
        running.signal(number)
        ran = running.wait().require(code)
    print(f"ended {time.monotonic() - began:.1f} s after {number.name}")
    assert ran.document["outcome"] == "stopped"
    assert "Nothing is lost" in "\n".join(ran.document["standing"])
    assert 0 < sum(shop.offsets.values()) < 2000
    shop.require_no_loss()


def test_a_killed_drain_loses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0.1")
    with Running(shop.bootstrap, *shop.arguments("--execute")) as running:
        wait_until(lambda: sum(shop.offsets.values()) > 100)
        running.kill()
    shop.require_no_loss()
    with OldConsumers(shop, 3):
        shop.wait_home()
    verdict = shop.check()
    print(verdict)
    assert (verdict["unhandled"], verdict["foreign"], verdict["wrong_origin"]) == (0, 0, 0)


def test_a_group_moved_by_another_tool_stops_the_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0.02")

    def meddle() -> None:
        shop.cluster.commit(shop.group, shop.topic, {1: (7, "")})

    with pytest.raises(
        ProofError, match=f"group {shop.group} was moved by another tool: {shop.topic} partition 1 at 7"
    ):
        shop.drain(Told(on_step={"drain": meddle})).run()
    assert shop.offsets[1] == 7


def test_an_old_consumer_that_comes_back_stops_the_run_by_name(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFECTS_HANDLER_S", "0.02")
    strangers = OldConsumers(shop, 1)
    with ExitStack() as stack:

        def come_back() -> None:
            stack.enter_context(strangers)
            wait_until(lambda: strangers.handled > 0)

        with pytest.raises(ProofError, match=f"group {shop.group} is not Empty any more: rdkafka"):
            shop.drain(Told(on_step={"drain": come_back})).run()


def test_a_second_drain_is_refused_while_the_first_ones_topic_is_there(shop: Shop) -> None:
    first = shop.drain(told := Told())
    told.on_step = {"drain": first.stop}
    with pytest.raises(NotFinishedError):
        first.run()
    ran = fanout(shop.bootstrap, *shop.arguments()).require(5)
    assert f"{first.plan.temp.name} is there" in ran.err


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (["-t", "no-such-topic"], 5, "topic no-such-topic does not exist"),
        (["-g", "no-such-group"], 5, "group no-such-group has no offsets on"),
        (["--partitions", "2"], 5, "2 target partitions are fewer than the 3 source partitions"),
        (["--app-dir", "/"], 2, "no module `effects`"),
        (["-X", "acsk=1"], 2, 'did you mean "acks"'),
    ],
)
def test_bad_input_is_refused_before_anything_is_changed(shop: Shop, change: list[str], code: int, said: str) -> None:
    before = (shop.offsets, open_names(shop))
    ran = fanout(shop.bootstrap, *shop.arguments("--execute", *change)).require(code)
    assert said in ran.err
    assert (shop.offsets, open_names(shop)) == before


def test_an_app_without_a_handler_for_the_topic_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFECTS_SOURCE", "another-topic")
    ran = fanout(shop.bootstrap, *shop.arguments("--execute")).require(2)
    assert f"effects:app handles another-topic, not {shop.topic}" in ran.err


def test_a_group_with_members_is_refused_by_their_names(shop: Shop) -> None:
    with OldConsumers(shop, 1) as consumers:
        wait_until(lambda: consumers.handled > 0)
        ran = fanout(shop.bootstrap, *shop.arguments("--execute")).require(5)
    assert f"group {shop.group} is STABLE, not EMPTY: rdkafka on 127.0.0.1 with {shop.topic}/0" in ran.err


def open_names(shop: Shop) -> list[str]:
    """Every topic there is."""
    return [shop.topic, *shop.temp_topics()]


def wait_until(holds: Callable[[], bool], timeout_s: float = 180.0) -> None:
    """Waits for what another process does."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be"
        threading.Event().wait(0.05)
