"""One picture: what a million records cost, a bar a mover, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forward.rounds import Result

__all__ = ["draw"]

WIDTH, LABELS, RIGHT = 820, 230, 90
TOP, ROW, BAR, BOTTOM = 64, 26, 18, 30
OURS, THEIRS, NOTHING = "#1f7a6d", "#8a8f98", "#c9b458"
STYLE = "font-family:system-ui,sans-serif;font-size:13px"


@dataclass(frozen=True, slots=True)
class Scale:
    """CPU seconds to pixels, by their logarithm."""

    least: float
    most: float

    def at(self, value: float) -> float:
        """How far right `value` lies."""
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return LABELS + share * (WIDTH - LABELS - RIGHT)

    def marks(self) -> list[float]:
        """1, 2 and 5 of every power of ten in sight."""
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        marks = [round(digit * 10.0**power, 6) for power in powers for digit in (1, 2, 5)]
        return [mark for mark in marks if self.least <= mark <= self.most]


def draw(result: Result) -> str:
    """The movers of one cell as an SVG, cheapest first."""
    million = {name: median(result.cpu_us(name)) for name, runs in result.runs.items() if runs}
    bars = sorted(million.items(), key=lambda bar: bar[1])
    scale = Scale(bars[0][1] / 2, bars[-1][1] * 1.1)
    source = result.subjects[0].source
    what = f"{source.record_bytes}-byte records, {source.partitions} → {source.targets} partitions, batches of"
    packed = "uncompressed" if source.codec == "none" else source.codec
    height = TOP + ROW * len(bars) + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="12" y="24" font-weight="bold">CPU seconds of the process for a million records (log scale)</text>',
        f'<text x="12" y="44" fill="#555">{what} {source.batch_records}, {packed}; median</text>',
        *_grid(scale, height),
        *(line for number, bar in enumerate(bars) for line in _bar(scale, number, bar)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grid(scale: Scale, height: int) -> Sequence[str]:
    lines = []
    for mark in scale.marks():
        x, y = scale.at(mark), height - BOTTOM
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle" fill="#555">{mark:g}</text>')
    return lines


def _bar(scale: Scale, number: int, bar: tuple[str, float]) -> Sequence[str]:
    name, seconds = bar
    y, end = TOP + number * ROW, scale.at(seconds)
    colour = OURS if name.startswith("fanout") else NOTHING if name.startswith("null") else THEIRS
    middle = y + BAR - 4
    return (
        f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LABELS}" y="{y}" width="{end - LABELS:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<text x="{end + 6:.1f}" y="{middle}">{seconds:.3g}</text>',
    )
