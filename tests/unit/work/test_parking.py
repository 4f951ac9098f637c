"""Keys that wait behind a dead letter: in order, through restarts, until all of them are back."""

from __future__ import annotations

from typing import Any

import pytest

from fanout import App, Reject
from fanout.config.work import RunWork
from fanout.dedup.store import Answer
from fanout.errors import ConfigError, WorkError
from fanout.work.parking import MARK, MOST_KEYS, Parking
from fanout.work.retry import Again, Dead, Verdict, verdict_on
from fanout.work.worker import inlets

from .records import message
from .test_settings import settings_with

FAILED = Dead("failed", "ValueError: x", ValueError("x"))


class Bench:
    """A partition whose records run one after the other; `fails` says which die, by offset."""

    def __init__(self, fails: set[int]) -> None:
        self.fails = fails
        self.parking = Parking("orders")
        self.parking.begin(0, "")
        self.ran: list[int] = []
        self.letters: list[int] = []
        self._attempt = self.parking.guarded(self._run)

    async def _run(self, raw: Any, _number: int) -> Verdict | None:
        self.ran.append(raw.offset())
        return FAILED if raw.offset() in self.fails else None

    async def take(self, raw: Any) -> None:
        verdict = await self._attempt(raw, 1)
        if isinstance(verdict, Dead):
            self.parking.admit(raw)
            self.letters.append(raw.offset())
            self.parking.buried(raw, verdict)

    def restart(self, point: int) -> None:
        """Begins again at a commit, as another process does."""
        metadata = self.parking.metadata(0, point)
        self.parking = Parking("orders")
        self.parking.begin(0, metadata)
        self._attempt = self.parking.guarded(self._run)


def record(offset: int, key: bytes | None = b"k") -> Any:
    return message(offset, key=key)


def back(offset: int, was: int, key: bytes = b"k") -> Any:
    return message(offset, key=key, headers=[("fanout.redrive-of", b"orders/0/%d" % was)])


async def test_what_follows_a_dead_letter_goes_after_it_and_other_keys_go_on() -> None:
    bench = Bench({1})
    for raw in (record(0), record(1), record(2, b"other"), record(3), record(4, None), record(5)):
        await bench.take(raw)
    assert (bench.ran, bench.letters) == ([0, 1, 2, 4], [1, 3, 5])
    assert bench.parking.count() == 1


async def test_a_key_is_free_too_when_its_last_letter_need_not_run_again() -> None:
    bench = Bench({1})
    for raw in (record(1), record(2), back(7, 1)):
        await bench.take(raw)
    bench.parking.kept(Answer.BUSY, [(8, back(8, 2))])
    bench.parking.kept(Answer.DONE, [(8, record(8)), (8, back(8, 1))])
    assert bench.parking.count() == 1, "neither was the last of its letters"
    bench.parking.kept(Answer.DONE, [(9, back(9, 2)), (10, record(10, b"other"))])
    await bench.take(record(11))
    assert (bench.ran, bench.letters) == ([1, 7, 11], [1, 2])
    assert bench.parking.count() == 0


async def test_a_key_is_free_once_its_last_letter_is_back() -> None:
    bench = Bench({1})
    for raw in (record(1), record(2), back(7, 1)):
        await bench.take(raw)
    await bench.take(record(8))
    assert (bench.ran, bench.letters) == ([1, 7], [1, 2, 8]), "2 is not back yet: 8 must not overtake it"
    for raw in (back(9, 2), record(10), back(11, 8), record(12), back(13, 10), record(14)):
        await bench.take(raw)
    assert (bench.ran, bench.letters) == ([1, 7, 9, 11, 13], [1, 2, 8, 10, 12, 14])
    for raw in (back(15, 12), back(16, 14), record(17)):
        await bench.take(raw)
    assert bench.ran[-3:] == [15, 16, 17]
    assert bench.parking.count() == 0
    assert bench.parking.metadata(0, 18) == ""


