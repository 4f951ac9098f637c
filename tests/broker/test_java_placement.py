"""Keys go where Apache Kafka's own Java producer sends them."""

from __future__ import annotations

import random
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from commands import fanout
from fanout._fanout import Cluster as Control
from fanout.demo.jars import class_path, find_java

from .lanes import feed, read
from .test_lanes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Kafka, Topics
    from fanout.demo.cluster import Cluster

MIB = 1 << 20
KEYS = 10_000
NULL_KEYS = 500
PARTITIONS = 64
ROOM = {"max.message.bytes": str(4 * MIB), "retention.ms": "-1"}
MIRROR = "3.9.1"
"""The last release with the first MirrorMaker: what a Java consumer reads, a Java producer writes, unseen, to the
partition that it chooses. It keeps a topic's name, so the two topics stand on two clusters."""


@pytest.mark.parametrize("older_kafka", [MIRROR], indirect=True)
def test_keys_go_where_the_java_producer_sends_them(
    kafka: Kafka, topics: Topics, older_kafka: Cluster, tmp_path: Path
) -> None:
    source, target = topics("keys", 1, ROOM), topics("target", PARTITIONS, ROOM)
    dice = random.Random(34)
    keys: list[bytes | None] = [b"", b"\x00", b"\xff" * 3, b"\xc3\x28", "schlüssel".encode(), b"k" * MIB]
    keys += sorted({dice.randbytes(dice.randrange(3, 60)) for _ in range(KEYS)})
    keys += [None] * NULL_KEYS
    feed(kafka.bootstrap, source, [(0, key, b"") for key in keys], **{"message.max.bytes": 4 * MIB})

    named = ("-t", source, "-g", target, "--to-topic", target, "--from", "earliest", "--until", "end")
    fanout(kafka.bootstrap, "forward", *named).require()
    ours = [(message.key(), message.partition()) for message in read(kafka.bootstrap, target)]
    admin = AdminClient({"bootstrap.servers": older_kafka.bootstrap})
    admin.create_topics([NewTopic(source, PARTITIONS, 1, config=ROOM)])[source].result()
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


@contextmanager
def mirroring(origin: str, destination: str, topic: str, folder: Path) -> Iterator[None]:
    """Runs the first MirrorMaker for the time of the block."""
    consumer, producer, log = folder / "consumer.properties", folder / "producer.properties", folder / "mirror.log"
    consumer.write_text(f"bootstrap.servers={origin}\ngroup.id={topic}-mirror\nauto.offset.reset=earliest\n")
    producer.write_text(f"bootstrap.servers={destination}\nmax.request.size={4 * MIB}\n")
    files = ["--consumer.config", str(consumer), "--producer.config", str(producer)]
    command = [str(find_java()), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path(MIRROR)]
    with log.open("w") as said:
        mirror = subprocess.Popen(
            [*command, "kafka.tools.MirrorMaker", *files, "--include", topic],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield
            assert mirror.poll() is None, log.read_text()
        finally:
            mirror.kill()
            mirror.wait()
