"""The effects checker: every record handled, the first handling of each key in order, repeats counted apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .effects import Effect, check_effects

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = [b"a", b"b", b"c"]
ACKNOWLEDGED = {(key, n): (index, n * 2) for index, key in enumerate(KEYS) for n in range(50)}


def right() -> list[Effect]:
    return [Effect(key, n, (index, n * 2)) for n in range(50) for index, key in enumerate(KEYS)]


def leave_one_out(effects: list[Effect]) -> None:
    del effects[31]


def handle_a_later_one_first(effects: list[Effect]) -> None:
    effects[30], effects[33] = effects[33], effects[30]


def tell_another_place(effects: list[Effect]) -> None:
    effects[30] = effects[30]._replace(origin=(2, 999))


def handle_what_was_never_sent(effects: list[Effect]) -> None:
    effects.append(Effect(b"a", 50, (0, 100)))


PLANTED: dict[Callable[[list[Effect]], None], str] = {
    leave_one_out: "unhandled",
    handle_a_later_one_first: "out_of_order",
    tell_another_place: "wrong_origin",
    handle_what_was_never_sent: "foreign",
}


def test_right_effects_have_no_fault() -> None:
    verdict = check_effects(right(), ACKNOWLEDGED)
    verdict.require()
    assert str(verdict).endswith("foreign=0 repeats=0")


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_by_its_own_check_and_no_other(plant: Callable[[list[Effect]], None]) -> None:
    effects = right()
    plant(effects)
    verdict = check_effects(effects, ACKNOWLEDGED)
    assert verdict.caught == {PLANTED[plant]}
    assert verdict[PLANTED[plant]] == 1


def test_repeats_are_counted_apart_and_may_come_late() -> None:
    effects = right()
    effects[60:60] = effects[30:40]
    verdict = check_effects(effects, ACKNOWLEDGED)
    assert verdict.ok
    assert dict(verdict.notes) == {"repeats": 10}


def test_no_effects_prove_nothing() -> None:
    assert check_effects([], ACKNOWLEDGED).void
    assert check_effects([], {}).void
    assert not check_effects([], {}).ok
