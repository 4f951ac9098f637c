"""Partitions added to source and target while a forwarder runs: it goes on as it began, and says so once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient, NewPartitions

from commands import fanout
from conftest import Topics
from fanout._fanout import Cluster
from fanout.kafka.growth import Growth

from .lanes import feed, forward, read, settings

if TYPE_CHECKING:
    import pytest

    from conftest import Kafka


def add_partitions(bootstrap: str, topic: str, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_partitions([NewPartitions(topic, count)])[topic].result()
    # The controller has them; the broker may be a moment behind.
    Topics(bootstrap)._wait_led(topic, count)


def test_a_topic_that_grows_is_named_once_and_keys_stay_where_they_were(
    kafka: Kafka, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = topics("source"), topics("target", 2)
    keys = [f"key-{number}".encode() for number in range(200)]
    feed(kafka.bootstrap, source, [(0, key, b"first") for key in keys])
    chosen = settings(kafka.bootstrap, source, target)
    growth = Growth(Cluster(chosen.properties), chosen)
    growth.look()
    assert growth.lines == []

    add_partitions(kafka.bootstrap, source, 3)
    add_partitions(kafka.bootstrap, target, 5)
    with caplog.at_level(logging.WARNING, "fanout.forward"):
        growth.look()
        growth.look()

    said = [record.getMessage() for record in caplog.records if record.name == "fanout.forward"]
    assert said == growth.lines
    assert said == [
        f"{source} has 3 partitions since: 1 to 2 not carried, start again with -t {source} --from earliest",
        f"{target} has 5 partitions since: this run goes on over 2; a new start moves keys over all",
    ]
    assert forward(chosen)[0].error is None
    assert len(read(kafka.bootstrap, target)) == len(keys)


def test_a_new_start_asks_where_new_partitions_begin(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source"), topics("target", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"v")])
    arguments = ("-o", "json", "forward", "-t", source, "-g", f"{target}-g", "--to-topic", target, "--until", "end")
    assert fanout(kafka.bootstrap, *arguments, "--from", "earliest").require().document["grown"] == []
    add_partitions(kafka.bootstrap, source, 2)
    feed(kafka.bootstrap, source, [(1, b"k", b"new")])

    refused = fanout(kafka.bootstrap, *arguments)
    assert refused.code == 2, refused
    assert "partition 1" in refused.err

    carried = fanout(kafka.bootstrap, *arguments, "--from", "earliest").require().document
    assert {lane["partition"]: lane["records"] for lane in carried["lanes"]} == {0: 0, 1: 1}
