"""Outcomes on their way to the ledger: parked, buried, dropped, settled once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from confluent_kafka import Producer

from fanout import App, Backoff, Reject
from fanout._fanout import Intake
from fanout.errors import WorkError
from fanout.work.attempt import attempt_of
from fanout.work.call import Means
from fanout.work.claims import ClaimsParts
from fanout.work.dead_letter import DeadLetters, Guard
from fanout.work.letter import Scribe
from fanout.work.link import Link
from fanout.work.post import Post
from fanout.work.runtime import Parts, Runtime

from .test_dead_letter import FakeProducer
from .twins import records_of

Handle = Callable[..., Any]


class Bench:
    """A runtime without a feed: partition 0 is held from offset 0."""

    def __init__(
        self,
        handle: Handle,
        *,
        producer: FakeProducer | None = None,
        claims: ClaimsParts | None = None,
        change: Callable[[Parts], Parts] = lambda parts: parts,
        **options: Any,
    ) -> None:
        app = App("workers")
        register = app.batch_handler if "max_size" in options else app.handler
        for around in options.pop("middleware", ()):
            app.middleware(around)
        register("orders", dlq="dead" if producer else None, **options)(handle)
        handler = app.handlers["orders"]
        self.intake = Intake("orders", handler.order_by, limits=(100, 1 << 20))
        self.intake.assign(0, 0, "")
        letters = DeadLetters("dead", Post(cast("Producer", producer)), Scribe(group="g")) if producer else None
        link = Link()
        parts = Parts(
            handler=handler,
            intake=self.intake,
            attempt=attempt_of(handler, None, Means(threads=ThreadPoolExecutor(1), link=link)),
            dead_letters=letters,
            guard=Guard(0.01, 100),
            concurrency=handler.concurrency,
            link=link,
            claims=claims,
        )
        self.rooms = 0
        self.runtime = Runtime(change(parts), self._room)
        self.runtime.start()

    def _room(self) -> None:
        self.rooms += 1

    def feed(self, records: list[Any]) -> None:
        runnable, troubled = self.intake.take(records)
        assert troubled == []
        self.runtime.offer(runnable)

    async def settled(self, offset: int) -> None:
        await eventually(lambda: self.intake.due() == [(0, offset, "")])


async def eventually(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.001)


async def test_a_failed_record_waits_without_a_slot_and_others_go_on() -> None:
    tries: list[bytes] = []

    async def handle(value: bytes) -> None:
        tries.append(value)
        if value == b"0" and tries.count(b"0") < 3:
            raise ValueError("not yet")

    bench = Bench(handle, concurrency=1, retry=Backoff(base=0.05, max=0.05, attempts=9))
    bench.feed(records_of(0, range(4)))
    await bench.settled(4)
    assert tries == [b"0", b"1", b"2", b"3", b"0", b"0"]
    assert (bench.runtime.outcomes["done"], bench.runtime.outcomes["retried"]) == (4, 2)
    bench.runtime.stop()


async def test_a_parked_record_holds_its_key_and_is_named() -> None:
    seen: list[bytes] = []

    async def handle(value: bytes) -> None:
        seen.append(value)
        raise ValueError("never")

    bench = Bench(handle, retry=Backoff(base=60, max=60))
    first, second = records_of(0, range(2))
    second.set_key(first.key())
    bench.feed([first, second])
    await eventually(bench.runtime.parked)
    await asyncio.sleep(0.05)
    assert seen == [b"0"]
    assert bench.runtime.parked() == ["orders/0/0 failed 1 times, last: ValueError: never"]
    bench.runtime.stop()
    assert bench.runtime.parked() == []


async def test_a_parked_record_of_a_partition_that_went_is_never_tried_here_again() -> None:
    tries = 0

    async def handle(_value: bytes) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("not yet")

    bench = Bench(handle, retry=Backoff(base=0.02, max=0.02, attempts=1000))
    bench.feed(records_of(0, range(1)))
    await eventually(lambda: tries)
    assert await bench.runtime.release(bench.intake.close([0]), 60) == []
    bench.intake.forget([0])
    before = tries
    await asyncio.sleep(0.1)
    assert tries == before > 0
    assert bench.runtime.parked_count() == 0
    bench.runtime.stop()


async def test_a_failure_during_a_revoke_is_left_to_the_next_owner() -> None:
    fail = asyncio.Event()

    async def handle(_value: bytes) -> None:
        await fail.wait()
        raise ValueError("late")

    bench = Bench(handle, retry=Backoff(base=0, max=0, attempts=1000))
    bench.feed(records_of(0, range(1)))
    await eventually(bench.runtime.running)
    releasing = asyncio.create_task(bench.runtime.release(bench.intake.close([0]), 60))
    await asyncio.sleep(0.01)
    fail.set()
    assert await releasing == []
    assert bench.runtime.parked_count() == 0
    assert bench.intake.due() == []
    bench.runtime.stop()


async def test_a_revoke_names_what_still_runs_when_its_time_is_over() -> None:
    async def handle(_value: bytes) -> None:
        await asyncio.sleep(60)

    bench = Bench(handle)
    bench.feed(records_of(0, range(3)))
    await eventually(lambda: bench.runtime.running() == 3)
    assert len(await bench.runtime.release(bench.intake.close([0]), 0.02)) == 3
    bench.runtime.stop()


async def test_a_record_is_settled_after_its_dead_letter_is_acknowledged_and_not_before() -> None:
    producer = FakeProducer()
    producer.allowed.clear()

    async def handle(_value: bytes) -> None:
        raise Reject("no")

    bench = Bench(handle, producer=producer)
    bench.feed(records_of(0, range(1)))
    await eventually(lambda: producer.produced)
    await asyncio.sleep(0.05)
    assert len(producer.produced) == 1
    assert bench.intake.due() == []
    producer.allowed.set()
    await bench.settled(1)
    outcomes = bench.runtime.outcomes
    assert (outcomes["dead"], outcomes["rejected"], outcomes["done"]) == (1, 1, 0)
    bench.runtime.stop()


async def test_too_many_dead_letters_stop_the_work_with_nothing_more_written() -> None:
    producer = FakeProducer()

    async def handle(_value: bytes) -> None:
        raise Reject("no")

    bench = Bench(handle, producer=producer)
    bench.feed(records_of(0, range(5)))
    error = await asyncio.wait_for(bench.runtime.failed, 60)
    assert isinstance(error, WorkError)
    assert "more than 1 of 100 records" in str(error)
    assert len(producer.produced) == 1
    bench.runtime.stop()


async def test_handlers_that_never_wait_do_not_keep_the_loop() -> None:
    turns = 0

    async def handle(_value: bytes) -> None:
        nonlocal turns
        asyncio.get_running_loop().call_soon(count)

    def count() -> None:
        nonlocal turns
        turns += 1

    seen: list[int] = []

    async def handle_and_look(value: bytes) -> None:
        await handle(value)
        seen.append(turns)

    bench = Bench(handle_and_look, concurrency=1)
    bench.intake = Intake("orders", "none", limits=(10_000, 1 << 20))
    bench.intake.assign(0, 0, "")
    bench.feed(records_of(0, range(1000)))
    async with asyncio.timeout(60):
        while len(seen) < 1000:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0)
    assert max(later - earlier for later, earlier in zip(range(1000), seen, strict=True)) <= 200
    bench.runtime.stop()


async def test_a_fault_of_our_own_is_told_and_stops_the_work() -> None:
    async def handle(_value: bytes) -> None:
        raise Reject("no")

    bench = Bench(handle, producer=FakeProducer())
    object.__setattr__(bench.runtime._parts, "dead_letters", None)
    bench.feed(records_of(0, range(1)))
    error = await asyncio.wait_for(bench.runtime.failed, 60)
    assert "a slot of orders broke" in str(error)
    bench.runtime.stop()


async def test_settling_makes_room_known_once_a_batch() -> None:
    async def handle(_value: bytes) -> None:
        """Nothing to do."""

    bench = Bench(handle, concurrency=50)
    bench.feed(records_of(0, range(50)))
    await bench.settled(50)
    assert bench.rooms < 10
    bench.runtime.stop()


async def test_a_dead_record_whose_partition_goes_and_comes_back_is_one_dead_record() -> None:
    """One letter of a hundred records is allowed here."""

    async def handle(_value: bytes) -> None:
        raise Reject("never")

    bench = Bench(handle, producer=FakeProducer())
    for _ in range(2):
        bench.feed(records_of(0, range(1)))
        await bench.settled(1)
        bench.intake.close([0])
        bench.intake.forget([0])
        bench.intake.assign(0, 0, "")
    assert bench.runtime.outcomes["dead"] == 2
    bench.feed(records_of(0, range(1, 2)))
    assert "more than 1 of 100" in str(await asyncio.wait_for(bench.runtime.failed, 60))
    bench.runtime.stop()
