"""A batch damaged on the broker's disk halts its lane and no other, and is left out only on the user's word."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient, NewTopic

from commands import Running, fanout
from oracle.state import committed_offsets

from .lanes import feed, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanout.demo.cluster import Cluster

PARTITIONS = 3
BATCHES = 6
SIZE = 10
FAILED, REFUSED = 1, 5
ARGUMENTS = ("-t", "source", "-g", "g", "--to-topic", "target", "--from", "earliest")


def damaged(cluster: Cluster) -> None:
    """A source of 3 partitions with 6 batches of 10 records each; one bit of `1/33`, in the 4th of 1, is flipped."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for made in admin.create_topics([NewTopic("source", PARTITIONS), NewTopic("target", 4)]).values():
        made.result()
    for batch in range(BATCHES):
        offsets = range(batch * SIZE, (batch + 1) * SIZE)
        records = [(p, b"key %d" % n, b"%d/%d" % (p, n)) for p in range(PARTITIONS) for n in offsets]
        feed(cluster.bootstrap, "source", records, **{"linger.ms": 60_000})
    node = cluster.node(1)
    node.stop()
    (segment,) = cluster.log_folder(1, "source", 1).glob("*.log")
    data = bytearray(segment.read_bytes())
    data[data.index(b"1/33")] ^= 1
    segment.write_bytes(data)
    node.start()


def until_end(*more: str) -> tuple[str, ...]:
    return ("-o", "json", "forward", *ARGUMENTS, "--until", "end", *more)


def test_a_damaged_batch_is_named_in_time_and_left_out_only_on_the_users_word(
    own_cluster: Callable[..., Cluster],
) -> None:
    cluster = own_cluster()
    damaged(cluster)
    bootstrap = cluster.bootstrap
    with Running(bootstrap, "forward", *ARGUMENTS) as daemon:
        began = time.monotonic()
        while "source/1 at offset 30" not in daemon.said():
            assert time.monotonic() - began < 60, daemon.said()
            time.sleep(0.05)
        named_s = time.monotonic() - began
        # The others go on, whatever became of that one.
        feed(bootstrap, "source", [(0, b"late", b"0/60"), (2, b"late", b"2/60")])
        while committed_offsets(bootstrap, "g", "source") != {0: 61, 1: 30, 2: 61}:
            assert time.monotonic() - began < 120, committed_offsets(bootstrap, "g", "source")
            time.sleep(0.1)
        assert daemon.runs

    wrong = fanout(bootstrap, *until_end("--skip", "source:1@20")).require(REFUSED)
    sound = fanout(bootstrap, *until_end("--skip", "source:0@61")).require(REFUSED)
    again = fanout(bootstrap, *until_end()).require(FAILED)
    assert "group g stands at offset 30, and nothing was skipped" in wrong.err
    assert "the batch there can be carried, and nothing was skipped" in sound.err
    assert "--skip source:1@30" in json.dumps(again.document["lanes"]), "the error says what to write"

    skipped = fanout(bootstrap, *until_end("--skip", "source:1@30")).require()

    [line] = skipped.document["skipped"]
    assert line.startswith("source/1 offsets 30 to 39: ")
    assert "skipped on the user's word" in skipped.err
    lane = skipped.document["lanes"][1]
    assert (lane["from"], lane["to"], lane["records"]) == (40, 60, 20)
    everything = {b"%d/%d" % (p, n) for p in range(PARTITIONS) for n in range(61 if p != 1 else 60)}
    left_out = {b"1/%d" % n for n in range(30, 40)}
    arrived = sorted(message.value() for message in read(bootstrap, "target"))
    lost, doubled = everything - left_out - set(arrived), len(arrived) - len(set(arrived))
    print(f"skip: records={len(arrived)} lost={len(lost)} duplicated={doubled} skipped={len(left_out)} {named_s=:.1f}")
    assert arrived == sorted(everything - left_out)
    fanout(bootstrap, *until_end("--skip", "source:1@30")).require(REFUSED)
    remembers_for_good(bootstrap)


def remembers_for_good(bootstrap: str) -> None:
    """Whoever carries the lane later, and however often it has committed since, is told."""
    feed(bootstrap, "source", [(1, b"later", b"1/60")])
    fanout(bootstrap, *until_end()).require()
    last = fanout(bootstrap, *until_end()).require().document
    assert last["skipped"] == []
    assert last["left_out"] == ["source/1 offsets 30 to 39"]
    assert last["lanes"][1]["to"] == 61
