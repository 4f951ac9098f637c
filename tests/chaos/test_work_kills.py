"""Workers are killed every two seconds in the middle of their handlers: nothing is lost, each key keeps its order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from broker.working import wait_until
from killing import dead_letters, kill_every, toll_of, workers

if TYPE_CHECKING:
    import pytest

    from conftest import Lay, Topics

RECORDS = 24_000
KEYS = 2_000
KILLS = 8
EVERY_S = 2.0


def test_kills_every_two_seconds_over_64_partitions_leave_nothing_unhandled(
    topics: Topics, lay: Lay, caplog: pytest.LogCaptureFixture
) -> None:
    keys = (b"key-%d" % (number % KEYS) for number in range(RECORDS))
    job = lay(topics("orders", 64), "nap", keys, sleep_s=[0.005, 0.075], concurrency=25)
    began = time.monotonic()
    with workers(job, workers=4) as supervisor:
        kills = kill_every(EVERY_S, job, supervisor, KILLS, KEYS)
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end", 120)
        stats = supervisor.stop()
    toll = toll_of(job.handled.lines(), kills)
    toll.report(kills)
    print(f"kills={len(kills)} repeats={toll.repeats.total()} of_survivors={toll.of_survivors(kills)} "
          f"overlapping={len(toll.overlapping)} took_s={time.monotonic() - began:.0f}")  # fmt: skip
    job.verdict().require()
    assert [kill for kill in kills if toll.repeats[kill.pid] > kill.in_flight] == []
    assert toll.unexplained(kills, caplog.text) == 0
    assert toll.overlapping == []
    assert stats.restarts == {"SIGKILL": KILLS}


SLOW_PARTITIONS = 8
MOST_IN_FLIGHT = 300


def test_one_poison_and_one_stuck_handler_a_partition_hold_nobody_else_up(topics: Topics, lay: Lay) -> None:
    """The first two records of each partition: one handler that ends when all else is over, one that always fails."""
    dead, count = topics("dead"), 6_000
    slow, poison = set(range(SLOW_PARTITIONS)), set(range(SLOW_PARTITIONS, 2 * SLOW_PARTITIONS))
    job = lay(
        topics("orders", SLOW_PARTITIONS),
        "cursed",
        (b"key-%d" % (number if number < 2 * SLOW_PARTITIONS else number % 200 + 100) for number in range(count)),
        partition_of=lambda number: number % SLOW_PARTITIONS,
        dlq=dead,
        slow=sorted(slow),
        cursed=sorted(poison),
        sleep_s=[0, 0.01],
    )
    most = 0
    with workers(job, workers=2, in_flight_records=MOST_IN_FLIGHT) as supervisor:

        def others_are_done() -> bool:
            nonlocal most
            most = max(most, supervisor.poll().in_flight)
            return len(job.handled.ended()) == count - 2 * SLOW_PARTITIONS

        wait_until(others_are_done, "all others, while one handler a partition is stuck", 90)
        wait_until(lambda: supervisor.poll().in_flight > 0, "a report that counts what is stuck")
        most = max(most, supervisor.poll().in_flight)
        places = job.places()
        job.let_go()
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end")
        supervisor.stop()
    letters = dead_letters(job, dead)
    print(f"records={count} done={len(job.handled.ended())} dead_letters={len(letters)} "
          f"most_in_flight={most} committed_while_stuck={sum(places.values())}")  # fmt: skip
    assert sorted(letters) == sorted(f"{job.topic}/{p}/1" for p in range(SLOW_PARTITIONS))
    assert set(job.handled.ended().values()) == {1}
    assert len(job.handled.ended()) == count - SLOW_PARTITIONS
    assert set(places.values()) <= {0}, "a commit passed a handler that was stuck"
    assert 0 < most <= 2 * MOST_IN_FLIGHT
