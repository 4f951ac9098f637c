"""Which targets each source partition may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.drain.allotment import allot
from fanout.errors import RefusedError

WORK = st.dictionaries(st.integers(0, 40), st.integers(0, 10**9).map(float), min_size=1, max_size=20)


def shares(work: dict[int, float], targets: int) -> list[int]:
    return [len(allotted) for allotted in allot(work, targets).values()]


def test_ten_targets_over_three_equal_partitions_are_four_three_three() -> None:
    assert allot({0: 1.0, 1: 1.0, 2: 1.0}, 10) == {0: (0, 1, 2, 3), 1: (4, 5, 6), 2: (7, 8, 9)}


def test_the_partition_with_most_work_gets_most_targets() -> None:
    assert shares({0: 700.0, 1: 200.0, 2: 100.0}, 10) == [7, 2, 1]


def test_a_partition_without_work_still_gets_one() -> None:
    assert shares({0: 0.0, 1: 1000.0, 2: 0.0}, 10) == [1, 8, 1]


def test_no_work_at_all_is_shared_evenly() -> None:
    assert shares({0: 0.0, 1: 0.0, 2: 0.0}, 6) == [2, 2, 2]


def test_fewer_targets_than_source_partitions_are_refused() -> None:
    with pytest.raises(RefusedError, match="2 target partitions are fewer than the 3 source partitions"):
        allot({0: 1.0, 1: 1.0, 2: 1.0}, 2)


@given(WORK, st.integers(0, 100))
def test_every_target_belongs_to_one_source_partition_and_each_has_one(work: dict[int, float], extra: int) -> None:
    targets = len(work) + extra
    allotted = allot(work, targets)

    assert set(allotted) == set(work)
    assert min(map(len, allotted.values())) >= 1
    assert sorted(target for share in allotted.values() for target in share) == list(range(targets))


@given(WORK, st.integers(0, 100))
def test_more_work_never_means_fewer_targets(work: dict[int, float], extra: int) -> None:
    allotted = allot(work, len(work) + extra)
    ranked = sorted(work, key=lambda source: (work[source], -source))
    counts = [len(allotted[source]) for source in ranked]
    assert counts == sorted(counts)


@given(WORK, st.integers(0, 100), st.randoms())
def test_the_same_numbers_in_another_order_give_the_same_shares(
    work: dict[int, float], extra: int, random: object
) -> None:
    shuffled = list(work.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allot(dict(shuffled), len(work) + extra) == allot(work, len(work) + extra)
