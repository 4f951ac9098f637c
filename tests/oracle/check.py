"""
Comparing what a target shows with what the source acknowledged.

A record is recognised by its own bytes, never by fanout's header: a checker that trusted the header would call a
record right because the program under test says so. Each fault has one check of its own:

lost           acknowledged, and not shown
duplicated     shown more than once
out_of_order   shown before an earlier record of its key, in the same target partition
misordered     shown before an earlier record of its source partition, in the same target partition, while its own key
               is in order
altered        key, value, headers, timestamp or timestamp type are not what was written
wrong_origin   the origin header is missing, doubled, not wanted, or names another place
misplaced      in a target partition where it may not be, or where its key is not
uncommitted    written in a transaction that was aborted or is still open, and shown all the same
foreign        names no record of this run, or one that was never acknowledged
offsets_wrong  a committed source offset is not the end of its partition
unstable       a transaction is open: at its coordinator, or below a partition's end
"""

from __future__ import annotations

import struct
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from .ledger import Fate, Ledger
from .verdict import Sheet, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from .recipe import Content, Headers, Recipe

__all__ = ["CHECKS", "ORIGIN_HEADER", "EndState", "Expectation", "Record", "check"]

ORIGIN_HEADER = "fanout.origin"
CHECKS = (
    "lost",
    "duplicated",
    "out_of_order",
    "misordered",
    "altered",
    "wrong_origin",
    "misplaced",
    "uncommitted",
    "foreign",
    "offsets_wrong",
    "unstable",
)


