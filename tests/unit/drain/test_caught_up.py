"""When to cut."""

from __future__ import annotations

from fanout.drain.caught_up import CaughtUp, Reading


def reading(at_s: float, left: dict[int, int], finished: dict[int, int]) -> Reading:
    return Reading(at_s=at_s, left=left, finished=finished)


def test_three_readings_near_the_end_are_enough_and_two_are_not() -> None:
    judge = CaughtUp(5.0, 0.0)
    answers = [judge.add(reading(t, {0: 400}, {0: 100 * t})) for t in range(1, 5)]
    assert answers == [False, False, True, True]


def test_one_reading_far_from_the_end_starts_the_count_again() -> None:
    judge = CaughtUp(5.0, 0.0)
    lefts = [400, 400, 10_000, 400, 400, 400]
    answers = [judge.add(reading(t, {0: left}, {0: 100 * t})) for t, left in enumerate(lefts, start=1)]
    assert answers == [False, False, False, False, False, True]


def test_every_source_partition_must_be_near() -> None:
    judge = CaughtUp(5.0, 0.0)
    for t in range(1, 10):
        assert not judge.add(reading(t, {0: 0, 1: 1000}, {0: 100 * t, 1: 100 * t}))


def test_nothing_left_is_near_even_when_nothing_was_ever_finished() -> None:
    judge = CaughtUp(5.0, 0.0)
    assert [judge.add(reading(t, {0: 0}, {0: 0})) for t in (1, 2, 3)] == [False, False, True]


def test_workers_that_wait_for_records_keep_the_rate_they_have_shown() -> None:
    judge = CaughtUp(5.0, 0.0)
    judge.add(reading(10, {0: 5000}, {0: 2000}))
    for t in range(11, 60):
        judge.add(reading(t, {0: 9000}, {0: 2000 + t}))
    assert judge.rate(0) == 200.0


def test_the_eta_is_that_of_the_slowest_partition() -> None:
    judge = CaughtUp(5.0, 0.0)
    now = reading(10, {0: 1000, 1: 1000, 2: 0}, {0: 2000, 1: 500, 2: 0})
    judge.add(now)
    assert judge.eta_s(now) == 20.0


def test_the_eta_is_unknown_while_a_partition_with_records_left_does_not_move() -> None:
    judge = CaughtUp(5.0, 0.0)
    now = reading(10, {0: 1000, 1: 1}, {0: 2000, 1: 0})
    judge.add(now)
    assert judge.eta_s(now) is None
