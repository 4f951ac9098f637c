"""What stops a lane on a real Kafka, what it says then, and that the other lanes go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Cluster as Control
from fanout.errors import FencedError, HaltedError

from .lanes import ends, feed, forward, forwarding, read, settings

if TYPE_CHECKING:
    from conftest import Kafka, Topics
    from fanout._fanout import LaneEnd
    from fanout.demo.cluster import Cluster


def halted(end: LaneEnd) -> HaltedError:
    """The error of a lane that stopped at one place."""
    assert end.outcome == "failed"
    assert isinstance(end.error, HaltedError)
    return end.error


def wait_for(what: str, true: Callable[[], bool], deadline_s: float = 60) -> None:
    """Waits for the thing itself, with a deadline."""
    give_up = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < give_up, f"not in {deadline_s} s: {what}"
        time.sleep(0.05)


def test_a_record_too_large_for_the_target_halts_its_lane_and_no_other(kafka: Kafka, topics: Topics) -> None:
    source = topics("source", 2, {"max.message.bytes": "2000000"})
    target = topics("target", 3, {"max.message.bytes": "100000"})
    feed(kafka.bootstrap, source, [(0, b"small", b"a"), (1, b"k", b"b"), (1, b"k", b"c" * 200_000)])

    lanes = forward(settings(kafka.bootstrap, source, target))

    assert (lanes[0].outcome, lanes[0].position) == ("end", 1)
    error = halted(lanes[1])
    assert (error.topic, error.partition) == (source, 1)
    assert error.offset in {0, 1}
    assert "max.message.bytes" in error.remedy
    assert [message.value() for message in read(kafka.bootstrap, target)] == [b"a"], "an aborted batch is not seen"
    assert not Control({"bootstrap.servers": kafka.bootstrap}).stuck_by(target, 0)


def test_offsets_that_are_gone_halt_the_lane_with_the_exact_interval(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"%d" % number) for number in range(100)])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for deleted in admin.delete_records([TopicPartition(source, 0, 40)]).values():
        deleted.result()

    error = halted(forward(settings(kafka.bootstrap, source, target))[0])

    assert "offsets 0 to 39 are gone" in error.problem
    assert f"-t {source}:0 --from @40" in error.remedy
    assert read(kafka.bootstrap, target) == []
    other = f"{target}-other"
    again = settings(kafka.bootstrap, source, target, group=other, transactional_prefix=other, start={0: 40})
    assert forward(again)[0].count == 60, "the way on works"


def test_an_offset_that_another_tool_moved_stops_the_lane(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"v")])
    chosen = settings(kafka.bootstrap, source, target)
    Control({"bootstrap.servers": kafka.bootstrap}).commit(chosen.group, source, {0: (0, "")})

    assert "moved by another tool" in halted(forward(chosen)[0]).problem


def test_a_group_that_forwards_to_another_target_is_refused(kafka: Kafka, topics: Topics) -> None:
    source, first, second = topics("source", 1), topics("first", 2), topics("second", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"v")])
    chosen = settings(kafka.bootstrap, source, first)
    assert forward(chosen)[0].outcome == "end"

    error = halted(forward(settings(kafka.bootstrap, source, second, group=chosen.group))[0])

    assert "another target" in error.problem
    assert ends(kafka.bootstrap, chosen.group, source) == {0: 1}


def test_a_topic_made_again_under_the_same_name_ends_the_lane(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"old")])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    with forwarding(settings(kafka.bootstrap, source, target, end=None)) as (forwarder, ended):
        wait_for("the old record", lambda: forwarder.stats()[0].position == 1)
        admin.delete_topics([source])[source].result()
        # Not through the fixture: the name is what matters.
        wait_for("the name to be free", lambda: source not in admin.list_topics(timeout=10).topics)
        admin.create_topics([NewTopic(source, 1)])[source].result()
        wait_for("the lane to end", lambda: bool(ended))

    assert "another one made under its name" in halted(ended[0]).problem


def test_a_lane_that_is_taken_over_ends_as_fenced_and_does_not_fight(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 2)
    feed(kafka.bootstrap, source, [(0, b"k", b"%d" % number) for number in range(10)])
    chosen = settings(kafka.bootstrap, source, target, end=None)
    with forwarding(chosen) as (forwarder, ended):
        wait_for("a commit", lambda: forwarder.stats()[0].position == 10)
        Control({"bootstrap.servers": kafka.bootstrap}).take_over(f"{chosen.transactional_prefix}.{source}.0")
        feed(kafka.bootstrap, source, [(0, b"k", b"after")])
        wait_for("the lane to end", lambda: bool(ended))

    assert isinstance(ended[0].error, FencedError)
    assert ends(kafka.bootstrap, chosen.group, source) == {0: 10}
    assert [message.value() for message in read(kafka.bootstrap, target)] == [b"%d" % number for number in range(10)]


def test_a_batch_above_the_memory_bound_halts_its_lane_before_it_is_allocated(kafka: Kafka, topics: Topics) -> None:
    source = topics("source", 2, {"max.message.bytes": "4000000"})
    target = topics("target", 2, {"max.message.bytes": "4000000"})
    large = {"message.max.bytes": 4_000_000}
    feed(kafka.bootstrap, source, [(0, b"k", b"x" * 3_000_000), (1, b"k", b"small")], **large)
    tight = settings(kafka.bootstrap, source, target, fetch_bytes=65536, lane_memory_bytes=1 << 20)

    lanes = forward(tight)

    assert lanes[1].outcome == "end"
    assert "lane_memory_bytes" in halted(lanes[0]).remedy
    again = forward(settings(kafka.bootstrap, source, target))
    assert [lane.outcome for lane in again.values()] == ["end", "end"], "with more memory it goes on"


def test_a_corrupt_batch_halts_its_lane_and_everything_before_it_arrives(own_cluster: Callable[..., Cluster]) -> None:
    cluster = own_cluster()
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for made in admin.create_topics([NewTopic("source", 2), NewTopic("target", 2)]).values():
        made.result()
    for number in range(5):
        feed(cluster.bootstrap, "source", [(0, b"k", b"value %d" % number), (1, b"k", b"other %d" % number)])
    node = cluster.node(1)
    node.stop()
    (segment,) = cluster.log_folder(1, "source", 0).glob("*.log")
    data = bytearray(segment.read_bytes())
    data[data.index(b"value 3")] ^= 1
    segment.write_bytes(data)
    node.start()

    lanes = forward(settings(cluster.bootstrap, "source", "target"))

    assert (lanes[1].outcome, lanes[1].position) == ("end", 5)
    error = halted(lanes[0])
    assert (error.topic, error.partition, error.offset) == ("source", 0, 3)
    assert "CRC" in error.problem
    arrived = sorted(message.value() for message in read(cluster.bootstrap, "target"))
    assert arrived == [b"other %d" % n for n in range(5)] + [b"value 0", b"value 1", b"value 2"]


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_stop_under_load_commits_what_was_carried_and_leaves_nothing_open(
    kafka: Kafka, topics: Topics, seconds: float
) -> None:
    source, target = topics("source", 3), topics("target", 10)
    feed(kafka.bootstrap, source, [(number % 3, b"%d" % number, b"x" * 100) for number in range(60_000)])
    began = time.monotonic()
    with forwarding(settings(kafka.bootstrap, source, target, end=None, transaction_bytes=100_000)) as (_, ended):
        time.sleep(seconds)
        began = time.monotonic()
    took = time.monotonic() - began

    assert took < 20
    assert {end.outcome for end in ended} == {"stopped"}
    control = Control({"bootstrap.servers": kafka.bootstrap})
    # An end of transaction is answered before its markers are written.
    wait_for("no open transaction", lambda: not any(control.stuck_by(target, partition) for partition in range(10)))
    committed = ends(kafka.bootstrap, f"{target}-forward", source)
    assert {end.partition: end.position for end in ended if end.position > 0} == {
        p: o for p, o in committed.items() if o
    }
    assert len(read(kafka.bootstrap, target)) == sum(committed.values())


def test_reserved_headers_from_outside_are_stripped_where_an_origin_is_written(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    headers: list[tuple[str, str | bytes | None]] = [("fanout.origin", b"forged"), ("kept", None), ("kept", b"twice")]
    producer.produce(source, b"v", b"k", headers=headers)
    assert producer.flush(30) == 0

    lane = forward(settings(kafka.bootstrap, source, target, origin="text"))[0]

    assert lane.count == 1
    (message,) = read(kafka.bootstrap, target)
    assert message.headers() == [("kept", None), ("kept", b"twice"), ("fanout.origin", f"{source}/0/0".encode())]
