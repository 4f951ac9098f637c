"""One thing varied, one figure watched: how cost and memory grow, and where one way becomes cheaper than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from forward.cells import BY_KEY, Source
from forward.movers import Mover, fanout
from forward.rounds import Subject

if TYPE_CHECKING:
    from forward.rounds import Result

__all__ = ["SWEEPS", "Sweep"]

MIB = 1 << 20
KIB = 1 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """A question, the subjects that answer it, and how far apart two of them may be.

    figure: "cpu", "broker" or "peak".
    compared: the first's figure over the second's is what the budget is about; empty where a reader judges.
    most, least: bounds of that ratio.
    """

    name: str
    question: str
    subjects: Sequence[Subject]
    figure: str
    compared: tuple[str, str] | tuple[()] = ()
    most: float = float("inf")
    least: float = 0.0

    def of(self, result: Result, name: str) -> float:
        """The figure of one subject: CPU in µs a record, memory in MB."""
        if self.figure == "peak":
            return max(run.peak_bytes for run in result.runs[name]) / 1e6
        return median(result.cpu_us(name) if self.figure == "cpu" else result.broker_us(name))

    def verdict(self, result: Result) -> str:
        """The ratio, and whether it keeps the budget."""
        if not self.compared:
            return ""
        above, below = (self.of(result, name) for name in self.compared)
        ratio = above / below
        word = "met   " if self.least <= ratio <= self.most else "MISSED"
        bound = f"at most {self.most:g}" if self.least == 0 else f"at least {self.least:g}"
        return f"{word} {self.compared[0]} ÷ {self.compared[1]}: {bound} times, seen {ratio:.2f}"


def _by_targets(*numbers: int) -> list[Subject]:
    # So many that the memory which 256 open batches take for the first time is not what is measured.
    source = Source(records=6_000_000, partitions=4)
    return [
        Subject(name=f"{targets} targets", source=replace(source, targets=targets), mover=BY_KEY) for targets in numbers
    ]


def _by_lanes(*numbers: int) -> list[Subject]:
    # As many as that, for the same reason.
    source = Source(records=9_000_000, targets=64)
    return [
        Subject(name=f"{lanes} lane{'s' * (lanes > 1)}", source=replace(source, partitions=lanes), mover=BY_KEY)
        for lanes in numbers
    ]


def _memory() -> list[Subject]:
    source = Source(records=3_000_000, partitions=64, targets=256)
    small = fanout("16 MiB a lane", lane_memory_bytes=16 * MIB)
    return [
        Subject(name="64 lanes, 256 targets, defaults", source=source, mover=BY_KEY),
        Subject(name="64 lanes, 256 targets, 16 MiB a lane", source=source, mover=small),
    ]


def _merging() -> list[Subject]:
    source = Source(records=200_000, batch_records=1)
    return [
        Subject(name="merged", source=source, mover=_whole(merge_below_bytes=MIB)),
        Subject(name="not merged", source=source, mover=_whole(merge_below_bytes=0)),
    ]


def _threshold(*batch_records: int) -> list[Subject]:
    """Both ways at each size. A record takes 107 bytes on the wire."""
    return [
        Subject(
            name=f"batches of {number}, {way}",
            source=Source(records=min(1_000_000, number * 20_000), batch_records=number),
            mover=_whole(merge_below_bytes=below),
        )
        for number in batch_records
        for way, below in (("passed", 0), ("merged", MIB))
    ]


def _whole(**settings: int) -> Mover:
    return fanout("whole batches", route="batch", **settings)


def _by_fetch(*sizes: int) -> list[Subject]:
    source = Source(records=2_000_000)
    return [
        Subject(
            name=f"{way}, fetches of {size // KIB} KiB",
            source=source,
            mover=fanout(f"{way} {size}", route=route, fetch_bytes=size, lane_memory_bytes=max(64 * MIB, 4 * size)),
        )
        for size in sizes
        for way, route in (("by key", "key"), ("whole batches", "batch"))
    ]


SWEEPS = (
    Sweep(
        name="targets",
        question="does a record cost more where there are more target partitions?",
        subjects=_by_targets(10, 64, 256),
        figure="cpu",
        compared=("256 targets", "10 targets"),
        most=1.5,
    ),
    Sweep(
        name="lanes",
        question="does a record cost more where there are more lanes?",
        subjects=_by_lanes(1, 8, 64),
        figure="cpu",
        compared=("64 lanes", "1 lane"),
        most=1.2,
    ),
    Sweep(
        name="memory",
        question="does memory stay within the setting, however many lanes and targets?",
        subjects=_memory(),
        figure="peak",
    ),
    Sweep(
        name="merging",
        question="what does merging one-record batches save the broker?",
        subjects=_merging(),
        figure="broker",
        compared=("not merged", "merged"),
        least=10,
    ),
    Sweep(
        name="threshold",
        question="from which source batch size on is passing cheaper than merging?",
        subjects=_threshold(10, 40, 100, 300),
        figure="cpu",
    ),
    Sweep(
        name="fetch",
        question="how many bytes should a lane ask for at once?",
        subjects=_by_fetch(256 * KIB, MIB, 2 * MIB, 4 * MIB, 16 * MIB),
        figure="cpu",
    ),
)