async def test_one_that_dies_again_keeps_those_behind_it() -> None:
    bench = Bench({1, 7})
    for raw in (record(1), record(2), back(7, 1), back(8, 2), record(9)):
        await bench.take(raw)
    assert (bench.ran, bench.letters) == ([1, 7], [1, 2, 7, 8, 9])
    for raw in (back(10, 7), back(11, 8), back(12, 9), record(13)):
        await bench.take(raw)
    assert bench.ran == [1, 7, 10, 11, 12, 13]


async def test_the_next_owner_of_a_partition_knows_its_keys() -> None:
    bench = Bench({1})
    for raw in (record(1), record(2)):
        await bench.take(raw)
    bench.restart(3)
    for raw in (record(3), back(4, 1), back(5, 2), back(6, 3), record(7)):
        await bench.take(raw)
    assert (bench.ran, bench.letters) == ([1, 4, 5, 6, 7], [1, 2, 3])


async def test_records_that_are_read_again_go_the_way_they_went() -> None:
    bench = Bench({3})
    for raw in (record(2), record(3), record(4), back(6, 3), back(7, 4), record(8)):
        await bench.take(raw)
    assert bench.ran == [2, 3, 6, 7, 8]
    bench.ran.clear()
    bench.letters.clear()
    bench.restart(2)
    for raw in (record(2), record(3), record(4)):
        await bench.take(raw)
    assert (bench.ran, bench.letters) == ([2, 3], [3, 4]), "4 stays behind 3, although the key became free at 7"


@pytest.mark.parametrize("of", [b"orders/1/1", b"clicks/0/1", b"orders/0/-1", b"1", b"\xff"])
async def test_only_a_letter_of_this_partition_comes_back(of: bytes) -> None:
    bench = Bench({1})
    await bench.take(record(1))
    await bench.take(message(2, key=b"k", headers=[("fanout.redrive-of", of)]))
    assert (bench.ran, bench.letters) == ([1], [1, 2])


async def test_as_many_keys_wait_as_a_commit_holds_and_no_more() -> None:
    far = 10**17
    bench = Bench({far + number for number in range(MOST_KEYS + 1)})
    for number in range(MOST_KEYS):
        await bench.take(record(far + number, b"key-%d" % number))
    bench.parking.buried(record(2 * far, b"key-0"), FAILED)
    assert len(bench.parking.metadata(0, far)) <= 4_096
    with pytest.raises(WorkError, match="64 keys wait behind dead letters"):
        await bench.take(record(far + MOST_KEYS, b"one more"))
    assert len(bench.letters) == MOST_KEYS


@pytest.mark.parametrize(
    "foreign", ["x", f"{MARK} ", f"{MARK} a.b.c", "fanout1 0 0000000000000000 r", f"{MARK} " + "x," * 9_000]
)
async def test_metadata_of_another_tool_tells_of_no_key(foreign: str) -> None:
    parking = Parking("orders")
    parking.begin(0, foreign)
    assert (parking.count(), parking.metadata(0, 0)) == (0, "")


@pytest.mark.parametrize("options", [{"order_by": "none"}, {"order_by": "partition"}, {"dlq": None}])
def test_keys_wait_only_where_they_have_an_order_and_a_place(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^on_dead_letter: keys wait where"):
        App("billing").handler("orders", on_dead_letter="park_key", **options)(lambda _order: None)


def test_in_a_run_a_key_waits_in_its_place() -> None:
    app = App("billing")
    app.handler("orders", on_dead_letter="park_key")(lambda _order: None)
    run = RunWork(run="r", source="orders", topic="temp", sources={0: 0})
    inside = inlets(settings_with(run=run, group="g"), app.handlers["orders"])
    outside = inlets(settings_with(), app.handlers["orders"])
    verdicts = [verdict_on(Reject("no"), each.handler, 1) for each in (*inside, *outside)]
    assert [type(verdict) for verdict in verdicts] == [Again, Dead]
