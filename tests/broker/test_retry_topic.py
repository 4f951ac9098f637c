"""Retries through a topic on a real Kafka: nobody waits, every attempt is counted, and none is lost by a kill."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

from commands import Running, fanout
from conftest import unique_name
from oracle.read import read

from .working import children_of, committed, ends, kill, wait_until, work, write

if TYPE_CHECKING:
    from conftest import Kafka, Tell, Topics

KEPT = {"retention.ms": "-1"}
COUNT, EVERY = 2_000, 100
LARGE_SHARE = ("--dead-letter-share", "0.05")


def letters(bootstrap: str, topic: str) -> Counter[int]:
    """How often each record became a dead letter."""
    return Counter(int(record.value or b"") for record in read(bootstrap, topic))


def test_what_always_fails_is_a_dead_letter_once_and_holds_nobody_up(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, dead, retry = topics("orders", 2, KEPT), topics("dead", 1, KEPT), topics("retry", 2, KEPT)
    group = unique_name("workers")
    write(kafka.bootstrap, topic, ((b"key-%d" % (i % 50), i) for i in range(COUNT)))
    handled = tell(topic, "always", every=EVERY, order_by="none", dlq=dead, retry_topic=retry, wait_s=1.0)
    document = fanout(kafka.bootstrap, *work(group, *LARGE_SHARE, "--until", "end", "-o", "json")).require().document
    tries: dict[int, list[int]] = {}
    for line in handled.lines():
        if line.kind == "begin":
            tries.setdefault(line.sequence, []).append(line.attempt)
    found = letters(kafka.bootstrap, dead)
    lost, repeated = COUNT - len(handled.ended()) - len(found), sum(found.values()) - len(found)
    print(f"records={COUNT} lost={lost} dead={len(found)} dead_repeated={repeated}")
    assert found == Counter(range(0, COUNT, EVERY))
    assert {number: attempts for number, attempts in tries.items() if attempts != [1]} == {
        number: [1, 2, 3] for number in range(COUNT) if number % EVERY < 2
    }
    assert set(handled.ended().values()) == {1}
    assert all(name.startswith(f"{topic}/") for name in handled.ended()), "an id is that of the record's origin"
    assert (document["handlers"][topic]["done"], document["handlers"][retry]["done"]) == (COUNT - 40, 20)
    assert (document["handlers"][retry]["dead"], document["handlers"][retry]["failed"]) == (20, 20)
    for each in (topic, retry):
        written = {partition: end for partition, end in ends(kafka.bootstrap, each).items() if end}
        assert committed(kafka.bootstrap, group, each).items() >= written.items()
    told = dict(next(iter(read(kafka.bootstrap, dead))).headers)
    assert told["__dlq.errors.topic"] == topic.encode()
    assert (told["__dlq.errors.delivery.count"], told["fanout.attempts"]) == (b"3", b"3")
    assert "fanout.not-before" not in told


def test_kills_lose_no_attempt(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, dead, retry = topics("orders", 2, KEPT), topics("dead", 1, KEPT), topics("retry", 2, KEPT)
    group = unique_name("workers")
    halves = range(COUNT // 2), range(COUNT // 2, COUNT)
    handled = tell(topic, "always", every=EVERY, order_by="none", dlq=dead, retry_topic=retry, wait_s=1.0)
    # A kill repeats attempts, and each repeated last one is a letter more: their share is not what is tried here.
    soon = ("-X", "consumer.session.timeout.ms=6000", "--dead-letter-share", "1")
    killed = set[int]()
    # Not until the end: that could be reached before the second kills.
    with Running(kafka.bootstrap, *work(group, *LARGE_SHARE, *soon, "-w", "2")) as running:

        def are_at_work() -> bool:
            alive = set(children_of(running.pid)) - killed
            return any(line.pid in alive for line in handled.lines())

        for half in halves:
            # Only now: whoever is killed next finds something to do, however long it took to start.
            write(kafka.bootstrap, topic, ((b"key-%d" % (i % 50), i) for i in half))
            wait_until(are_at_work, "the handlers")
            killed.update(filter(kill, set(children_of(running.pid)) - killed))
        wait_until(lambda: committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic), "the rest", 180)
        running.signal(signal.SIGTERM)
        running.wait().require()
    fanout(kafka.bootstrap, *work(group, *LARGE_SHARE, *soon, "--until", "end"), timeout_s=180).require()
    kills = len(killed)
    found, ended = letters(kafka.bootstrap, dead), handled.ended()
    lost = COUNT - len(found) - len(ended)
    repeated = sum(found.values()) - len(found)
    print(f"records={COUNT} kills={kills} lost={lost} dead={len(found)} dead_repeated={repeated} "
          f"handled_repeated={sum(ended.values()) - len(ended)}")  # fmt: skip
    assert set(found) == set(range(0, COUNT, EVERY))
    assert lost == 0
    assert kills >= 2
