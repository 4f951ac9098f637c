"""The gate before the slots: what was done settles, what is being done waits, what is free runs and is marked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fanout import Backoff
from fanout.config.dedup import OnStoreDown
from fanout.dedup.keys import Keyed, identify, key_prefix
from fanout.dedup.memory import MemoryStore, Table
from fanout.dedup.owner import Owner
from fanout.dedup.store import Answer, Claim, Completion, StoreError, claim
from fanout.errors import WorkError
from fanout.work.claims import ClaimsParts

from .test_dead_letter import FakeProducer
from .test_runtime import Bench
from .twins import records_of

PREFIX = key_prefix("workers", "orders")
WINDOW_S = 60.0


class Watched(MemoryStore):
    """Counts its calls; breaks while `broken`, and completes nothing before `may_complete`."""

    def __init__(self, table: Table) -> None:
        super().__init__(WINDOW_S, table)
        self.calls: Counter[str] = Counter()
        self.broken = False
        self.may_complete = threading.Event()
        self.may_complete.set()

    def ask(self, claims: Sequence[Claim], gone: Sequence[bytes]) -> list[Answer | bytes]:
        self._called("ask")
        return super().ask(claims, gone)

    def complete(self, claims: Sequence[Claim]) -> list[Completion]:
        self._called("complete")
        assert self.may_complete.wait(60)
        return super().complete(claims)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if self.broken:
            raise StoreError("it is down")


class Gate:
    """A runtime whose records are known by their value, and a stranger beside it at the same store."""

    def __init__(self, on_store_down: OnStoreDown = "pause", life_s: float = 10.0, key: Any = None) -> None:
        self.table = Table()
        self.store = Watched(self.table)
        self.other = MemoryStore(WINDOW_S, self.table)
        self.other.renew("other", 60)
        keyed = Keyed(
            key=key or (lambda message: message.raw), prefix=PREFIX, topic_id="T", source=None, decode=lambda raw: raw
        )
        self.parts = ClaimsParts(
            store=self.store,
            owner=Owner(MemoryStore(WINDOW_S, self.table), life_s),
            identify=identify(keyed),
            on_store_down=on_store_down,
        )

    def of(self, value: bytes, record: int = 1, content: bytes | None = None) -> Claim:
        """The stranger's claim of the record with this value."""
        _, own = self.parts.identify(one_of(value))
        return Claim(PREFIX + b"i:" + value, b"other:%d" % record, own if content is None else content)


def one_of(value: bytes) -> Any:
    """A record of this value."""
    record = records_of(0, range(1))[0]
    record.set_value(value)
    return record


@asynccontextmanager
async def working(gate: Gate, handle: Any, **options: Any) -> AsyncIterator[Bench]:
    """The bench, ended as a worker ends its runtime."""
    bench = Bench(handle, claims=gate.parts, **options)
    yield bench
    gate.store.may_complete.set()
    await bench.runtime.leave()
    bench.runtime.stop()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.002)


def figures(bench: Bench) -> Counter[str]:
    claims = bench.runtime.claims
    assert claims is not None
    return claims.figures


async def nothing(_value: bytes) -> None:
    """Handles."""


async def test_a_record_that_is_free_runs_and_is_marked_before_it_is_settled() -> None:
    gate = Gate()
    gate.store.may_complete.clear()
    async with working(gate, nothing) as bench:
        bench.feed(records_of(0, range(3)))
        await until(lambda: gate.store.calls["complete"])
        assert bench.intake.due() == []
        gate.store.may_complete.set()
        await bench.settled(3)
        assert bench.runtime.outcomes["done"] == 3
        assert claim(gate.other, [gate.of(b"0"), gate.of(b"1"), gate.of(b"2")]) == [Answer.DONE] * 3


async def test_what_was_done_before_settles_without_running() -> None:
    gate, ran = Gate(), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)

    gate.other.complete([gate.of(b"1")])
    async with working(gate, handle) as bench:
        bench.feed(records_of(0, range(3)))
        await bench.settled(3)
    assert sorted(ran) == [b"0", b"2"]
    assert (bench.runtime.outcomes["done"], bench.runtime.outcomes["repeated"]) == (2, 1)


async def test_what_another_one_is_doing_waits_and_is_neither_run_nor_settled() -> None:
    gate, ran = Gate(), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)

    assert claim(gate.other, [gate.of(b"0")]) == [Answer.RUN]
    async with working(gate, handle) as bench:
        bench.feed(records_of(0, range(1)))
        await until(lambda: figures(bench)["busy"] >= 3)
        assert (ran, bench.intake.due()) == ([], [])
        gate.other.complete([gate.of(b"0")])
        await bench.settled(1)
    assert ran == []
    assert bench.runtime.outcomes["repeated"] == 1


