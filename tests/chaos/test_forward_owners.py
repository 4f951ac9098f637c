"""A lane that another process owns by now ends with its own exit code, in seconds, and never fights."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from commands import Running, fanout
from conftest import unique_name
from oracle import Expectation, Recipe
from oracle.generate import Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove
from oracle.state import ends

if TYPE_CHECKING:
    from conftest import Kafka, Topics

KEPT = {"retention.ms": "-1"}
FENCED = 6
EXIT_BUDGET_S = 5.0
MOST_RENEWALS = 2
TARGETS = 3


class Road:
    """A fed source, its target and a group."""

    def __init__(self, kafka: Kafka, topics: Topics) -> None:
        self.bootstrap = kafka.bootstrap
        self.source, self.target = topics("source", 2, KEPT), topics("target", TARGETS, KEPT)
        self.group = unique_name("g")
        self.generator = Generator(kafka.bootstrap, self.source, Recipe(keys=97))

    @property
    def arguments(self) -> tuple[str, ...]:
        """A plain forward as a daemon."""
        return ("forward", "-t", self.source, "-g", self.group, "--to-topic", self.target, "--from", "earliest")

    def wait_for_more(self, than: int = 0) -> int:
        """Until read_committed readers of the target see more than that; what they see then."""
        deadline = time.monotonic() + 60
        while (seen := sum(ends(self.bootstrap, self.target).values())) <= than:
            assert time.monotonic() < deadline, "nothing is carried"
            time.sleep(0.05)
        return seen

    def prove(self) -> None:
        """Carries the rest and compares everything."""
        fanout(self.bootstrap, *self.arguments, "--until", "end").require()
        carried = Carried(bootstrap=self.bootstrap, source=self.source, target=self.target, group=self.group)
        placement = java_placement(TARGETS)
        recipe, ledger = self.generator.recipe, self.generator.ledger
        prove(carried, Expectation(recipe=recipe, ledger=ledger, placement=placement))


def test_a_foreign_producer_under_a_lanes_id_ends_the_forwarder_and_nothing_is_fought_for(
    kafka: Kafka, topics: Topics
) -> None:
    road = Road(kafka, topics)
    with road.generator.feed(5_000), Running(kafka.bootstrap, *road.arguments) as running:
        road.wait_for_more()
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
    road.prove()


def test_a_forwarder_frozen_past_its_transactions_timeout_finds_its_lanes_taken_and_ends(
    kafka: Kafka, topics: Topics
) -> None:
    road = Road(kafka, topics)
    with road.generator.feed(5_000), Running(kafka.bootstrap, *road.arguments) as zombie:
        road.wait_for_more()
        zombie.signal(signal.SIGSTOP)
        with Running(kafka.bootstrap, *road.arguments) as replacement:
            road.wait_for_more(road.wait_for_more())
            zombie.signal(signal.SIGCONT)
            woken = time.monotonic()
            ran = zombie.wait(60)
            took = time.monotonic() - woken
            seen = road.wait_for_more()
            road.wait_for_more(seen)
            assert replacement.runs, replacement.said()
    print(f"exit_code={ran.code} exit_s={took:.2f}")
    ran.require(FENCED)
    assert took < EXIT_BUDGET_S
    road.prove()
