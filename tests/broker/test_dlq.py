"""`fanout dlq` on a real Kafka: letters counted, exported, and put back exactly once, whatever interrupts it."""

from __future__ import annotations

import json
import signal
from base64 import b64decode
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from commands import Running, fanout
from fanout.work.letter import Letter, Scribe
from fanout.work.retry import Dead
from oracle.ends import Ends, unstable
from oracle.placement import java_placement
from oracle.read import read
from unit.work.records import message

from .working import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import Kafka, Topics

KEPT = {"retention.ms": "-1"}


def bury(bootstrap: str, dead: str, source: str, numbers: Iterable[int]) -> None:
    """Writes letters of records of `source`, a key of seven each; every third could not be decoded."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "partitioner": "murmur2_random"})
    scribe = Scribe(group="g")
    for number in numbers:
        failed = Dead("undecodable", "JSONDecodeError: \x1b[2J", ValueError()) if number % 3 == 0 else TIMED_OUT
        raw = message(
            number,
            topic=source,
            partition=number % 2,
            key=b"key-%d" % (number % 7),
            value=b"\x00%d" % number,
            headers=[("trace", b"%d" % number), ("trace", None)],
        )
        headers: Any = scribe.headers(Letter(raw=raw, dead=failed, attempt=5))
        producer.produce(dead, key=raw.key(), value=raw.value(), headers=headers)
    assert producer.flush(60) == 0


TIMED_OUT = Dead("failed", "TimeoutError: the gateway", TimeoutError())


def has_more(ends: Ends, count: int) -> bool:
    """Whether more than `count` records stand in the topic, seen or not."""
    return sum(ends.high().values()) > count


def numbers_in(bootstrap: str, topic: str) -> Counter[int]:
    """How often each record stands in the topic for read_committed readers."""
    return Counter(int((record.value or b"\x00")[1:]) for record in read(bootstrap, topic))


def test_letters_are_counted_shown_and_exported_whole(kafka: Kafka, topics: Topics) -> None:
    source, dead = topics("orders", 2, KEPT), topics("dead", 2, KEPT)
    bury(kafka.bootstrap, dead, source, range(300))
    counted = fanout(kafka.bootstrap, "dlq", "ls", "-t", dead, "-o", "json").require().document
    kinds = {(kind["partition"], kind["outcome"]): kind["letters"] for kind in counted["kinds"]}
    assert kinds == {(0, "failed"): 100, (1, "failed"): 100, (0, "undecodable"): 50, (1, "undecodable"): 50}
    table = fanout(kafka.bootstrap, "dlq", "show", "-t", dead, "--error", "JSONDecode", "--limit", "2").require().out
    assert table.count("undecodable, builtins.ValueError") == 2
    assert "\x1b" not in table
    one = fanout(kafka.bootstrap, "dlq", "show", "-t", f"{dead}:1@5").require().out
    assert one.startswith(f"{dead}:1@5  ")
    assert one.count(f"from {source}/") == 1
    lines = fanout(kafka.bootstrap, "dlq", "export", "-t", dead).require().out.splitlines()
    values = sorted(int(b64decode(json.loads(line)["value"])[1:]) for line in lines)
    print(f"letters={counted['letters']} exported={len(values)}")
    assert values == list(range(300))


def test_letters_go_back_once_by_choice_and_in_their_order(kafka: Kafka, topics: Topics) -> None:
    source, dead = topics("orders", 2, KEPT), topics("dead", 2, KEPT)
    bury(kafka.bootstrap, dead, source, range(300))
    redrive = ("dlq", "redrive", "-t", dead, "-o", "json")
    planned = fanout(kafka.bootstrap, *redrive).require().document
    assert planned["put_back"] == {source: 300}
    assert numbers_in(kafka.bootstrap, source) == {}, "a dry run writes nothing"
    some = fanout(kafka.bootstrap, *redrive, "--error", "gateway", "--execute").require().document
    assert (some["put_back"], some["staying"]) == ({source: 200}, {"unmatched": 100})
    rest = fanout(kafka.bootstrap, *redrive, "--execute").require().document
    assert (rest["put_back"], rest["back_already"]) == ({source: 100}, 200)
    none = fanout(kafka.bootstrap, *redrive, "--execute").require().document
    assert none["put_back"] == {}
    times = numbers_in(kafka.bootstrap, source)
    doubled = sum(count - 1 for count in times.values())
    print(f"records=300 lost={300 - len(times)} duplicated={doubled}")
    assert times == Counter(range(300))
    for record in read(kafka.bootstrap, source):
        number = int((record.value or b"\x00")[1:])
        assert record.partition == number % 2
        was = f"{source}/{number % 2}/{number}".encode()
        own = [("trace", b"%d" % number), ("trace", None), ("fanout.redrive-cycle", b"1"), ("fanout.redrive-of", was)]
        assert (record.key, list(record.headers)) == (b"key-%d" % (number % 7), own)


def test_letters_go_elsewhere_by_their_key_and_those_that_came_back_too_often_stay(
    kafka: Kafka, topics: Topics
) -> None:
    source, dead, elsewhere = topics("orders", 2, KEPT), topics("dead", 1, KEPT), topics("elsewhere", 3, KEPT)
    bury(kafka.bootstrap, dead, source, range(100))
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    often: Any = [("__dlq.errors.topic", source.encode()), ("fanout.redrive-cycle", b"2")]
    producer.produce(dead, key=b"k", value=b"\x00777", headers=often)
    assert producer.flush(60) == 0
    redrive = ("dlq", "redrive", "-t", dead, "--to-topic", elsewhere, "--max-cycles", "2", "--execute", "-y")
    told = fanout(kafka.bootstrap, *redrive, "-o", "json").require().document
    assert (told["put_back"], told["staying"]) == ({elsewhere: 100}, {"cycles": 1})
    assert told["staying_named"] == {"cycles": [f"{dead}:0@100"]}
    assert numbers_in(kafka.bootstrap, elsewhere) == Counter(range(100))
    placed = java_placement(3)
    assert all(record.partition in placed(0, record.key) for record in read(kafka.bootstrap, elsewhere))


def test_a_redrive_that_is_killed_again_and_again_puts_each_letter_back_once(kafka: Kafka, topics: Topics) -> None:
    source, dead = topics("orders", 2, KEPT), topics("dead", 2, KEPT)
    bury(kafka.bootstrap, dead, source, range(2_000))
    redrive = ("dlq", "redrive", "-t", dead, "--execute", "-y")
    kills = 0
    with Ends(kafka.bootstrap, source) as ends:
        for target in (300, 900, 1_400):
            with Running(kafka.bootstrap, *redrive, "--rate", "1000/s") as running:
                wait_until(partial(has_more, ends, target), "letters that go back")
                if target == 1_400:
                    running.signal(signal.SIGTERM)
                    running.wait().require()
                else:
                    running.kill()
                    kills += 1
    fanout(kafka.bootstrap, *redrive).require()
    times = numbers_in(kafka.bootstrap, source)
    last: dict[bytes | None, int] = {}
    out_of_order = 0
    for record in read(kafka.bootstrap, source):
        number = int((record.value or b"\x00")[1:])
        out_of_order += number // 2 < last.get(b"%d" % record.partition + (record.key or b""), -1)
        last[b"%d" % record.partition + (record.key or b"")] = number // 2
    doubled = sum(count - 1 for count in times.values())
    print(f"records=2000 kills={kills} lost={2_000 - len(times)} duplicated={doubled} out_of_order={out_of_order}")
    assert times == Counter(range(2_000))
    assert out_of_order == 0
    third = fanout(kafka.bootstrap, "dlq", "redrive", "-t", dead, "-o", "json").require().document
    assert (third["put_back"], third["executed"]) == ({}, False)


def test_letters_are_seen_and_noted_while_others_remain_and_a_stop_leaves_none_half_done(
    kafka: Kafka, topics: Topics
) -> None:
    source, dead = topics("orders", 2, KEPT), topics("dead", 2, KEPT)
    bury(kafka.bootstrap, dead, source, range(300))
    redrive = ("dlq", "redrive", "-t", dead, "--error", "gateway", "-o", "json")
    with (
        Ends(kafka.bootstrap, source) as ends,
        Running(kafka.bootstrap, *redrive, "--execute", "-y", "--rate", "5/s") as running,
    ):
        wait_until(lambda: sum(ends.stable().values()), "a letter that is seen")
        meanwhile = fanout(kafka.bootstrap, *redrive).require().document
        assert running.runs
        running.signal(signal.SIGTERM)
        went = running.wait().require().document["put_back"][source]
    assert 0 < meanwhile["back_already"] <= went < 200
    assert sum(numbers_in(kafka.bootstrap, source).values()) == went
    assert unstable(kafka.bootstrap, source) == {}
    rest = fanout(kafka.bootstrap, *redrive, "--execute", "-y").require().document
    assert (rest["back_already"], rest["put_back"]) == (went, {source: 200 - went})
    times = numbers_in(kafka.bootstrap, source)
    doubled = sum(count - 1 for count in times.values())
    print(f"records=200 before_the_stop={went} lost={200 - len(times)} duplicated={doubled}")
    assert times == Counter(number for number in range(300) if number % 3)


def test_what_cannot_be_done_is_refused_before_anything_goes(kafka: Kafka, topics: Topics) -> None:
    dead = topics("dead")
    bury(kafka.bootstrap, dead, "nowhere", range(3))
    redrive = ("dlq", "redrive", "-t", dead)
    assert "does not exist" in fanout(kafka.bootstrap, *redrive, "--to-topic", "nowhere").require(5).err
    told = fanout(kafka.bootstrap, *redrive, "--execute", "-y", "-o", "json").require().document
    assert (told["put_back"], told["staying"]) == ({}, {"homeless": 3})
