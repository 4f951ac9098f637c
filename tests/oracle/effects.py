"""
Comparing what handlers did with what the source acknowledged.

Handlers append an effect for each record they handle: key, sequence, and the origin they were told. Handlers run at
least once, so a repeated effect is no fault: it is counted apart, and only the *first* handling of each record must
keep the order of its key.

unhandled     acknowledged, and no effect
out_of_order  first handled after a later record of its key was
wrong_origin  the handler was told another place than the broker acknowledged
foreign       an effect of a record that was never acknowledged
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .verdict import Sheet, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EFFECT_CHECKS", "Effect", "check_effects"]

EFFECT_CHECKS = ("unhandled", "out_of_order", "wrong_origin", "foreign")

Origin = tuple[int, int]


class Effect(NamedTuple):
    """One handling. `key` and `sequence` name the record, `origin` is its source partition and offset."""

    key: bytes
    sequence: int
    origin: Origin


def check_effects(effects: Iterable[Effect], acknowledged: Mapping[tuple[bytes, int], Origin]) -> Verdict:
    """Checks effects, given in the order they were appended, against `(key, sequence)` → origin of every record."""
    sheet = Sheet(EFFECT_CHECKS)
    handled: set[tuple[bytes, int]] = set()
    last_of_key: dict[bytes, int] = {}
    repeats = seen = 0
    for effect in effects:
        seen += 1
        name, where = (effect.key, effect.sequence), f"{effect.key!r}#{effect.sequence}"
        origin = acknowledged.get(name)
        if origin is None:
            sheet.note("foreign", where, "never acknowledged")
            continue
        if origin != effect.origin:
            sheet.note("wrong_origin", where, f"told {effect.origin}, acknowledged at {origin}")
        if name in handled:
            repeats += 1
            continue
        handled.add(name)
        if effect.sequence > last_of_key.get(effect.key, -1):
            last_of_key[effect.key] = effect.sequence
        else:
            sheet.note("out_of_order", where, f"#{last_of_key[effect.key]} was handled before it")
    for name in acknowledged.keys() - handled:
        partition, offset = acknowledged[name]
        sheet.note("unhandled", f"{name[0]!r}#{name[1]}", f"acknowledged at {partition}@{offset}")
    return Verdict(
        subject="handled",
        records=seen,
        expected=len(acknowledged),
        faults=sheet.faults,
        notes=(("repeats", repeats),),
        findings=sheet.findings,
    )
