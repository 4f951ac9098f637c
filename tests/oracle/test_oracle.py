"""The checker must find what it is for: a bug of every kind is planted, and exactly its own check may speak."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Literal

import pytest

from .check import CHECKS, ORIGIN_HEADER, EndState, Expectation, Record, check
from .ledger import Fate, Ledger
from .recipe import ID_HEADER, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = 3
TARGETS = 10
RECORDS = 4_000
ABORTED = range(1_000, 1_100)
END = EndState(committed={0: 1_500, 1: 1_400, 2: 1_300}, ends={0: 1_500, 1: 1_400, 2: 1_300})

Shown = list[Record]


def allotment(source: int, key: bytes | None) -> tuple[int, ...]:
    """Three targets a source partition (the last has four); a key has one of them."""
    allotted = range(source * 3, TARGETS if source == SOURCES - 1 else source * 3 + 3)
    return tuple(allotted) if key is None else (allotted[zlib.adler32(key) % len(allotted)],)


class Forwarded:
    """A run without Kafka: a ledger as a source would have acknowledged it, and the target a right forwarder makes."""

    def __init__(self, origin: Literal["none", "run", "text"] = "run") -> None:
        recipe = Recipe(varied=True, keys=41)
        ledger = Ledger()
        self.expectation = Expectation(
            recipe=recipe, ledger=ledger, source="orders", placement=allotment, origin=origin
        )
        self.shown: Shown = []
        next_offset = [0] * (SOURCES + TARGETS)
        for serial in range(RECORDS):
            key = recipe.content(serial).key
            source = serial % SOURCES if key is None else zlib.crc32(key) % SOURCES
            ledger.note(serial, source, next_offset[source], Fate.ABORTED if serial in ABORTED else Fate.COMMITTED)
            next_offset[source] += 1
            if serial not in ABORTED:
                target = serial % 3 + source * 3 if key is None else allotment(source, key)[0]
                self.shown.append(self.record(serial, target, next_offset[SOURCES + target]))
                next_offset[SOURCES + target] += 2

    def record(self, serial: int, target: int, offset: int) -> Record:
        content = self.expectation.recipe.content(serial)
        partition, at = self.expectation.ledger.place(serial)
        origins = {
            "none": (),
            "run": ((ORIGIN_HEADER, struct.pack(">iq", partition, at)),),
            "text": ((ORIGIN_HEADER, b"orders/%d/%d" % (partition, at)),),
        }
        headers = content.headers + origins[self.expectation.origin]
        return Record(target, offset, content.key, content.value, headers, content.timestamp)

    def index(self, wanted: Callable[[Record], bool], start: int = 500) -> int:
        """The first shown record from `start` on that is as `wanted`."""
        return next(i for i in range(start, len(self.shown)) if wanted(self.shown[i]))

    def change(self, index: int, **fields: object) -> None:
        self.shown[index] = self.shown[index]._replace(**fields)  # type: ignore[arg-type]

    def neighbours(self) -> tuple[int, int]:
        """Two records of one key, with others of their target partition between them."""
        first = self.index(lambda record: record.key is not None and record.key.startswith(b"key-"))
        key = self.shown[first].key
        return first, self.index(lambda record: record.key == key, first + 1)


def drop_one(run: Forwarded) -> None:
    del run.shown[700]


def double_one(run: Forwarded) -> None:
    run.shown.append(run.shown[700])


def forward_again_after_a_lost_abort(run: Forwarded) -> None:
    run.shown[800:800] = run.shown[700:800]


def swap_two_of_a_key(run: Forwarded) -> None:
    first, second = run.neighbours()
    run.shown[first], run.shown[second] = run.shown[second], run.shown[first]


def swap_two_of_different_keys(run: Forwarded) -> None:
    inside = [i for i in range(500, len(run.shown)) if run.shown[i].partition == 4]
    keys = [run.shown[i].key for i in inside]
    at = next(i for i in range(len(inside)) if None not in keys[i : i + 2] and keys[i] != keys[i + 1])
    first, second = inside[at : at + 2]
    run.shown[first], run.shown[second] = run.shown[second], run.shown[first]


def lose_a_header(run: Forwarded) -> None:
    index = run.index(lambda record: len(record.headers) > 5 and record.headers[0] == ("a", b"1"))
    run.change(index, headers=run.shown[index].headers[1:])


def lose_the_id_header_of_a_tombstone(run: Forwarded) -> None:
    index = run.index(lambda record: record.value is None and record.headers[0][0] == ID_HEADER)
    run.change(index, headers=run.shown[index].headers[1:])


def swap_two_headers_of_a_name(run: Forwarded) -> None:
    index = run.index(lambda record: len(record.headers) > 5 and record.headers[0] == ("a", b"1"))
    a, b, c, *rest = run.shown[index].headers
    run.change(index, headers=(c, b, a, *rest))


def null_header_becomes_empty(run: Forwarded) -> None:
    index = run.index(lambda record: ("b", None) in record.headers)
    headers = tuple((name, value or b"") for name, value in run.shown[index].headers)
    run.change(index, headers=headers)


def change_a_timestamp(run: Forwarded) -> None:
    run.change(700, timestamp=run.shown[700].timestamp + 1)


def stamp_with_the_append_time(run: Forwarded) -> None:
    run.change(700, appended=True)


def null_value_becomes_empty(run: Forwarded) -> None:
    run.change(run.index(lambda record: record.value is None), value=b"")


def empty_key_becomes_null(run: Forwarded) -> None:
    run.change(run.index(lambda record: record.key == b""), key=None)


def flip_a_bit_of_a_value(run: Forwarded) -> None:
    index = run.index(lambda record: bool(record.value) and record.value is not None and len(record.value) == 100)
    value = run.shown[index].value or b""
    run.change(index, value=value[:-1] + bytes([value[-1] ^ 1]))


def place_a_key_elsewhere_in_its_allotment(run: Forwarded) -> None:
    first, second = run.neighbours()
    home, source = run.shown[first].partition, run.shown[first].partition // 3 if run.shown[first].partition < 9 else 2
    run.change(second, partition=next(t for t in allotment(source, None) if t != home))


def place_a_null_key_outside_the_allotment(run: Forwarded) -> None:
    index = run.index(lambda record: record.key is None)
    run.change(index, partition=(run.shown[index].partition + 5) % TARGETS)


def show_an_aborted_record(run: Forwarded) -> None:
    run.shown.append(run.record(ABORTED[7], 0, 99_999))


def forge_an_origin(run: Forwarded) -> None:
    forged = (ORIGIN_HEADER, struct.pack(">iq", 0, 999_999))
    run.change(700, headers=(*run.shown[700].headers[:-1], forged))


def double_an_origin(run: Forwarded) -> None:
    run.change(700, headers=(*run.shown[700].headers, run.shown[700].headers[-1]))


def lose_an_origin(run: Forwarded) -> None:
    run.change(700, headers=run.shown[700].headers[:-1])


def show_a_record_of_another_run(run: Forwarded) -> None:
    content = Recipe(keys=41).content(5)
    run.shown.append(Record(0, 99_999, content.key, content.value, content.headers, content.timestamp))


PLANTED: dict[Callable[[Forwarded], None], tuple[str, int]] = {
    drop_one: ("lost", 1),
    double_one: ("duplicated", 1),
    forward_again_after_a_lost_abort: ("duplicated", 100),
    swap_two_of_a_key: ("out_of_order", 1),
    swap_two_of_different_keys: ("misordered", 1),
    lose_a_header: ("altered", 1),
    lose_the_id_header_of_a_tombstone: ("altered", 1),
    swap_two_headers_of_a_name: ("altered", 1),
    null_header_becomes_empty: ("altered", 1),
    change_a_timestamp: ("altered", 1),
    stamp_with_the_append_time: ("altered", 1),
    null_value_becomes_empty: ("altered", 1),
    empty_key_becomes_null: ("altered", 1),
    flip_a_bit_of_a_value: ("altered", 1),
    place_a_key_elsewhere_in_its_allotment: ("misplaced", 1),
    place_a_null_key_outside_the_allotment: ("misplaced", 1),
    show_an_aborted_record: ("uncommitted", 1),
    forge_an_origin: ("wrong_origin", 1),
    double_an_origin: ("wrong_origin", 1),
    lose_an_origin: ("wrong_origin", 1),
    show_a_record_of_another_run: ("foreign", 1),
}


@pytest.mark.parametrize("origin", ["none", "run", "text"])
def test_a_right_target_has_no_fault(origin: Literal["none", "run", "text"]) -> None:
    run = Forwarded(origin)
    verdict = check(run.shown, run.expectation, end=END)
    verdict.require()
    assert verdict.records == verdict.expected == RECORDS - len(ABORTED)
    assert dict(verdict.faults) == dict.fromkeys(CHECKS, 0)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_by_its_own_check_and_no_other(plant: Callable[[Forwarded], None]) -> None:
    run = Forwarded()
    plant(run)
    verdict = check(run.shown, run.expectation, end=END)
    name, least = PLANTED[plant]
    assert verdict.caught == {name}, verdict.explain()
    assert verdict[name] >= least
    assert not verdict.ok
    with pytest.raises(AssertionError, match=name):
        verdict.require()


@pytest.mark.parametrize("committed", [{0: 1_500, 1: 1_399, 2: 1_300}, {0: 1_501, 1: 1_400, 2: 1_300}, {0: 1_500}])
def test_an_offset_that_is_not_the_end_is_found(committed: dict[int, int]) -> None:
    run = Forwarded()
    verdict = check(run.shown, run.expectation, end=EndState(committed=committed, ends=END.ends))
    assert verdict.caught == {"offsets_wrong"}


@pytest.mark.parametrize(
    "end",
    [
        EndState(committed=END.committed, ends=END.ends, unstable={"target/4": (10, 12)}),
        EndState(committed=END.committed, ends=END.ends, ongoing=("fanout.g.orders.0",)),
    ],
)
def test_an_open_transaction_is_found(end: EndState) -> None:
    run = Forwarded()
    assert check(run.shown, run.expectation, end=end).caught == {"unstable"}


def test_a_header_that_was_not_asked_for_is_a_wrong_origin() -> None:
    run = Forwarded("none")
    run.change(700, headers=(*run.shown[700].headers, (ORIGIN_HEADER, bytes(12))))
    assert check(run.shown, run.expectation).caught == {"wrong_origin"}


def test_a_record_above_what_may_be_shown_yet_is_uncommitted() -> None:
    run = Forwarded()
    below = {0: 10_000, 1: 10_000, 2: max(run.expectation.ledger.place(s)[1] for s in range(RECORDS)) // 4}
    want = Expectation(recipe=run.expectation.recipe, ledger=run.expectation.ledger, origin="run", below=below)
    ahead = [r for r in run.shown if run.expectation.ledger.place(want.recipe.claim(r.value, r.headers) or 0)[0] == 2]
    assert check(run.shown, want).caught == {"uncommitted"}
    within = [r for r in run.shown if r not in ahead]
    assert check(within, want).caught == {"lost"}


def test_findings_say_where_and_only_the_first_are_printed() -> None:
    run = Forwarded()
    del run.shown[700:760]
    verdict = check(run.shown, run.expectation)
    assert verdict["lost"] == 60
    lines = verdict.explain().splitlines()
    assert len(lines) == 21
    assert "orders/" in lines[1]


def test_a_run_without_records_proves_nothing() -> None:
    run = Forwarded()
    for verdict in (check([], run.expectation), check([], Expectation(recipe=Recipe(), ledger=Ledger()))):
        assert verdict.void
        with pytest.raises(AssertionError, match="VOID"):
            verdict.require()


def test_a_record_that_was_never_acknowledged_cannot_be_given_a_fate() -> None:
    ledger = Ledger()
    ledger.note(3, 0, 0, Fate.OPEN)
    with pytest.raises(AssertionError, match="never acknowledged"):
        ledger.turn([2], Fate.COMMITTED)
