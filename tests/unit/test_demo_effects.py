"""The demo's own comparison: right effects hold, and each planted bug is counted where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fanout.demo.acknowledged import Acknowledged, Origin
from fanout.demo.effects import Effect, check_effects

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = [b"a", b"b", b"c"]
OLD, WORKER, DEAD = 11, 12, 13


def place(key: bytes, sequence: int) -> Origin:
    return Origin(KEYS.index(key), 2 * sequence)


def acknowledged() -> Acknowledged:
    records = Acknowledged()
    for sequence in range(50):
        for key in KEYS:
            records.add(key, sequence, place(key, sequence))
    return records


def right() -> list[Effect]:
    """What an old consumer and, after it, a worker should leave behind."""
    return [Effect(key, n, place(key, n), OLD if n < 20 else WORKER) for n in range(50) for key in KEYS]


def lose_one(effects: list[Effect]) -> None:
    del effects[31]


def lose_the_last_of_a_key(effects: list[Effect]) -> None:
    effects.pop()


def double_one_in_one_worker(effects: list[Effect]) -> None:
    effects.insert(100, effects[100])


def double_one_over_a_cut_over(effects: list[Effect]) -> None:
    effects.append(effects[0]._replace(worker=WORKER))


def swap_two_of_a_key(effects: list[Effect]) -> None:
    effects[30], effects[33] = effects[33], effects[30]


def handle_an_old_one_last(effects: list[Effect]) -> None:
    effects.append(effects.pop(0))


def tell_another_place(effects: list[Effect]) -> None:
    effects[30] = effects[30]._replace(origin=Origin(2, 999))


def handle_what_was_never_acknowledged(effects: list[Effect]) -> None:
    effects.append(Effect(b"a", 50, Origin(0, 100), WORKER))


def handle_a_key_that_never_was(effects: list[Effect]) -> None:
    effects.append(Effect(b"nobody", 0, Origin(0, 0), WORKER))


PLANTED: dict[Callable[[list[Effect]], None], str] = {
    lose_one: "lost",
    lose_the_last_of_a_key: "lost",
    double_one_in_one_worker: "duplicated",
    double_one_over_a_cut_over: "duplicated",
    swap_two_of_a_key: "out_of_order",
    handle_an_old_one_last: "out_of_order",
    tell_another_place: "foreign",
    handle_what_was_never_acknowledged: "foreign",
    handle_a_key_that_never_was: "foreign",
}


def test_right_effects_hold() -> None:
    verdict = check_effects(right(), acknowledged())
    assert verdict.holds
    assert str(verdict) == "records=150 lost=0 duplicated=0 out_of_order=0"


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_counted_once_and_where_it_belongs(plant: Callable[[list[Effect]], None]) -> None:
    effects = right()
    plant(effects)
    verdict = check_effects(effects, acknowledged())
    assert not verdict.holds
    figures = {name: getattr(verdict, name) for name in ("lost", "duplicated", "out_of_order", "foreign", "repeated")}
    assert {name: count for name, count in figures.items() if count} == {PLANTED[plant]: 1}
    assert len(verdict.findings) == 1
    assert verdict.findings[0].startswith(PLANTED[plant])
    assert f"{PLANTED[plant]}=1" in str(verdict)


def test_what_a_killed_worker_had_not_committed_is_repeated_not_duplicated() -> None:
    effects = [effect._replace(worker=DEAD) if 60 <= number < 80 else effect for number, effect in enumerate(right())]
    effects[80:80] = [effect._replace(worker=WORKER) for effect in effects[70:80]]
    verdict = check_effects(effects, acknowledged(), {DEAD})
    assert verdict.holds
    assert str(verdict) == "records=150 lost=0 duplicated=0 out_of_order=0 repeated=10"


def test_a_second_repeat_by_a_living_worker_is_a_duplicate() -> None:
    effects = [effect._replace(worker=DEAD) if number == 60 else effect for number, effect in enumerate(right())]
    effects += [effects[60]._replace(worker=WORKER)] * 2
    verdict = check_effects(effects, acknowledged(), {DEAD})
    assert (verdict.repeated, verdict.duplicated) == (1, 1)
    assert not verdict.holds


def test_a_record_lost_with_its_killed_worker_is_lost() -> None:
    effects = [effect._replace(worker=DEAD) if number == 60 else effect for number, effect in enumerate(right())]
    del effects[61]
    verdict = check_effects(effects, acknowledged(), {DEAD})
    assert (verdict.lost, verdict.repeated) == (1, 0)


def test_every_fault_is_counted_and_some_are_named() -> None:
    verdict = check_effects([], acknowledged())
    assert verdict.lost == 150
    assert len(verdict.findings) == 10


def test_no_records_prove_nothing() -> None:
    assert not check_effects([], Acknowledged()).holds


def test_an_effect_is_read_as_it_was_written() -> None:
    effect = Effect(b"a", 7, Origin(2, 1 << 40), 4711)
    assert Effect.read(effect.key, effect.value()) == effect


@pytest.mark.parametrize(
    ("sequence", "origin"),
    [(2, Origin(0, 30)), (0, Origin(0, 30)), (1, Origin(1, 30))],
    ids=["one is missing", "one comes again", "it changes its partition"],
)
def test_an_acknowledgement_that_does_not_continue_its_key_is_refused(sequence: int, origin: Origin) -> None:
    records = Acknowledged()
    records.add(b"a", 0, Origin(0, 10))
    with pytest.raises(ValueError, match="does not continue"):
        records.add(b"a", sequence, origin)