async def test_the_claim_of_one_that_is_gone_is_taken_over() -> None:
    gate = Gate()
    claim(gate.other, [gate.of(b"0")])
    async with working(gate, nothing) as bench:
        bench.feed(records_of(0, range(1)))
        await until(lambda: figures(bench)["busy"])
        gate.other.retire("other")
        await bench.settled(1)
        assert bench.runtime.outcomes["done"] == 1
        assert gate.other.complete([gate.of(b"0")]) == [Completion.ALREADY]


async def test_of_two_records_with_one_id_in_one_batch_one_runs() -> None:
    gate, ran = Gate(key=lambda _message: b"same"), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)
        await asyncio.sleep(0.05)

    async with working(gate, handle) as bench:
        twins = records_of(0, range(2))
        for record in twins:
            record.set_value(b"twin")
        bench.feed(twins)
        await bench.settled(2)
    assert ran == [b"twin"]


async def test_one_id_with_other_content_is_a_dead_letter_and_is_not_run() -> None:
    gate, producer, ran = Gate(), FakeProducer(), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)

    gate.other.complete([gate.of(b"0", content=b"something else")])
    async with working(gate, handle, producer=producer) as bench:
        bench.feed(records_of(0, range(2)))
        await bench.settled(2)
    assert ran == [b"1"]
    assert bench.runtime.outcomes["mismatch"] == len(producer.produced) == 1


async def test_a_claim_stays_between_two_attempts() -> None:
    gate, tries = Gate(), 0

    async def handle(_value: bytes) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            assert claim(gate.other, [gate.of(b"0")]) == [Answer.BUSY]
            raise ValueError("not yet")

    async with working(gate, handle, retry=Backoff(base=0.02, max=0.02, attempts=9)) as bench:
        bench.feed(records_of(0, range(1)))
        await bench.settled(1)
    assert tries == 3


async def test_an_attempt_that_ran_out_of_time_marks_nothing_and_keeps_its_claim() -> None:
    gate, tries = Gate(), list[list[Answer]]()

    async def handle(_value: bytes) -> None:
        tries.append(claim(gate.other, [gate.of(b"0")]))
        if len(tries) < 3:
            await asyncio.sleep(60)

    async with working(gate, handle, timeout=0.05, retry=Backoff(base=0.02, max=0.02, attempts=9)) as bench:
        bench.feed(records_of(0, range(1)))
        await bench.settled(1)
        assert gate.other.complete([gate.of(b"0")]) == [Completion.ALREADY]
    assert tries == [[Answer.BUSY]] * 3


async def test_a_dead_letter_gives_its_claim_up_so_that_it_may_be_sent_again() -> None:
    gate, producer = Gate(), FakeProducer()

    async def handle(_value: bytes) -> None:
        raise ValueError("never")

    async with working(gate, handle, producer=producer, retry=Backoff(attempts=1)) as bench:
        bench.feed(records_of(0, range(1)))
        await bench.settled(1)
        assert len(producer.produced) == 1
        assert claim(gate.other, [gate.of(b"0")]) == [Answer.RUN]


async def test_a_completion_that_comes_too_late_is_refused_and_its_record_settled() -> None:
    gate, go_on = Gate(), asyncio.Event()

    async def handle(_value: bytes) -> None:
        await go_on.wait()

    async with working(gate, handle) as bench:
        bench.feed(records_of(0, range(1)))
        await until(bench.runtime.running)
        gate.other.forget([entry for entry in gate.other.look([gate.of(b"0").key]) if entry is not None])
        assert claim(gate.other, [gate.of(b"0")]) == [Answer.RUN]
        go_on.set()
        await bench.settled(1)
        assert figures(bench)["lost"] == 1
        assert gate.other.complete([gate.of(b"0")]) == [Completion.OK]


async def test_a_thousand_records_cost_a_few_questions() -> None:
    gate = Gate()
    async with working(gate, nothing, concurrency=100) as bench:
        bench.intake = type(bench.intake)("orders", "key", limits=(2_000, 1 << 20))
        bench.intake.assign(0, 0, "")
        object.__setattr__(bench.runtime._parts, "intake", bench.intake)
        for start in range(0, 1_000, 250):
            bench.feed(records_of(0, range(start, start + 250)))
        await bench.settled(1_000)
    assert gate.store.calls["ask"] <= 4
    assert gate.store.calls["complete"] <= 50


