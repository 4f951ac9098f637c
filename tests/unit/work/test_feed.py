"""The thread that owns the consumer, against a twin of it: what is taken, what is committed, what is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from fanout import App
from fanout._fanout import Intake
from fanout.errors import WorkError
from fanout.work import feed as feed_module
from fanout.work.attempt import attempt_of
from fanout.work.call import Means
from fanout.work.dead_letter import Guard
from fanout.work.feed import Feed, Reading
from fanout.work.runtime import Parts, Runtime
from fanout.work.start import Starts

from .records import message
from .twins import TwinCluster, TwinConsumer, records_of

ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, GROUP_AUTHORIZATION_FAILED, AUTO_OFFSET_RESET = 22, 27, 30, -140


Handle = Callable[[bytes], Awaitable[None]]


class Station:
    """A feed and a runtime over twins."""

    def __init__(self, consumer: TwinConsumer, cluster: TwinCluster, handle: Handle, stop_s: float) -> None:
        app = App("workers")
        app.handler("orders", dlq=None)(handle)
        handler = app.handlers["orders"]
        self.consumer = consumer
        self.intake = Intake("orders", "key", limits=(16, 1 << 20))
        starts = Starts(cluster=cluster, topic="orders", group="workers")
        reading = Reading(topic="orders", group="workers", cooperative=True, stop_s=stop_s, commit_s=0.02, records=16)
        self.feed = Feed(reading, consumer, self.intake, starts)
        attempt = attempt_of(handler, None, Means(threads=ThreadPoolExecutor(1)))
        parts = Parts(
            handler=handler, intake=self.intake, attempt=attempt, dead_letters=None, guard=Guard(1, 1), concurrency=4
        )
        self.runtime = Runtime(parts, self.feed.made_room)


@asynccontextmanager
async def station(
    consumer: TwinConsumer, handle: Handle, cluster: TwinCluster | None = None, stop_s: float = 60
) -> AsyncIterator[Station]:
    """A station at work; it is stopped at the end, and what does not end by itself is left after `stop_s`."""
    made = Station(consumer, cluster or TwinCluster(dict.fromkeys(consumer.records, (0, ""))), handle, stop_s)
    made.runtime.start()
    made.feed.start(made.runtime)
    try:
        yield made
    finally:
        await made.feed.stop()
        made.runtime.stop()


async def eventually(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  what is waited for happens on another thread
            await asyncio.sleep(0.005)


async def nothing(_value: bytes) -> None:
    """A handler with nothing to do."""


def committed(consumer: TwinConsumer) -> dict[int, int]:
    return {partition: offset for partition, offset, _ in consumer.commits}


def until(release: asyncio.Event) -> Handle:
    """A handler that runs until it is let go."""

    async def handle(_value: bytes) -> None:
        await release.wait()

    return handle


async def test_what_is_handled_is_committed_up_to_the_position_past_markers() -> None:
    consumer = TwinConsumer({0: records_of(0, range(3)), 1: records_of(1, range(5, 9))})
    consumer.rebalance("on_assign", [0, 1])
    async with station(consumer, nothing) as work:
        await eventually(lambda: committed(consumer) == {0: 3, 1: 9})
        consumer.ends[0] = 7  # markers were written: no record tells of them
        await eventually(lambda: committed(consumer) == {0: 7, 1: 9})
        assert work.runtime.outcomes["done"] == 7
    assert consumer.closed


async def test_the_start_is_what_the_group_committed_whatever_the_client_thinks() -> None:
    consumer = TwinConsumer({0: records_of(0, range(10)), 1: records_of(1, range(10))})
    cluster = TwinCluster({0: (8, "somebody's own words")}, starts={0: 0, 1: 6})
    consumer.rebalance("on_assign", [0, 1])
    seen: list[bytes] = []

    async def handle(value: bytes) -> None:
        seen.append(value)

    async with station(consumer, handle, cluster):
        await eventually(lambda: committed(consumer) == {0: 10, 1: 10})
    assert sorted(seen) == [b"6", b"7", b"8", b"8", b"9", b"9"]
    assert cluster.asked == ["committed workers orders", "offsets orders earliest"]


async def test_an_unfinished_record_holds_the_commit_back() -> None:
    consumer = TwinConsumer({0: records_of(0, range(6))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async def handle(value: bytes) -> None:
        if value == b"2":
            await release.wait()

    async with station(consumer, handle) as work:
        await eventually(lambda: committed(consumer) == {0: 2} and work.runtime.running() == 1)
        await asyncio.sleep(0.1)
        assert committed(consumer) == {0: 2}
        release.set()
        await eventually(lambda: committed(consumer) == {0: 6})


async def test_a_revoked_partition_waits_for_what_runs_and_is_committed_before_it_goes() -> None:
    consumer = TwinConsumer({0: records_of(0, range(4)), 1: records_of(1, range(4))})
    consumer.rebalance("on_assign", [0, 1])
    release = asyncio.Event()

    async def handle(value: bytes) -> None:
        if value == b"3":
            await release.wait()

    async with station(consumer, handle) as work:
        await eventually(lambda: committed(consumer) == {0: 3, 1: 3} and work.runtime.running() == 2)
        consumer.rebalance("on_revoke", [0])
        await asyncio.sleep(0.05)
        release.set()
        await eventually(lambda: list(work.intake.positions()) == [1])
        assert committed(consumer)[0] == 4


async def test_a_result_that_comes_after_the_deadline_of_a_revoke_is_never_committed() -> None:
    consumer = TwinConsumer({0: records_of(0, range(1))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release), stop_s=0.3) as work:
        await eventually(lambda: work.runtime.running() == 1)
        consumer.rebalance("on_revoke", [0])
        await eventually(lambda: not work.intake.positions())
        release.set()
        await eventually(lambda: work.intake.late() == 1)
        consumer.rebalance("on_assign", [0])
        await eventually(lambda: committed(consumer) == {0: 1})
        assert work.runtime.outcomes["done"] == 2


async def test_a_lost_partition_is_not_committed_any_more() -> None:
    consumer = TwinConsumer({0: records_of(0, range(1))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release)) as work:
        await eventually(lambda: work.runtime.running() == 1)
        consumer.rebalance("on_lost", [0])
        await eventually(lambda: not work.intake.positions())
        release.set()
        await eventually(lambda: work.intake.late() == 1)
        await asyncio.sleep(0.05)
    assert consumer.commits == []


async def test_a_stray_of_an_earlier_assignment_never_makes_a_hole_of_what_was_not_read() -> None:
    consumer = TwinConsumer({0: records_of(0, range(50))})
    consumer.strays = [message(40)]
    consumer.rebalance("on_assign", [0])
    seen: list[bytes] = []

    async def handle(value: bytes) -> None:
        seen.append(value)

    async with station(consumer, handle):
        await eventually(lambda: committed(consumer) == {0: 50})
    assert consumer.calls[0] == "seek 0@0"
    assert sorted(seen, key=int) == [b"%d" % offset for offset in range(50)]


async def test_a_full_budget_pauses_the_reading_and_room_resumes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FULL_S", 0.02)
    consumer = TwinConsumer({0: records_of(0, range(40))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release)) as work:
        await eventually(lambda: "pause" in consumer.calls)
        assert work.intake.in_flight()[0] == 16
        consumer.rebalance("on_lost", [])
        await eventually(lambda: not consumer._events)  # polling goes on: the group still hears of us
        release.set()
        await eventually(lambda: committed(consumer) == {0: 40})
    assert "resume" in consumer.calls


class Trickling(TwinConsumer):
    """Partition 1 has a new record at every poll."""

    def poll(self, timeout: float) -> Any | None:
        self.append(1, message(len(self.records[1]), partition=1, value=b"live"))
        return super().poll(timeout)


async def test_a_partition_that_was_held_back_goes_on_beside_one_that_never_runs_dry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "FULL_S", 0.02)
    monkeypatch.setattr(feed_module, "DRY_S", 0.1)
    consumer = Trickling({0: records_of(0, range(60)), 1: []})
    consumer.rebalance("on_assign", [0, 1])
    release = asyncio.Event()

    async def handle(value: bytes) -> None:
        if value != b"live":
            await release.wait()
        await asyncio.sleep(0.001)

    async with station(consumer, handle):
        await eventually(lambda: "pause" in consumer.calls)
        release.set()
        await eventually(lambda: committed(consumer).get(0) == 60)


async def test_commits_go_on_while_the_reading_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FULL_S", 3_600)
    consumer = TwinConsumer({0: records_of(0, range(40))})
    consumer.rebalance("on_assign", [0])
    first, others = asyncio.Event(), asyncio.Event()

    async def handle(value: bytes) -> None:
        await (first if value == b"0" else others).wait()

    async with station(consumer, handle, stop_s=0.3) as work:
        await eventually(lambda: work.intake.room() == 0)
        first.set()
        await eventually(lambda: committed(consumer) == {0: 1})
        assert "pause" not in consumer.calls


async def test_a_commit_that_was_overtaken_is_covered_by_the_next_one() -> None:
    consumer = TwinConsumer({0: records_of(0, range(3))})
    consumer.refusals.append(KafkaException(KafkaError(ILLEGAL_GENERATION)))
    consumer.rebalance("on_assign", [0])
    async with station(consumer, nothing) as work:
        await eventually(lambda: committed(consumer) == {0: 3})
        assert not work.runtime.failed.done()


@pytest.mark.parametrize("way", ["leaves", "gives the partition up"])
async def test_the_last_commit_is_tried_again_when_a_rebalance_overtakes_it(way: str) -> None:
    consumer = TwinConsumer({0: records_of(0, range(3))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release)) as work:
        await eventually(lambda: work.runtime.running() > 0)
        consumer.refusals += [KafkaException(KafkaError(ILLEGAL_GENERATION))] * 3
        asyncio.get_running_loop().call_later(0.05, release.set)
        if way == "gives the partition up":
            consumer.rebalance("on_revoke", [0])
            await eventually(lambda: not consumer.refusals)
    assert committed(consumer) == {0: 3}


async def test_a_group_that_may_not_commit_stops_the_work() -> None:
    consumer = TwinConsumer({0: records_of(0, range(3))})
    consumer.refusals += [KafkaException(KafkaError(GROUP_AUTHORIZATION_FAILED))] * 2
    consumer.rebalance("on_assign", [0])
    async with station(consumer, nothing) as work:
        error = await asyncio.wait_for(work.runtime.failed, 60)
    assert isinstance(error, WorkError)
    assert "group workers cannot commit for orders" in str(error)
    assert consumer.closed


async def test_a_commit_that_is_refused_while_a_partition_is_taken_away_stops_the_work_with_its_own_words() -> None:
    consumer = TwinConsumer({0: records_of(0, range(3))})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release)) as work:
        await eventually(lambda: work.runtime.running() == 3)
        consumer.refusals.append(KafkaException(KafkaError(GROUP_AUTHORIZATION_FAILED)))
        asyncio.get_running_loop().call_later(0.05, release.set)
        consumer.rebalance("on_revoke", [0])
        error = await asyncio.wait_for(work.runtime.failed, 60)
    assert str(error).startswith("group workers cannot commit for orders")


class Rebalancing(TwinConsumer):
    """A rebalance begins with the first commit; until it was told of to the end, none gets through."""

    begins = True

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        if self.begins:
            self.begins = False
            self.rebalance("on_assign", [1])
            self.rebalance("on_revoke", [0])
        if "on_assign" in {event for event, _ in self._events}:
            raise KafkaException(KafkaError(REBALANCE_IN_PROGRESS))
        return super().commit(offsets=offsets, asynchronous=asynchronous)


async def test_a_rebalance_that_holds_the_last_commit_back_is_gone_through_and_brings_nothing_new() -> None:
    consumer = Rebalancing({0: records_of(0, range(3)), 1: records_of(1, range(3))})
    cluster = TwinCluster({0: (0, ""), 1: (0, "")})
    consumer.rebalance("on_assign", [0])
    release = asyncio.Event()

    async with station(consumer, until(release), cluster) as work:
        await eventually(lambda: work.runtime.running() == 3)
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert committed(consumer) == {0: 3}
    assert cluster.asked == ["committed workers orders"]
    assert work.runtime.outcomes["done"] == 3


async def test_a_position_that_is_gone_names_what_is_left() -> None:
    consumer = TwinConsumer({0: []})
    consumer.strays = [message(3, error=KafkaError(AUTO_OFFSET_RESET))]
    consumer.rebalance("on_assign", [0])
    async with station(consumer, nothing, TwinCluster({0: (3, "")}, starts={0: 9})) as work:
        error = await asyncio.wait_for(work.runtime.failed, 60)
    assert "orders/0: what workers has not read yet is gone; the log starts at 9" in str(error)


async def test_a_handler_that_blocks_the_loop_does_not_block_the_feed() -> None:
    consumer = TwinConsumer({0: records_of(0, range(3))})
    consumer.rebalance("on_assign", [0])
    looks = 0

    async def handle(value: bytes) -> None:
        nonlocal looks
        if value == b"3":
            consumer.rebalance("on_revoke", [0])
            while work.intake.positions():  # the loop is blocked on purpose
                looks += 1

    async with station(consumer, handle, stop_s=0.3) as work:
        await eventually(lambda: committed(consumer) == {0: 3})
        consumer.append(0, message(3, value=b"3"))
        await eventually(lambda: not work.intake.positions())
    assert looks > 0
    assert committed(consumer) == {0: 3}
