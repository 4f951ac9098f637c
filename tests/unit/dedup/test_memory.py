"""Memory holds what a window holds, however long it is used."""

from __future__ import annotations

from itertools import pairwise

from fanout.dedup.memory import SWEPT, MemoryStore, Table
from fanout.dedup.store import Claim, claim

WINDOW_S = 100


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def of(record: int) -> Claim:
    return Claim(b"key-%d" % record, b"a:%d" % record)


def test_keys_that_are_new_for_ever_take_no_more_than_a_window_of_them() -> None:
    clock = Clock()
    table = Table(clock=clock)
    store, most = MemoryStore(WINDOW_S, table), 0
    for second in range(20 * WINDOW_S):
        clock.now = second
        claim(store, [of(second)])
        if second % 2:
            store.complete([of(second)])
        most = max(most, len(table.kept))
    print(f"keys={20 * WINDOW_S} window={WINDOW_S} most_kept={most}")
    assert most <= WINDOW_S + 1


def test_what_piled_up_at_once_is_swept_out_a_few_at_a_time() -> None:
    clock = Clock()
    table = Table(clock=clock)
    store = MemoryStore(WINDOW_S, table)
    claim(store, [of(record) for record in range(1_000)])
    clock.now = WINDOW_S + 1
    kept = [len(table.kept)]
    for record in range(1_000, 2_001):
        claim(store, [of(record)])
        kept.append(len(table.kept))
    assert min(after - before for before, after in pairwise(kept)) == 1 - SWEPT
    assert kept[-1] == 1_001


def test_keys_that_are_written_again_stay_for_their_new_window_and_hold_no_sweep_up() -> None:
    clock = Clock()
    table = Table(clock=clock)
    store = MemoryStore(WINDOW_S, table)
    claim(store, [of(record) for record in range(4)])
    clock.now = WINDOW_S - 1
    store.complete([of(0), of(1)])
    clock.now = WINDOW_S + 1
    claim(store, [of(4)])
    assert list(table.kept) == [b"key-0", b"key-1", b"key-4"]


def test_owners_that_never_retired_are_forgotten_once_they_are_gone() -> None:
    clock = Clock()
    table = Table(clock=clock)
    store = MemoryStore(WINDOW_S, table)
    for second in range(50):
        clock.now = second
        store.renew(f"owner-{second}", 10)
    assert len(table.owners) == 10
