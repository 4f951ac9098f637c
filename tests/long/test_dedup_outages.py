"""Workers over a store that is gone for half a minute at a time, in every way it can be."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from broker.working import wait_until
from chaos.once_stage import Stage, stage
from redis_server import RedisServer

__all__ = ["stage"]

OUTAGE_S = 30
EACH = 2_400


def paused(redis: RedisServer) -> None:
    redis.pause()
    time.sleep(OUTAGE_S)
    redis.resume()


def killed(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(OUTAGE_S)
    redis.start()


def out_of_memory(redis: RedisServer) -> None:
    redis.tell("CONFIG", "SET", "maxmemory", 1)
    time.sleep(OUTAGE_S)
    redis.tell("CONFIG", "SET", "maxmemory", 0)


def read_only(redis: RedisServer) -> None:
    redis.tell("REPLICAOF", "127.0.0.1", 1)
    time.sleep(OUTAGE_S)
    redis.tell("REPLICAOF", "NO", "ONE")


def flushed(redis: RedisServer) -> None:
    redis.tell("FLUSHALL")


FAULTS: tuple[Callable[[RedisServer], None], ...] = (paused, killed, out_of_memory, read_only, flushed)
RECORDS = EACH * len(FAULTS)


def test_no_outage_of_the_store_loses_a_record_and_repeats_are_those_it_forgot(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCE_NAP_S", "0.5")
    with stage.working(2) as supervisor:
        for number, fault in enumerate(FAULTS, start=1):
            stage.fill(EACH)
            half = number * EACH - EACH // 2
            wait_until(partial(has_handled, stage, half), "half of the new ones are handled", 120)
            before = stage.ended().total()
            fault(stage.redis)
            print(f"fault={fault.__name__} handled_before={before} handled_after={stage.ended().total()}")
        wait_until(stage.is_finished, "finished", 240)
        stats = supervisor.poll()
    ended = stage.ended()
    doubled = ended.total() - len(ended)
    print(
        f"records={RECORDS} lost={RECORDS - len(ended)} doubled={doubled} in_sink={stage.in_sink()} "
        f"restarts={stats.restarts} outcomes={dict(stats.processed[stage.topic])}"
    )
    assert len(ended) == stage.in_sink() == RECORDS
    assert doubled == 0, "no worker died in the middle of a record, so none had a reason to run one twice"


def has_handled(stage: Stage, count: int) -> bool:
    return len(stage.ended()) >= count
