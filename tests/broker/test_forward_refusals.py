"""Bad input to `fanout forward`: a clear error and its exit code, before anything on the cluster is changed."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from commands import fanout
from conftest import Topics, unique_name
from oracle.ends import settled_ends
from oracle.state import committed_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Kafka

USAGE = 2
REFUSED = 5
UNREACHABLE = 75


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A source with one record, an empty target, and a group that has done nothing."""

    bootstrap: str
    source: str
    target: str
    group: str

    def arguments(self, **changed: str) -> list[str]:
        """A forward that would succeed, with some of its options changed; an empty value leaves the option out."""
        named = {"t": self.source, "g": self.group, "to_topic": self.target, "from": "earliest", "until": "end"}
        words = ((_option(name), value) for name, value in (named | changed).items() if value)
        return ["forward", *(word for pair in words for word in pair)]

    def refuses(self, code: int, *named: str, **changed: str) -> None:
        """Runs it with options changed: it must end with `code` and change nothing; see `refuses_words`."""
        self.refuses_words(code, self.arguments(**changed), *named)

    def refuses_words(self, code: int, words: list[str], *named: str) -> None:
        """Runs it; it must end with `code`, say all of `named` on stderr, nothing on stdout, and change nothing."""
        before = self._stands()
        ran = fanout(self.bootstrap, *words).require(code)
        for said in named:
            assert said in ran.err, f"{said!r} is not in: {ran.err}"
        assert "Traceback" not in ran.err
        assert ran.out == ""
        assert self._stands() == before

    def _stands(self) -> tuple[object, object]:
        """What the group has committed, and where the target ends."""
        return committed_offsets(self.bootstrap, self.group, self.source), settled_ends(self.bootstrap, self.target)


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


@pytest.fixture
def stage(kafka: Kafka, topics: Topics) -> Stage:
    return stage_on(kafka.bootstrap, topics)


def stage_on(bootstrap: str, topics: Topics) -> Stage:
    stage = Stage(bootstrap=bootstrap, source=topics("source", 3), target=topics("target", 4), group=unique_name("g"))
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(stage.source, key=b"k", value=b"v")
    assert producer.flush(30) == 0
    return stage


def test_the_stage_itself_is_sound(stage: Stage) -> None:
    fanout(stage.bootstrap, *stage.arguments()).require()
    assert sum(settled_ends(stage.bootstrap, stage.target).values()) > 0


def test_a_source_that_is_missing_is_refused(stage: Stage) -> None:
    stage.refuses(REFUSED, "no-such-topic", t="no-such-topic")


def test_a_target_that_is_missing_is_refused_and_not_made(stage: Stage) -> None:
    stage.refuses(REFUSED, "no-such-target", to_topic="no-such-target")
    listed = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": "x"}).list_topics(timeout=10).topics
    assert "no-such-target" not in listed


def test_a_topic_is_not_carried_into_itself(stage: Stage) -> None:
    stage.refuses(USAGE, stage.source, to_topic=stage.source)


def test_a_partition_the_source_does_not_have_is_refused(stage: Stage) -> None:
    stage.refuses(USAGE, "3", "0 to 2", t=f"{stage.source}:0,3")


def test_a_group_without_a_commit_needs_to_be_told_where_to_begin(stage: Stage) -> None:
    stage.refuses(USAGE, "--from", stage.group, **{"from": ""})


def test_a_group_with_members_is_refused_and_the_member_named(stage: Stage) -> None:
    with member(stage):
        stage.refuses(REFUSED, stage.group, "somebody-else")


@contextmanager
def member(stage: Stage) -> Iterator[None]:
    """A consumer that is in the group while the block runs."""
    consumer = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": stage.group, "client.id": "somebody-else"})
    joined: list[object] = []
    consumer.subscribe([stage.source], on_assign=lambda _, partitions: joined.extend(partitions))
    deadline = time.monotonic() + 60
    while not joined:
        consumer.poll(0.1)
        assert time.monotonic() < deadline, "the consumer was given no partition"
    yield
    consumer.close()


def test_commits_that_belong_to_another_target_are_refused(stage: Stage, topics: Topics) -> None:
    other = topics("other", 4)
    fanout(stage.bootstrap, *stage.arguments(to_topic=other)).require()
    stage.refuses(REFUSED, stage.group, "another target")


def test_a_target_made_again_under_its_name_is_another_target(stage: Stage) -> None:
    fanout(stage.bootstrap, *stage.arguments()).require()
    make_again(stage.bootstrap, stage.target, 4)
    stage.refuses(REFUSED, "another target")


def make_again(bootstrap: str, topic: str, partitions: int) -> None:
    """Deletes a topic and creates one of the same name: a new topic id, and no records."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    deadline = time.monotonic() + 30
    while True:
        try:
            admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)
        except KafkaException as error:
            # The old one may still be on its way out.
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            break
    # Made is not yet known: the broker may be a moment behind its controller.
    Topics(bootstrap)._wait_led(topic, partitions)


def test_commits_of_an_ordinary_consumer_are_refused(stage: Stage) -> None:
    consumer = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": stage.group})
    consumer.commit(offsets=[TopicPartition(stage.source, p, 0) for p in range(3)], asynchronous=False)
    consumer.close()
    stage.refuses(REFUSED, stage.group, "committed by something else")


@pytest.mark.parametrize(
    ("property_", "hint"),
    [("bootstrap.server=x", "bootstrap.servers"), ("fetch.min.bites=1", "fetch.min.bytes"), ("linger", "=")],
)
def test_a_property_nobody_knows_is_an_error_with_a_hint(stage: Stage, property_: str, hint: str) -> None:
    stage.refuses_words(USAGE, ["-X", property_, *stage.arguments()], property_.partition("=")[0], hint)


@pytest.mark.parametrize(
    ("option", "value"),
    [("route", "by-key"), ("partitioner", "murmur3"), ("compression", "brotli"), ("until", "dusk"), ("from", "soon")],
)
def test_a_word_an_option_does_not_know_is_an_error_that_names_it(stage: Stage, option: str, value: str) -> None:
    stage.refuses(USAGE, f"--{option}", value, **{option: value})


def test_an_option_nobody_knows_is_an_error(stage: Stage) -> None:
    ran = fanout(stage.bootstrap, *stage.arguments(), "--parallel", "4").require(USAGE)
    assert "--parallel" in ran.err


def test_an_offset_the_source_does_not_hold_is_refused(stage: Stage) -> None:
    stage.refuses(REFUSED, "12345", **{"from": "@12345"})


def test_a_cluster_that_does_not_answer_is_unreachable(stage: Stage) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        started = time.monotonic()
        ran = fanout(address, *stage.arguments()).require(UNREACHABLE)
    print(f"unreachable: gave up after {time.monotonic() - started:.1f} s")
    assert address in ran.err
    assert "Traceback" not in ran.err
