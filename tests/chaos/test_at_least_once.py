"""`fanout forward --delivery at-least-once`: killed while its source is fed, and how soon a record is seen."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer

from commands import Running, fanout
from conftest import unique_name
from oracle import Recipe
from oracle.generate import Generator
from oracle.ledger import Fate
from oracle.read import read
from oracle.state import committed_offsets

if TYPE_CHECKING:
    from conftest import Kafka, Topics

KEPT = {"retention.ms": "-1"}
KILLS = 4
RATE = 5_000
LONG = "20s"
SEEN_S = 15.0


def test_kills_lose_nothing_and_leave_each_keys_order(kafka: Kafka, topics: Topics) -> None:
    source, target, group = topics("source", 3, KEPT), topics("target", 4, KEPT), unique_name("g")
    generator = Generator(kafka.bootstrap, source, Recipe(value_bytes=100))
    what = ("forward", "-t", source, "-g", group, "--to-topic", target, "--from", "earliest")
    arguments = (*what, "--delivery", "at-least-once")
    dice = random.Random(4)
    with generator.feed(RATE) as feed:
        for _ in range(KILLS):
            with Running(kafka.bootstrap, *arguments) as running:
                before = committed_offsets(kafka.bootstrap, group, source)
                while committed_offsets(kafka.bootstrap, group, source) == before:
                    assert running.runs, running.said()
                    time.sleep(0.1)
                time.sleep(dice.uniform(0.1, 0.9))
                running.kill()
    fanout(kafka.bootstrap, *arguments, "--until", "end").require()

    seen = [generator.recipe.identify(one.value, one.headers) for one in read(kafka.bootstrap, target)]
    times = Counter(seen)
    first: dict[int, int] = {}
    disordered = 0
    for serial in dict.fromkeys(seen):  # each serial where it stands first, partition by partition
        assert serial is not None
        key = serial_key(generator.recipe, serial)
        disordered += serial < first.get(key, -1)
        first[key] = serial
    lost = generator.ledger.count(Fate.COMMITTED) - len(times)
    doubled = times.total() - len(times)
    print(
        f"records={len(times)} fed={feed.sent} kills={KILLS} lost={lost} duplicated={doubled} out_of_order={disordered}"
    )
    assert lost == 0
    assert disordered == 0
    assert doubled > 0, "no kill fell between a record and its commit: the run is void"


def serial_key(recipe: Recipe, serial: int) -> int:
    """A number for the record's key."""
    return hash(recipe.content(serial).key)


def test_a_record_is_seen_at_once_however_rare_commits_are(kafka: Kafka, topics: Topics) -> None:
    source, target, group = topics("source"), topics("target"), unique_name("g")
    arguments = ("forward", "-t", source, "-g", group, "--to-topic", target, "--from", "earliest")
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    reader = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": f"{group}-reader", "auto.offset.reset": "earliest"}
    )
    reader.subscribe([target])
    try:
        with Running(kafka.bootstrap, *arguments, "--delivery", "at-least-once", "--commit-interval", LONG) as running:
            first = seconds_until_seen(producer, reader, source, b"first", 120)
            later = [seconds_until_seen(producer, reader, source, b"%d" % number, SEEN_S) for number in range(5)]
            running.kill()
    finally:
        reader.close()
    print(f"records={1 + len(later)} first_s={first:.2f} later_max_s={max(later):.3f}")
    assert max(later) < SEEN_S


def seconds_until_seen(producer: Producer, reader: Consumer, source: str, value: bytes, timeout_s: float) -> float:
    """From the producer's acknowledgement to the reader's hand."""
    producer.produce(source, value)
    assert producer.flush(30) == 0
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        message = reader.poll(0.2)
        if message is not None and message.error() is None and message.value() == value:
            return time.monotonic() - began
    raise AssertionError(f"{value!r} was not seen within {timeout_s:g} s")
