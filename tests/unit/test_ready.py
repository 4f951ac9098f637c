"""Which record runs next: the earliest of its partition, and the partitions by turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fanout.work.ready import Ready, Runnable

SEQ_BITS = 44
"""As in the core: the upper bits of a record's number are its assignment."""


def record(assignment: int, seq: int) -> Runnable:
    return (assignment << SEQ_BITS | seq, f"{assignment}-{seq}")


def queued(*runnable: Runnable) -> Ready:
    ready = Ready()
    for one in runnable:
        ready.add(one)
    return ready


def taken(ready: Ready) -> list[Runnable]:
    found = []
    while ready:
        found.append(ready.take())
    return found


def test_a_record_that_waited_for_its_key_runs_before_those_read_after_it() -> None:
    ready = queued(*(record(1, seq) for seq in (1, 2, 5, 6, 7)))
    first = ready.take()
    ready.add(record(1, 4))
    ready.add(record(1, 3))
    assert [first, *taken(ready)] == [record(1, seq) for seq in range(1, 8)]


def test_a_key_with_many_records_does_not_run_ahead_of_the_others() -> None:
    ready = queued(record(1, 1), record(1, 2))
    assert ready.take() == record(1, 1)
    ready.add(record(1, 1_000))
    assert taken(ready) == [record(1, 2), record(1, 1_000)]


def test_partitions_take_turns() -> None:
    ready = queued(*(record(assignment, seq) for assignment in (1, 2) for seq in (1, 2)), record(3, 1))
    assert taken(ready) == [record(1, 1), record(2, 1), record(3, 1), record(1, 2), record(2, 2)]


def test_what_is_gone_is_forgotten_and_the_rest_keeps_its_order() -> None:
    ready = queued(record(1, 5), record(2, 1), record(1, 2), record(2, 3), record(1, 9))
    ready.drop(lambda number: number >> SEQ_BITS == 2 or number == record(1, 5)[0])
    assert taken(ready) == [record(1, 2), record(1, 9)]
    assert not ready


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50)), unique=True))
def test_nothing_is_lost_and_each_partition_runs_in_order(numbers: list[tuple[int, int]]) -> None:
    ran = taken(queued(*(record(*number) for number in numbers)))
    assert sorted(ran) == sorted(record(*number) for number in numbers)
    for assignment in (1, 2, 3):
        own = [one for one in ran if one[0] >> SEQ_BITS == assignment]
        assert own == sorted(own)
