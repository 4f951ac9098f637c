"""Brokers whose transactions keep their epoch: the same exactness, and what is said of them."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from commands import fanout
from conftest import Topics, unique_name
from fanout._fanout import Cluster as Control
from fanout._fanout import Forwarder
from oracle import Expectation, Recipe
from oracle.generate import CODECS, Chunk, Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove

from .lanes import feed, forwarding, read, settings
from .mirror import MIRROR, MOST_BYTES, mirroring
from .shop import OldConsumers, open_shop
from .test_lanes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Kafka
    from fanout.demo.cluster import Cluster

KEPT = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
TARGETS = 10
KEYS = 10_000
NULL_KEYS = 500
PARTITIONS = 64
ROOM = {"max.message.bytes": str(MOST_BYTES), "retention.ms": "-1"}


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
    sizes = {"batch_bytes": 1_024, "grown_batch_bytes": 1_024, "transaction_bytes": 4_096}
    small = settings(bootstrap, generator.topic, target, group=group, **sizes)
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


def test_at_least_once_carries_everything_without_their_transactions(older_kafka: Kafka, older_topics: Topics) -> None:
    bootstrap = older_kafka.bootstrap
    generator = Generator(bootstrap, older_topics("source", 2, KEPT), Recipe(keys=100))
    generator.write(Chunk(records=3_000))
    generator.write(Chunk(records=500, ending="commit"))
    generator.write(Chunk(records=300, ending="abort"))
    target, group = older_topics("target", 3, KEPT), unique_name("g")

    chosen = settings(
        bootstrap, generator.topic, target, group=group, delivery="at-least-once", transaction_bytes=20_000
    )
    assert {end.outcome for end in Forwarder(chosen).run()} == {"end"}

    # Where nothing goes wrong it is exact as well.
    expectation = Expectation(recipe=generator.recipe, ledger=generator.ledger, placement=java_placement(3))
    verdict = prove(Carried(bootstrap=bootstrap, source=generator.topic, target=target, group=group), expectation)
    assert verdict.records == 3_500


def test_a_drain_comes_home_on_them(older_kafka: Kafka, older_topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = open_shop(older_kafka.bootstrap, older_topics, monkeypatch)
    with OldConsumers(shop, 3) as before:
        wait_for("some of the old work", lambda: before.handled > 50)
    ran = fanout(shop.bootstrap, *shop.arguments("--execute", "-o", "json")).require()
    with OldConsumers(shop, 3):
        shop.wait_home()

    verdict = shop.check()
    print(f"drained {ran.document['records']} in {ran.document['draining_s']} s; before {before.handled}; {verdict}")
    assert ran.document["outcome"] == "done"
    assert ran.document["records"] == 2_000 - before.handled
    verdict.require()
    assert dict(verdict.notes)["repeats"] == 0


def test_a_target_made_again_under_its_name_is_not_written_to(older_kafka: Kafka, older_topics: Topics) -> None:
    bootstrap = older_kafka.bootstrap
    source, target = older_topics("source", 1, KEPT), older_topics("target", 1, KEPT)
    feed(bootstrap, source, [(0, b"k", b"old")])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    with forwarding(settings(bootstrap, source, target, end=None)) as (forwarder, ended):
        wait_for("the old record", lambda: forwarder.stats()[0].position == 1)
        admin.delete_topics([target])[target].result()
        wait_for("the name to be free", lambda: target not in admin.list_topics(timeout=10).topics)
        admin.create_topics([NewTopic(target, 1)])[target].result()
        older_topics._wait_led(target, 1)
        feed(bootstrap, source, [(0, b"k", b"new")])
        wait_for("the lane to end", lambda: bool(ended))

    assert "another one made under its name" in str(ended[0].error)
    assert read(bootstrap, target) == []


def has_committed(forwarder: Forwarder, times: int) -> bool:
    """Whether the first lane has ended so many transactions."""
    return forwarder.stats()[0].commits >= times


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)], ids=["raised", "lowered"])
def test_the_feature_may_change_under_a_running_engine(
    own_cluster: Callable[..., Cluster], before: int, after: int
) -> None:
    cluster = own_cluster(features={"transaction.version": before})
    topics = Topics(cluster.bootstrap)
    generator = Generator(cluster.bootstrap, topics("source", 1, KEPT), Recipe(keys=97))
    target, group = topics("target", 3, KEPT), unique_name("g")
    generator.write(Chunk(records=2_000))
    follows = settings(cluster.bootstrap, generator.topic, target, group=group, transaction_ms=100, end=None)

    with forwarding(follows) as (forwarder, ended):
        wait_for("the first records", lambda: forwarder.stats()[0].records == 2_000)
        verb = "upgrade" if after > before else "downgrade"
        cluster.tool("kafka-features", [verb, "--feature", f"transaction.version={after}"])
        wait_for("the change", lambda: Control({"bootstrap.servers": cluster.bootstrap}).transaction_version() == after)
        commits = forwarder.stats()[0].commits
        for count in range(1, 6):
            generator.write(Chunk(records=400))
            wait_for("a commit", partial(has_committed, forwarder, commits + count))

    assert [end.outcome for end in ended] == ["stopped"]
    expectation = Expectation(recipe=generator.recipe, ledger=generator.ledger, placement=java_placement(3))
    carried = Carried(bootstrap=cluster.bootstrap, source=generator.topic, target=target, group=group)
    assert prove(carried, expectation).records == 4_000


@pytest.mark.parametrize("older_kafka", [MIRROR], indirect=True)
def test_keys_go_where_the_java_producer_sends_them(
    kafka: Kafka, topics: Topics, older_kafka: Cluster, tmp_path: Path
) -> None:
    source, target = topics("keys", 1, ROOM), topics("target", PARTITIONS, ROOM)
    dice = random.Random(34)
    keys: list[bytes | None] = [b"", b"\x00", b"\xff" * 3, b"\xc3\x28", "schlüssel".encode(), b"k" * (1 << 20)]
    keys += sorted({dice.randbytes(dice.randrange(3, 60)) for _ in range(KEYS)})
    keys += [None] * NULL_KEYS
    feed(kafka.bootstrap, source, [(0, key, b"") for key in keys], **{"message.max.bytes": MOST_BYTES})

    named = ("-t", source, "-g", target, "--to-topic", target, "--from", "earliest", "--until", "end")
    fanout(kafka.bootstrap, "forward", *named).require()
    ours = [(message.key(), message.partition()) for message in read(kafka.bootstrap, target)]
    admin = AdminClient({"bootstrap.servers": older_kafka.bootstrap})
    admin.create_topics([NewTopic(source, PARTITIONS, 1, config=ROOM)])[source].result()
    Topics(older_kafka.bootstrap)._wait_led(source, PARTITIONS)
    try:
        with mirroring(kafka.bootstrap, older_kafka.bootstrap, source, tmp_path):
            held = Control({"bootstrap.servers": older_kafka.bootstrap})
            wait_for("the copy", lambda: sum(held.offsets(source, "stable").values()) >= len(keys), deadline_s=120)
        javas = [(message.key(), message.partition()) for message in read(older_kafka.bootstrap, source)]
    finally:
        admin.delete_topics([source])[source].result()

    of_ours, of_java = ({key: at for key, at in placed if key is not None} for placed in (ours, javas))
    differing = [key for key, at in of_java.items() if of_ours.get(key) != at]
    nulls = [sum(key is None for key, _ in placed) for placed in (ours, javas)]
    print(
        f"java placement: keys={len(of_java)} differing={len(differing)} "
        f"partitions_used={len(set(of_java.values()))} null_keys={nulls}"
    )
    assert differing == []
    assert len(of_java) == len(of_ours) == len(set(keys) - {None}) >= KEYS
    assert len(set(of_java.values())) == PARTITIONS
    # A null key has no place of its own: Java fills one partition after another, we take turns. Both carry them all.
    assert nulls == [NULL_KEYS, NULL_KEYS]
