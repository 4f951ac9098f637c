"""How long the last commit of a partition is tried."""

from __future__ import annotations

import time
from itertools import repeat

import pytest
from confluent_kafka import KafkaError, KafkaException

from fanout._fanout import Intake
from fanout.work.commits import LEAST_TRIES, Commits
from fanout.work.feed import Reading

from .twins import TwinConsumer, records_of

REBALANCE_IN_PROGRESS = 27


@pytest.fixture
def consumer() -> TwinConsumer:
    return TwinConsumer({0: records_of(0, range(3))})


@pytest.fixture
def commits(consumer: TwinConsumer) -> Commits:
    """Of three records that are done."""
    intake = Intake("orders", "key", limits=(16, 1 << 20))
    intake.assign(0, 0, "")
    runnable, _ = intake.take(consumer.records[0])
    intake.settle([number for number, _ in runnable], [])
    reading = Reading(topic="orders", group="workers", cooperative=True, stop_s=7, commit_s=5, records=16)
    return Commits(reading, consumer, intake)


def test_a_rebalance_is_outwaited_as_long_as_there_is_time(consumer: TwinConsumer, commits: Commits) -> None:
    consumer.refusals += repeat(KafkaException(KafkaError(REBALANCE_IN_PROGRESS)), 20)
    waits: list[float] = []
    commits.last(time.monotonic() + 3_600, waits.append)
    assert commits.committed == {0: 3}
    assert len(waits) == 20
    assert sum(waits) > 5


def test_a_callback_of_the_client_tries_only_for_a_moment(consumer: TwinConsumer, commits: Commits) -> None:
    consumer.refusals += repeat(KafkaException(KafkaError(REBALANCE_IN_PROGRESS)), 1_000)
    commits.last()
    assert commits.committed == {}
    assert len(consumer.refusals) == 1_000 - LEAST_TRIES
