"""A lane that another process owns by now ends with its own exit code, in seconds, and never fights."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from commands import Running, fanout
from faults.world import Road

if TYPE_CHECKING:
    from conftest import Kafka, Topics

FENCED = 6
EXIT_BUDGET_S = 20.0
MOST_RENEWALS = 2


def carry_the_rest_and_prove(road: Road) -> None:
    """Whatever happened, the next forwarder ends it well."""
    fanout(road.bootstrap, *road.arguments, "--until", "end").require()
    road.prove()


def test_a_foreign_producer_under_a_lanes_id_ends_the_forwarder_and_nothing_is_fought_for(
    kafka: Kafka, topics: Topics
) -> None:
    road = Road.laid(kafka.bootstrap, topics)
    with road.generator.feed(5_000), Running(kafka.bootstrap, *road.arguments) as running:
        road.wait_for_more(than=0)
        names = {"bootstrap.servers": kafka.bootstrap, "transactional.id": f"fanout.{road.group}.{road.source}.0"}
        hijacker = Producer(names)
        hijacker.init_transactions(30)
        hijacked = time.monotonic()
        ran = running.wait(60)
        took = time.monotonic() - hijacked
    renewals = len(re.findall("transaction given up", ran.err))
    print(f"exit_code={ran.code} exit_s={took:.2f} renewals={renewals}")
    ran.require(FENCED)
    assert "is owned by another process now" in ran.out + ran.err
    assert took < EXIT_BUDGET_S
    assert renewals <= MOST_RENEWALS
    carry_the_rest_and_prove(road)


def test_a_forwarder_frozen_past_its_transactions_timeout_finds_its_lanes_taken_and_ends(
    kafka: Kafka, topics: Topics
) -> None:
    road = Road.laid(kafka.bootstrap, topics)
    with road.generator.feed(5_000), Running(kafka.bootstrap, *road.arguments) as zombie:
        road.wait_for_more(than=0)
        zombie.signal(signal.SIGSTOP)
        with Running(kafka.bootstrap, *road.arguments) as replacement:
            road.wait_for_more(than=road.visible())
            zombie.signal(signal.SIGCONT)
            woken = time.monotonic()
            ran = zombie.wait(60)
            took = time.monotonic() - woken
            road.wait_for_more(than=road.visible())
            assert replacement.runs, replacement.said()
    print(f"exit_code={ran.code} exit_s={took:.2f}")
    ran.require(FENCED)
    assert took < EXIT_BUDGET_S
    carry_the_rest_and_prove(road)