class Record(NamedTuple):
    """A record as a client showed it. `appended` tells a broker's timestamp from the producer's."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    appended: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What the target must show.

    `placement` gives the target partitions a record of (source partition, key) may be in; None where any will do.
    `below` leaves out what lies at or above an offset of its source partition: not forwarded yet, and not to be seen.
    """

    recipe: Recipe
    ledger: Ledger
    source: str = "source"
    placement: Callable[[int, bytes | None], Container[int]] | None = None
    origin: Literal["none", "run", "text"] = "none"
    below: Mapping[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndState:
    """Where everything stands when the work is over.

    `committed` and `ends` are the group's offset and the end of each source partition; `unstable` names partitions in
    which a transaction is open, each with (last stable offset, end); `ongoing` are transactional ids.
    """

    committed: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    unstable: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ongoing: tuple[str, ...] = ()


def check(records: Iterable[Record], expectation: Expectation, *, end: EndState | None = None) -> Verdict:
    """Walks `records` once, in the order of each target partition, and says what is wrong with them."""
    walk = _Walk(expectation)
    for record in records:
        walk.take(record)
    expected = walk.finish()
    if end is not None:
        _check_end(end, walk.sheet)
    return Verdict(
        subject="forwarded",
        records=walk.records,
        expected=expected,
        faults=walk.sheet.faults,
        findings=walk.sheet.findings,
    )


class _Lane(NamedTuple):
    """What one target partition showed: serials in order, and the keys that went out of order."""

    serials: array[int]
    last_of_key: dict[bytes, int]
    disordered: set[bytes]


class _Walk:
    def __init__(self, expectation: Expectation) -> None:
        self.sheet = Sheet(CHECKS)
        self.records = 0
        self._want = expectation
        self._seen = bytearray(len(expectation.ledger))
        self._targets: defaultdict[int, _Lane] = defaultdict(lambda: _Lane(array("q"), {}, set()))
        self._home: dict[tuple[int, bytes], int] = {}

    def take(self, record: Record) -> None:
        self.records += 1
        want = self._want
        serial = want.recipe.claim(record.value, record.headers)
        content = None if serial is None else want.recipe.content(serial)
        headers, origins = _split_origin(record.headers, content, want.origin)
        shown = (record.key, record.value, headers, record.timestamp)
        if shown != content or record.appended:
            # Only now is the checksum worth its time: does the record still say who it is, or is it another's id?
            serial = want.recipe.identify(record.value, record.headers)
            content = None if serial is None else want.recipe.content(serial)
        if serial is None or content is None or not self._is_due(record, serial):
            if serial is None:
                self.sheet.note("foreign", _at(record), "no record of this run")
            return
        if shown != content or record.appended:
            self.sheet.note("altered", self._from(record, serial), _difference(record, headers, content))
        self._check_origin(record, serial, origins)
        self._check_place(record, serial, content.key)
        self._check_key_order(record, serial, content.key)

    def _is_due(self, record: Record, serial: int) -> bool:
        """Whether this appearance of `serial` is its first and rightful one; notes why not."""
        fate = self._want.ledger.fate(serial)
        if fate in {Fate.ABORTED, Fate.OPEN}:
            self.sheet.note("uncommitted", self._from(record, serial), f"its transaction is {fate.name.lower()}")
        elif fate in {Fate.UNKNOWN, Fate.COMPACTED}:
            self.sheet.note("foreign", _at(record), f"record {serial} is {fate.name.lower()} at the source")
        elif not self._is_within(serial):
            self.sheet.note("uncommitted", self._from(record, serial), "lies above what may be shown yet")
        elif self._seen[serial]:
            self.sheet.note("duplicated", self._from(record, serial), "shown before")
        else:
            self._seen[serial] = 1
            return True
        return False

    def _is_within(self, serial: int) -> bool:
        partition, offset = self._want.ledger.place(serial)
        return self._want.below is None or offset < self._want.below[partition]

    def _check_origin(self, record: Record, serial: int, origins: list[bytes | None]) -> None:
        want = self._want
        if want.origin == "none":
            right = not origins
        else:
            partition, offset = want.ledger.place(serial)
            binary = want.origin == "run"
            text = b"%s/%d/%d" % (want.source.encode(), partition, offset)
            right = origins == [struct.pack(">iq", partition, offset) if binary else text]
        if not right:
            self.sheet.note("wrong_origin", self._from(record, serial), f"header says {origins}")

    def _check_place(self, record: Record, serial: int, key: bytes | None) -> None:
        placement = self._want.placement
        if placement is None:
            return
        partition, _ = self._want.ledger.place(serial)
        if record.partition not in placement(partition, key):
            self.sheet.note("misplaced", self._from(record, serial), f"{placement(partition, key)} was its place")
        elif key is not None and self._home.setdefault((partition, key), record.partition) != record.partition:
            self.sheet.note("misplaced", self._from(record, serial), f"{key!r} is in {self._home[partition, key]}")

    def _check_key_order(self, record: Record, serial: int, key: bytes | None) -> None:
        lane = self._targets[record.partition]
        lane.serials.append(serial)
        if key is None:
            return
        last = lane.last_of_key.get(key, -1)
        if serial > last:
            lane.last_of_key[key] = serial
        else:
            lane.disordered.add(key)
            self.sheet.note("out_of_order", self._from(record, serial), f"record {last} of {key!r} came before it")

    def finish(self) -> int:
        """Ends the walk: order by source partition, then what never came. Returns how many were expected."""
        for partition, lane in self._targets.items():
            self._check_source_order(partition, lane)
        expected = 0
        for serial in self._want.ledger.committed(self._want.below):
            expected += 1
            if not self._seen[serial]:
                source, offset = self._want.ledger.place(serial)
                key = self._want.recipe.content(serial).key
                self.sheet.note("lost", f"{self._want.source}/{source}@{offset}", f"record {serial} of {key!r}", serial)
        return expected

    def _check_source_order(self, partition: int, lane: _Lane) -> None:
        last: dict[int, int] = {}
        for serial in lane.serials:
            source, offset = self._want.ledger.place(serial)
            if offset > last.get(source, -1):
                # A record of a disordered key may stand far ahead of its place: it must not make its neighbours late.
                if not lane.disordered or self._want.recipe.content(serial).key not in lane.disordered:
                    last[source] = offset
            elif self._want.recipe.content(serial).key not in lane.disordered:
                self.sheet.note(
                    "misordered", f"target {partition}", f"{source}@{offset} came after {source}@{last[source]}"
                )

    def _from(self, record: Record, serial: int) -> str:
        partition, offset = self._want.ledger.place(serial)
        return f"{_at(record)} (record {serial}, from {self._want.source}/{partition}@{offset})"


def _at(record: Record) -> str:
    return f"target {record.partition}@{record.offset}"


def _split_origin(headers: Headers, content: Content | None, origin: str) -> tuple[Headers, list[bytes | None]]:
    """The record's own headers, and the values of origin headers that came on top."""
    if not headers or (origin == "none" and content is not None and headers == content.headers):
        return headers, []
    own = tuple(header for header in headers if header[0] != ORIGIN_HEADER)
    return own, [value for name, value in headers if name == ORIGIN_HEADER]


def _difference(record: Record, headers: Headers, content: Content) -> str:
    """Each field that is not what was written, shortened."""
    pairs = (
        ("key", record.key, content.key),
        ("value", record.value, content.value),
        ("headers", headers, content.headers),
        ("timestamp", record.timestamp, content.timestamp),
    )
    fields = [f"{name} {_short(shown)} was {_short(wrote)}" for name, shown, wrote in pairs if shown != wrote]
    return "; ".join([*fields, *(["timestamp is the broker's"] if record.appended else [])])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _check_end(end: EndState, sheet: Sheet) -> None:
    for partition in sorted({*end.ends, *end.committed}):
        committed, stands = end.committed.get(partition), end.ends.get(partition)
        if committed != stands:
            sheet.note("offsets_wrong", f"source {partition}", f"committed {committed}, the end is {stands}")
    for name, (stable, high) in sorted(end.unstable.items()):
        sheet.note("unstable", name, f"last stable offset {stable}, end {high}")
    for name in end.ongoing:
        sheet.note("unstable", name, "its transaction has not ended")
