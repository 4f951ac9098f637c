"""Workers over one store of claims, killed for minutes: what still runs twice is the window that is promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.working import wait_until
from fanout.config.dedup import DedupSettings
from killing import kill_every, workers
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Lay, Topics
    from killing import Job

RECORDS = 40_000
KEYS = 2_000
KILLS = 30


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A store that only this test uses."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


def test_with_claims_only_what_a_killed_worker_ended_last_is_handled_twice(
    topics: Topics, lay: Lay, redis: RedisServer
) -> None:
    keys = (b"key-%d" % (number % KEYS) for number in range(RECORDS))
    job = lay(topics("orders", 16), "nap", keys, sleep_s=[0.02, 0.12], concurrency=25)
    with workers(job, workers=4, dedup=DedupSettings(url=redis.url)) as supervisor:
        kills = kill_every(2.0, job, supervisor, KILLS, KEYS)
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end", 600)
        stats = supervisor.stop()
    in_flight, suppressed, twice = sum(kill.in_flight for kill in kills), stats.processed[job.topic]["repeated"], 0
    for number, kill in enumerate(kills, start=1):
        ended, again = ended_of(job, kill.pid)
        twice += len(again)
        print(f"kill {number}: {kill.in_flight} in flight, {len(ended)} ended, {len(again)} of them again")
        assert again == ended[len(ended) - len(again) :], "an earlier one was handled again, a later one was not"
    print(f"kills={len(kills)} in_flight={in_flight} suppressed={suppressed} handled_twice={twice}")
    job.verdict().require()
    assert job.handled.ended().total() - len(job.handled.ended()) == twice
    assert suppressed > twice, "hardly a repeat was kept from a handler: the run is void"


def ended_of(job: Job, pid: int) -> tuple[list[str], list[str]]:
    """What that process ended, in order, and what of it another one ended after it."""
    mine, later = dict[str, None](), set[str]()
    for line in job.handled.lines():
        if line.kind == "end":
            if line.pid == pid:
                mine[line.id] = None
            elif line.id in mine:
                later.add(line.id)
    return list(mine), [name for name in mine if name in later]
