"""Dead letters on a real Kafka: a topic that goes and comes back, one that takes too little, another's headers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient, NewTopic

from commands import Running, fanout
from conftest import unique_name
from fanout._fanout import Cluster
from fanout.errors import RefusedError

from .working import committed, ends, wait_until, work, write

if TYPE_CHECKING:
    from conftest import Kafka, Tell, Topics


def exists(bootstrap: str, topic: str) -> bool:
    try:
        Cluster({"bootstrap.servers": bootstrap}).partitions(topic)
    except RefusedError:
        return False
    return True


def test_a_dead_letter_topic_that_is_deleted_is_waited_for_and_never_made(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead, group = topics("orders"), topics("dead"), unique_name("workers")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    write(kafka.bootstrap, topic, [(b"a", 1), (b"b", 2)])
    handled = tell(topic, "poison", dlq=dead)
    # A client believes in a topic it knew for as long as this; half a minute unless it is told.
    soon = ("-X", "producer.topic.metadata.propagation.max.ms=500")
    with Running(kafka.bootstrap, *work(group, *soon)) as running:
        wait_until(lambda: committed(kafka.bootstrap, group, topic) == {0: 2}, "the first letter")
        admin.delete_topics([dead])[dead].result()
        wait_until(lambda: not exists(kafka.bootstrap, dead), "the deletion")
        write(kafka.bootstrap, topic, [(b"a", 501), (b"b", 3)])
        wait_until(lambda: f"{dead} is gone: the dead letter of {topic}/0 at offset 2" in running.said(), "its wait")
        wait_until(lambda: len(handled.ended()) == 2, "the record behind it")
        assert committed(kafka.bootstrap, group, topic) == {0: 2}
        assert not exists(kafka.bootstrap, dead), "a producer made the topic"
        admin.create_topics([NewTopic(dead, 1)])[dead].result()
        wait_until(lambda: committed(kafka.bootstrap, group, topic) == {0: 4}, "the letter that waited")
        running.signal(signal.SIGTERM)
        running.wait().require()
    assert ends(kafka.bootstrap, dead) == {0: 1}


def test_a_letter_that_is_too_large_is_named_with_its_size_and_not_settled(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead = topics("orders"), topics("dead", 1, {"max.message.bytes": "1000"})
    group = unique_name("workers")
    write(kafka.bootstrap, topic, [(b"k" * 1_500, 1)])
    tell(topic, "poison", dlq=dead)
    ran = fanout(kafka.bootstrap, *work(group, "--until", "end")).require(1)
    assert f"{dead} takes no record as large as the dead letter of {topic}/0 at offset 0, whose key" in ran.err
    assert f"raise max.message.bytes of {dead}" in ran.err
    assert committed(kafka.bootstrap, group, topic).get(0, 0) == 0


def test_a_record_as_large_as_its_topic_allows_is_a_dead_letter_where_that_allows_more(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead = topics("orders"), topics("dead", 1, {"max.message.bytes": "2000000"})
    group = unique_name("workers")
    write(kafka.bootstrap, topic, [(b"k" * 999_000, 1)])
    tell(topic, "poison", dlq=dead)
    fanout(kafka.bootstrap, *work(group, "--until", "end")).require()
    assert ends(kafka.bootstrap, dead) == {0: 1}
    assert committed(kafka.bootstrap, group, topic) == {0: 1}
