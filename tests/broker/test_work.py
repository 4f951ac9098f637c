"""`fanout work` on a real Kafka: order, outcomes, commits, stops."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from commands import Running, fanout
from conftest import unique_name
from fanout._fanout import Cluster
from oracle.ends import wait_for_markers
from oracle.read import read as whole

from .working import children_of, committed, ends, is_alive, wait_until, work, write

if TYPE_CHECKING:
    from conftest import Kafka, Tell, Topics


def test_records_of_a_key_run_one_at_a_time_in_order_and_many_keys_at_once(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, group, count = topics("orders", 4), unique_name("workers"), 6_000
    write(kafka.bootstrap, topic, ((b"key-%d" % (i % 211), i) for i in range(count)))
    handled = tell(topic, "nap", sleep_s=[0.0, 0.004])
    ran = fanout(kafka.bootstrap, *work(group, "-w", "2", "--concurrency", "100", "--until", "end", "-o", "json"))
    document = ran.require().document
    order, times = handled.order(), handled.ended()
    print(f"records {count}, handled {len(times)}, most at once {order.most_at_once}")
    assert document["handlers"][topic]["done"] == count
    assert set(times.values()) == {1}
    assert len(times) == count
    assert (order.two_of_a_key, order.out_of_order) == ([], [])
    assert order.most_at_once > 20
    assert committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic)


def test_records_without_a_key_do_not_wait_for_each_other(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, count, nap_s = topics("orders"), 4_000, 0.01
    write(kafka.bootstrap, topic, ((b"hot" if i % 20 == 0 else None, i) for i in range(count)))
    handled = tell(topic, "nap", sleep_s=[nap_s, nap_s])
    began = time.monotonic()
    fanout(kafka.bootstrap, *work(unique_name("workers"), "--concurrency", "500", "--until", "end")).require()
    took, order = time.monotonic() - began, handled.order()
    print(f"{count} records, 95 % without a key: {took:.1f} s, one at a time {count * nap_s:.0f} s")
    assert len(handled.ended()) == count
    assert (order.two_of_a_key, order.out_of_order) == ([], [])
    assert order.most_at_once > 100
    assert took < count * nap_s


def test_plain_functions_run_side_by_side_in_threads(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, count = topics("orders"), 400
    write(kafka.bootstrap, topic, ((b"key-%d" % i, i) for i in range(count)))
    handled = tell(topic, "plain", sleep_s=[0.1])
    fanout(kafka.bootstrap, *work(unique_name("workers"), "--concurrency", "20", "--until", "end")).require()
    assert len(handled.ended()) == count
    assert 10 < handled.order().most_at_once <= 20


def test_poison_becomes_a_dead_letter_after_its_attempts_and_holds_nobody_up(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead, group, count = topics("orders", 2), topics("dead"), unique_name("workers"), 2_000
    write(kafka.bootstrap, topic, ((b"key-%d" % (i % 50), i) for i in range(count)))
    handled = tell(topic, "poison", dlq=dead)
    document = fanout(kafka.bootstrap, *work(group, "--until", "end", "-o", "json")).require().document
    letters = read(kafka.bootstrap, dead, 8)
    attempts = [line.sequence for line in handled.lines() if line.kind == "begin" and line.sequence % 500 == 0]
    assert sorted(int(value) for value, _ in letters) == [0, 1, 500, 501, 1000, 1001, 1500, 1501]
    assert {sequence: attempts.count(sequence) for sequence in attempts} == {0: 3, 500: 3, 1000: 3, 1500: 3}
    counts = document["handlers"][topic]
    assert (counts["done"], counts["dead"], counts["failed"], counts["rejected"]) == (count - 8, 8, 4, 4)
    headers = next(headers for value, headers in letters if value == b"500")
    assert headers["__dlq.errors.topic"] == topic.encode()
    assert headers["__dlq.errors.group"] == group.encode()
    assert headers["__dlq.errors.delivery.count"] == b"3"
    assert headers["__dlq.errors.message"] == b"ValueError: poison 500"
    assert headers["fanout.outcome"] == b"failed"
    assert committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic)


def test_a_missing_dead_letter_topic_refuses_the_start(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic = topics("orders")
    write(kafka.bootstrap, topic, [(b"k", 1)])
    handled = tell(topic, "nap", dlq=unique_name("nowhere"), sleep_s=[0, 0])
    ran = fanout(kafka.bootstrap, *work(unique_name("workers"), "--until", "end")).require(5)
    assert "dead-letter topic nowhere-" in ran.err
    assert handled.lines() == []


def test_a_record_is_settled_only_when_its_dead_letter_is_acknowledged(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead, group = topics("orders"), topics("dead"), unique_name("workers")
    write(kafka.bootstrap, topic, [(b"a", 2), (b"b", 1), (b"c", 3)])
    handled = tell(topic, "poison", dlq=dead)
    nobody = ("-X", "producer.bootstrap.servers=127.0.0.1:9")
    with Running(kafka.bootstrap, *work(group, *nobody, "--until", "end")) as running:
        wait_until(lambda: len(handled.ended()) == 2, "the healthy records")
        wait_until(lambda: committed(kafka.bootstrap, group, topic) == {0: 1}, "the commit below the letter")
        time.sleep(1)
        assert committed(kafka.bootstrap, group, topic) == {0: 1}
        running.signal(signal.SIGTERM)
        running.wait().require()
    assert committed(kafka.bootstrap, group, topic) == {0: 1}
    fanout(kafka.bootstrap, *work(group, "--until", "end")).require()
    assert [value for value, _ in read(kafka.bootstrap, dead, 1)] == [b"1"]
    assert committed(kafka.bootstrap, group, topic) == {0: 3}


def test_too_many_dead_letters_stop_the_work_before_the_topic_is_emptied(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, dead, group = topics("orders"), topics("dead"), unique_name("workers")
    write(kafka.bootstrap, topic, ((None, 500 * i) for i in range(200)))
    tell(topic, "poison", dlq=dead)
    ran = fanout(kafka.bootstrap, *work(group, "--until", "end")).require(1)
    assert "more than 10 of 1,000 records" in ran.err
    assert ends(kafka.bootstrap, dead)[0] == 10
    assert committed(kafka.bootstrap, group, topic).get(0, 0) <= 10


def test_the_end_is_reached_over_markers_and_aborted_records(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, group = topics("orders"), unique_name("workers")
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": unique_name("writer")})
    producer.init_transactions(30)
    for ended in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for sequence in range(5):
            producer.produce(topic, key=b"k", value=str(sequence).encode())
        producer.flush()
        ended()
    wait_for_markers(kafka.bootstrap, topic)
    handled = tell(topic, "nap", sleep_s=[0, 0])
    fanout(kafka.bootstrap, *work(group, "--until", "end")).require()
    assert len(handled.ended()) == 5
    assert committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic) == {0: 12}


def test_a_stop_finishes_what_runs_and_the_next_start_repeats_nothing(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, group, count = topics("orders", 4), unique_name("workers"), 6_000
    write(kafka.bootstrap, topic, ((b"key-%d" % (i % 1_000), i) for i in range(count)))
    handled = tell(topic, "nap", sleep_s=[0.05, 0.3])
    with Running(kafka.bootstrap, *work(group, "-w", "2")) as running:
        wait_until(lambda: len(handled.ended()) > 20, "the first records")
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        running.wait().require(0)
        took = time.monotonic() - began
    assert len(handled.ended()) < count, "the stop came too late to test anything"
    fanout(kafka.bootstrap, *work(group, "-w", "2", "--concurrency", "300", "--until", "end")).require()
    times = handled.ended()
    begun = sum(line.kind == "begin" for line in handled.lines())
    print(f"stopped in {took:.1f} s; records {count}, begun {begun}, repeated {begun - count}")
    assert took < 20
    assert (len(times), begun) == (count, count)


def test_a_handler_that_calls_exit_neither_ends_its_worker_nor_loses_its_record(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, count = topics("orders"), 200
    write(kafka.bootstrap, topic, ((b"key-%d" % (i % 20), i) for i in range(count)))
    handled = tell(topic, "leave")
    ran = fanout(kafka.bootstrap, *work(unique_name("workers"), "--until", "end", "-o", "json")).require()
    assert set(handled.ended().values()) == {1}
    assert len(handled.ended()) == count
    assert (ran.document["restarts"], ran.document["handlers"][topic]["retried"]) == ({}, 20)


def test_a_handler_that_blocks_holds_back_its_own_process_only_and_no_orphan_stays(
    kafka: Kafka, topics: Topics, tell: Tell
) -> None:
    topic, group = topics("orders", 2), unique_name("workers")
    write(kafka.bootstrap, topic, [(b"k", 0)])
    write(kafka.bootstrap, topic, ((b"key-%d" % i, i + 1) for i in range(200)))
    handled = tell(topic, "block")

    def finished() -> set[tuple[int, int]]:
        return committed(kafka.bootstrap, group, topic).items() & ends(kafka.bootstrap, topic).items()

    with Running(kafka.bootstrap, *work(group, "-w", "2")) as running:
        wait_until(finished, "the partition of the other process")
        pids = children_of(running.pid)
        assert len(pids) == 2
        running.kill()
    began = time.monotonic()
    wait_until(lambda: not any(map(is_alive, pids)), "workers of a killed supervisor")
    print(f"no worker {time.monotonic() - began:.1f} s after its supervisor was killed, one of them blocked")
    assert len(finished()) == 1
    done = handled.ended()
    places = committed(kafka.bootstrap, group, topic)
    passed = [f"{topic}/{p}/{offset}" for p, end in places.items() for offset in range(end)]
    assert [name for name in passed if name not in done] == []


def test_workers_go_with_a_supervisor_that_is_forced(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic = topics("orders")
    write(kafka.bootstrap, topic, [(b"k", 0)])
    handled = tell(topic, "block")
    with Running(kafka.bootstrap, *work(unique_name("workers"))) as running:
        wait_until(handled.lines, "the handler")
        pids = children_of(running.pid)
        running.signal(signal.SIGTERM)
        # Two signals that are both still to be heard are one.
        wait_until(lambda: "a second one ends at once" in running.said(), "the first signal")
        running.signal(signal.SIGTERM)
        running.wait(30).require(143)
    wait_until(lambda: not any(map(is_alive, pids)), "forced workers", 30)


def test_a_position_that_expired_stops_the_work_instead_of_skipping(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, group = topics("orders"), unique_name("workers")
    write(kafka.bootstrap, topic, ((b"k", i) for i in range(10)))
    cluster = Cluster({"bootstrap.servers": kafka.bootstrap})
    cluster.commit(group, topic, {0: (3, "")})
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for done in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        done.result()
    handled = tell(topic, "nap", sleep_s=[0, 0])
    ran = fanout(kafka.bootstrap, *work(group, "--until", "end")).require(1)
    assert f"{topic}/0: what {group} has not read yet is gone; the log starts at 6" in ran.err
    assert handled.lines() == []
    fanout(kafka.bootstrap, "-X", "consumer.auto.offset.reset=earliest", *work(group, "--until", "end")).require()
    assert len(handled.ended()) == 4


def read(bootstrap: str, topic: str, count: int) -> list[tuple[bytes, dict[str, bytes]]]:
    """`count` records from the start: value and headers; AssertionError if more or fewer are there."""
    records = [(record.value or b"", dict(record.headers)) for record in whole(bootstrap, topic)]
    assert len(records) == count
    return records  # type: ignore[return-value]
