"""Records handled together: what makes a batch, and that each of them has its own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanout import App, Backoff, Batch, Reject, Retry, Skip
from fanout.errors import ConfigError

from .records import message
from .test_dead_letter import FakeProducer
from .test_runtime import Bench, eventually
from .twins import records_of

SOON = Backoff(base=0, max=0, attempts=3)


async def test_a_batch_is_full_or_its_time_is_over() -> None:
    seen: list[list[bytes]] = []

    async def load(batch: Batch[bytes]) -> None:
        seen.append(batch.values)

    bench = Bench(load, max_size=4, max_wait=0.5)
    bench.feed(records_of(0, range(10)))
    await bench.settled(10)
    assert [len(values) for values in seen] == [4, 4, 2]
    assert [value for values in seen for value in values] == [b"%d" % offset for offset in range(10)]
    bench.runtime.stop()


async def test_records_marked_as_failed_are_tried_again_without_the_others() -> None:
    seen: list[list[tuple[bytes, int]]] = []
    producer = FakeProducer()

    async def load(batch: Batch[bytes]) -> None:
        seen.append([(one.value, one.attempt) for one in batch.messages])
        for index, value in enumerate(batch):
            match int(value):
                case 1:
                    batch.fail(index, ValueError("never"))
                case 2:
                    batch.fail(index, Reject("refused"))
                case 3:
                    batch.fail(index, Skip())
                case 4 if batch.messages[index].attempt == 1:
                    batch.fail(index, Retry(after=0))

    bench = Bench(load, producer=producer, max_size=5, max_wait=0.01, retry=SOON)
    bench.runtime._parts.guard._share = 1
    bench.feed(records_of(0, range(5)))
    await bench.settled(5)
    handled: dict[bytes, list[int]] = {}
    for values in seen:
        for value, attempt in values:
            handled.setdefault(value, []).append(attempt)
    assert handled == {b"0": [1], b"1": [1, 2, 3], b"2": [1], b"3": [1], b"4": [1, 2]}
    outcomes = bench.runtime.outcomes
    assert (outcomes["done"], outcomes["skipped"], outcomes["failed"], outcomes["rejected"]) == (2, 1, 1, 1)
    bench.runtime.stop()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
async def test_a_batch_that_raises_fails_all_it_did_not_mark(error: BaseException) -> None:
    calls = 0

    async def load(batch: Batch[bytes]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            batch.fail(0, Skip())
            raise error

    bench = Bench(load, max_size=3, max_wait=0.3, retry=SOON)
    bench.feed(records_of(0, range(3)))
    await bench.settled(3)
    outcomes = bench.runtime.outcomes
    assert (outcomes["done"], outcomes["skipped"], outcomes["retried"]) == (2, 1, 2)
    bench.runtime.stop()


async def test_a_batch_holds_one_record_of_a_key_and_does_not_wait_for_the_others_of_it() -> None:
    seen: list[list[bytes]] = []

    async def load(batch: Batch[bytes]) -> None:
        seen.append(batch.values)

    bench = Bench(load, max_size=50, max_wait=60)
    bench.feed([message(offset, key=b"ab"[offset % 2 :][:1], value=b"%d" % offset) for offset in range(8)])
    async with asyncio.timeout(30):
        while len(seen) < 3:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.001)
    assert seen[:3] == [[b"0", b"1"], [b"2", b"3"], [b"4", b"5"]]
    bench.runtime.stop()


async def test_one_call_runs_at_a_time_unless_more_are_asked_for() -> None:
    for at_once in (1, 3):
        running, most = 0, 0

        async def load(_batch: Batch[bytes]) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1

        bench = Bench(load, max_size=2, max_wait=0.001, concurrency=at_once)
        bench.feed(records_of(0, range(20)))
        await bench.settled(20)
        assert most == at_once
        bench.runtime.stop()


async def test_what_cannot_be_decoded_is_in_no_batch() -> None:
    seen: list[list[Any]] = []
    producer = FakeProducer()

    async def load(batch: Batch[dict[str, int]]) -> None:
        seen.append(batch.values)

    bench = Bench(load, producer=producer, decode="json", max_size=2, max_wait=5)
    bench.feed([message(0, value=b"{"), message(1, value=b'{"a": 1}', key=b"1"), message(2, value=b"{}", key=b"2")])
    await bench.settled(3)
    assert seen == [[{"a": 1}, {}]]
    assert bench.runtime.outcomes["undecodable"] == 1
    bench.runtime.stop()


async def test_a_partition_that_goes_does_not_wait_for_its_batches_to_fill() -> None:
    seen: list[list[bytes]] = []

    async def load(batch: Batch[bytes]) -> None:
        seen.append(batch.values)

    bench = Bench(load, max_size=50, max_wait=60)
    bench.feed(records_of(0, range(3)))
    await eventually(lambda: bench.runtime.running() == 3)
    async with asyncio.timeout(30):
        assert await bench.runtime.release(bench.intake.close([0]), 60) == []
    assert seen == [[b"0", b"1", b"2"]]
    assert bench.intake.due() == [(0, 3, "")]
    bench.runtime.stop()


async def test_a_stop_ends_a_batch_that_runs_and_settles_none_of_it() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def load(_batch: Batch[bytes]) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    bench = Bench(load, max_size=2, max_wait=0)
    bench.feed(records_of(0, range(2)))
    await asyncio.wait_for(began.wait(), 60)
    bench.runtime.stop()
    await asyncio.wait_for(ended.wait(), 60)
    assert bench.intake.due() == []


async def test_a_plain_function_takes_batches_in_a_thread_and_a_timeout_fails_the_whole_batch() -> None:
    seen: list[int] = []

    def load(batch: Batch[bytes]) -> None:
        seen.append(len(batch))

    bench = Bench(load, max_size=2, max_wait=0)
    bench.feed(records_of(0, range(2)))
    await bench.settled(2)
    assert seen == [2]
    bench.runtime.stop()

    async def hang(batch: Batch[bytes]) -> None:
        if batch.messages[0].attempt == 1:
            await asyncio.sleep(60)

    slow = Bench(hang, max_size=2, max_wait=0, timeout=0.02, retry=SOON)
    slow.feed(records_of(0, range(2)))
    await slow.settled(2)
    assert slow.runtime.outcomes["retried"] == 2
    slow.runtime.stop()


def test_a_record_that_is_not_there_cannot_be_marked() -> None:
    batch: Batch[bytes] = Batch([])
    with pytest.raises(IndexError):
        batch.fail(0, ValueError())
    assert (len(batch), list(batch), repr(batch)) == (0, [], "Batch(0 records, 0 failed)")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"max_size": 0}, "max_size"), ({"max_wait": -1}, "max_wait"), ({"concurrency": 0}, "concurrency")],
)
def test_a_batch_that_cannot_be_is_refused_under_the_name_of_its_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}: "):
        App("billing").batch_handler("clicks", **options)(lambda batch: None)  # noqa: ARG005


def test_a_tombstone_is_in_a_batch_that_takes_none() -> None:
    app = App("billing")

    @app.batch_handler("a")
    async def takes(batch: Batch[bytes | None]) -> None: ...

    @app.batch_handler("b")
    async def refuses(batch: Batch[bytes]) -> None: ...

    @app.batch_handler("c")
    async def anything(batch) -> None: ...  # type: ignore[no-untyped-def]

    assert [app.handlers[topic].takes_none for topic in "abc"] == [True, False, True]


async def test_a_batch_handler_takes_the_batch_alone() -> None:
    with pytest.raises(ConfigError, match=r"takes \(batch\), not"):
        App("billing").batch_handler("clicks")(lambda batch, msg: None)  # noqa: ARG005
