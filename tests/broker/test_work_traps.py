"""
Ways in which a consumer that looks right loses records or stands still; each has caught somebody.

A dead-letter topic that is missing or goes away is one more: see `test_dead_letters.py`.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from conftest import unique_name
from killing import dead_letters, toll_of, workers

from .working import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Lay, Topics
    from killing import Job, Kill

AT_ONCE = 100
CURSED = 20


def test_trap_a_kill_within_a_second_of_a_commit_while_long_handlers_run_loses_none(topics: Topics, lay: Lay) -> None:
    keys = [b"key-%d" % number for number in range(4 * AT_ONCE)]
    job = lay(topics("orders", 4), "nap", keys, sleep_s=[2, 2], concurrency=AT_ONCE)
    # A name of its own in the group gives the next process the partitions at once.
    with workers(job, {"group.instance.id": unique_name("seat")}) as supervisor:
        kill, after_s = kill_soon_after_a_commit(job, len(keys), supervisor.pids)
        passed = job.passed_unfinished()
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end")
        supervisor.stop()
    toll = toll_of(job.handled.lines(), [kill])
    print(f"killed {after_s:.2f} s after a commit with {kill.running} handlers of 2 s under way")
    toll.report([kill])
    job.verdict().require()
    assert passed == []
    assert kill.running > AT_ONCE // 2, "hardly anything was in flight: the run is void"
    assert toll.repeats == {kill.pid: kill.in_flight}


def kill_soon_after_a_commit(job: Job, keys: int, pids: Callable[[], list[int]]) -> tuple[Kill, float]:
    """Looks until the commits have moved, and kills while that is less than a second ago for sure.

    A machine that stalls may not look in time: there is work until it does.
    """
    looked, before = time.monotonic(), job.places()
    deadline = looked + 120
    while True:
        job.top_up(keys, 2 * AT_ONCE)
        now_at, now = time.monotonic(), job.places()
        busy = job.busy(pids())
        since_s = time.monotonic() - looked
        if now != before and since_s < 1 and sum(map(len, busy.values())) > AT_ONCE // 2:
            return job.kill(next(iter(busy))), since_s
        assert now_at < deadline, "no commit was seen in time: the run is void"
        looked, before = now_at, now


def test_trap_what_always_fails_is_a_dead_letter_and_nothing_is_committed_past_it_before(
    topics: Topics, lay: Lay
) -> None:
    dead, count = topics("dead"), 2_000
    cursed = random.Random(3).sample(range(count), CURSED)
    keys = [b"key-%d" % (number % 150) for number in range(count)]
    # One of the last records ends when somebody has looked.
    job = lay(topics("orders", 3), "cursed", keys, dlq=dead, cursed=cursed, slow=[count - 1], sleep_s=[0.1, 0.2])
    looks = 0
    passed = set[str]()
    with workers(job, workers=2, dead_letter_share=0.05) as supervisor:
        while not (supervisor.poll() and job.is_finished()):
            looks += 0 < sum(job.places().values()) < count
            passed.update(job.passed_unfinished(lambda: dead_letters(job, dead)))
            if looks:
                job.let_go()
        stats = supervisor.stop()
    letters = dead_letters(job, dead)
    named = {
        f"{job.topic}/{p}/{offset}" for (_, sequence), (p, offset) in job.acknowledged.items() if sequence in cursed
    }
    done = job.handled.ended()
    print(f"records={count} done={len(done)} dead_letters={len(letters)} looks={looks} committed_past={len(passed)}")
    assert looks, "the work was over before anybody looked: the run is void"
    assert passed == set()
    assert sorted(letters) == sorted(named)
    assert done.keys() == {f"{job.topic}/{p}/{offset}" for p, offset in job.acknowledged.values()} - named
    assert stats.dead_letters == CURSED


@pytest.mark.parametrize("mostly", ["without-a-key", "distinct"])
def test_trap_records_without_a_key_fill_every_slot_as_distinct_keys_do(topics: Topics, lay: Lay, mostly: str) -> None:
    """Handlers end only once as many run at once as may: were records without a key one queue, none ever would."""
    keys: list[bytes | None] = [
        b"hot" if number % 20 == 0 else None if mostly == "without-a-key" else b"key-%d" % number
        for number in range(4 * AT_ONCE)
    ]
    job = lay(topics("orders", 2), "gather", keys, concurrency=AT_ONCE)
    with workers(job) as supervisor:
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end")
        supervisor.stop()
    order = job.handled.order()
    print(f"records={len(keys)} handled={len(job.handled.ended())} most_at_once={order.most_at_once}")
    assert order.most_at_once == AT_ONCE
    assert (order.two_of_a_key, order.out_of_order) == ([], [])
    assert set(job.handled.ended().values()) == {1}
    assert len(job.handled.ended()) == len(keys)
