"""Brokers whose transactions keep their epoch: the same exactness, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commands import fanout
from conftest import Topics, unique_name
from fanout._fanout import Forwarder
from oracle import Expectation, Recipe
from oracle.generate import CODECS, Chunk, Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove

from .lanes import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Kafka

KEPT = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
TARGETS = 10


@pytest.fixture
def older_topics(older_kafka: Kafka) -> Iterator[Topics]:
    """Topics on the older brokers."""
    made = Topics(older_kafka.bootstrap)
    yield made
    made.delete_all()


def test_every_kind_of_record_arrives_once(older_kafka: Kafka, older_topics: Topics) -> None:
    bootstrap = older_kafka.bootstrap
    generator = Generator(bootstrap, older_topics("source", 3, KEPT), Recipe(varied=True, keys=211))
    target, group = older_topics("target", TARGETS, KEPT), unique_name("g")
    for codec in CODECS:
        generator.write(Chunk(records=1_500, codec=codec))
        generator.write(Chunk(records=500, codec=codec, ending="commit"))
        generator.write(Chunk(records=300, codec=codec, ending="abort"))

    # Small transactions: the sequences of every target go on over many commits in one epoch.
    small = settings(bootstrap, generator.topic, target, group=group, batch_bytes=1_024, transaction_bytes=4_096)
    forwarder = Forwarder(small)
    assert {end.outcome for end in forwarder.run()} == {"end"}
    commits = [lane.commits for lane in forwarder.stats()]
    print(f"commits={commits}")
    assert min(commits) >= 10

    expectation = Expectation(recipe=generator.recipe, ledger=generator.ledger, placement=java_placement(TARGETS))
    verdict = prove(Carried(bootstrap=bootstrap, source=generator.topic, target=target, group=group), expectation)
    assert verdict.records == 2_000 * len(CODECS)


def test_doctor_says_what_they_cost_and_that_nothing_stands_in_the_way(older_kafka: Kafka) -> None:
    findings = fanout(older_kafka.bootstrap, "-o", "json", "doctor").require().document["findings"]
    (transactions,) = (one for one in findings if one["check"] == "transactions")
    assert transactions["verdict"] == "warn"
    assert "exactly-once" in transactions["found"]
    assert "transaction.version=2" in transactions["remedy"]