async def test_a_partition_that_goes_gives_up_the_claims_of_what_did_not_run() -> None:
    gate, go_on = Gate(), asyncio.Event()

    async def handle(_value: bytes) -> None:
        await go_on.wait()

    async with working(gate, handle, concurrency=1) as bench:
        bench.feed(records_of(0, range(3)))
        await until(bench.runtime.running)
        assert len(await bench.runtime.release(bench.intake.close([0]), 0.01)) == 1
        await until(lambda: figures(bench)["released"] == 2)
        asked = [gate.of(b"0", 1), gate.of(b"1", 2), gate.of(b"2", 3)]
        assert claim(gate.other, asked) == [Answer.BUSY, Answer.RUN, Answer.RUN]
        go_on.set()
        await until(lambda: claim(gate.other, asked[:1]) == [Answer.DONE])


async def test_a_revoke_waits_until_what_is_done_is_marked() -> None:
    gate = Gate()
    gate.store.may_complete.clear()
    async with working(gate, nothing) as bench:
        bench.feed(records_of(0, range(2)))
        await until(lambda: gate.store.calls["complete"])
        releasing = asyncio.create_task(bench.runtime.release(bench.intake.close([0]), 60))
        await asyncio.sleep(0.05)
        assert not releasing.done()
        gate.store.may_complete.set()
        assert await releasing == []
        assert bench.intake.due() == [(0, 2, "")]


async def test_a_store_that_is_down_makes_records_wait_and_they_go_on_by_themselves() -> None:
    gate, ran = Gate(), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)

    gate.store.broken = True
    async with working(gate, handle) as bench:
        bench.feed(records_of(0, range(2)))
        await until(lambda: gate.store.calls["ask"] >= 2)
        assert (ran, bench.intake.due()) == ([], [])
        claims = bench.runtime.claims
        assert claims is not None
        assert "has not answered" in claims.troubles()[0]
        gate.store.broken = False
        await bench.settled(2)
        assert claims.troubles() == []
    assert sorted(ran) == [b"0", b"1"]


async def test_whoever_wants_it_goes_on_without_the_store() -> None:
    gate = Gate("process")
    gate.store.broken = True
    async with working(gate, nothing) as bench:
        bench.feed(records_of(0, range(3)))
        await bench.settled(3)
        assert figures(bench)["unclaimed"] == 3
        assert bench.runtime.outcomes["done"] == 3


async def test_a_store_that_was_done_without_is_told_afterwards_what_was_done_meanwhile() -> None:
    gate, go_on = Gate("process"), asyncio.Event()

    async def handle(_value: bytes) -> None:
        await go_on.wait()

    async with working(gate, handle) as bench:
        bench.feed(records_of(0, range(1)))
        await until(bench.runtime.running)
        gate.store.broken = True
        go_on.set()
        await bench.settled(1)
        assert claim(gate.other, [gate.of(b"0")]) == [Answer.BUSY]
        gate.store.broken = False
        await until(lambda: claim(gate.other, [gate.of(b"0")]) == [Answer.DONE])


async def test_whoever_wants_it_stops_without_the_store() -> None:
    gate = Gate("fail")
    gate.store.broken = True
    async with working(gate, nothing) as bench:
        bench.feed(records_of(0, range(1)))
        error = await asyncio.wait_for(bench.runtime.failed, 60)
        assert isinstance(error, WorkError)
        assert "it is down" in str(error)
        assert bench.intake.due() == []


async def test_one_that_was_away_for_longer_than_its_owner_lives_claims_anew_before_it_runs() -> None:
    gate, go_on, ran = Gate(life_s=600), asyncio.Event(), list[bytes]()

    async def handle(value: bytes) -> None:
        ran.append(value)
        await go_on.wait()

    async with working(gate, handle, concurrency=1) as bench:
        bench.feed(records_of(0, range(2)))
        await until(bench.runtime.running)
        gate.parts.owner.good_until = time.monotonic() - 1
        gate.table.owners.pop(gate.parts.owner.id.encode())
        assert claim(gate.other, [gate.of(b"1")]) == [Answer.RUN]
        gate.other.complete([gate.of(b"1")])
        go_on.set()
        await bench.settled(2)
    assert ran == [b"0"]
    assert bench.runtime.outcomes["repeated"] == 1


async def test_without_a_store_a_record_goes_straight_to_the_slots_and_the_ledger() -> None:
    bench = Bench(nothing)
    assert bench.runtime._enter == bench.runtime._slots.offer
    assert bench.runtime._finish == bench.runtime._close
    assert bench.runtime._slots.attempt is bench.runtime._parts.attempt
    bench.runtime.stop()
