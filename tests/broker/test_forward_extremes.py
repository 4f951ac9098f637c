"""The largest, oldest, emptiest and most hostile that a source can hold, through a real broker."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from commands import Running, fanout
from fanout._fanout import partition_for

from .lanes import ends, feed, read

if TYPE_CHECKING:
    from confluent_kafka import Message

    from conftest import Kafka, Topics

MIB = 1 << 20
FAILED = 1
KEYS = 10_000
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1), "message.timestamp.before.max.ms": str(2**63 - 1)}
CODECS = ("gzip", "snappy", "lz4", "zstd")


def content(message: Message) -> tuple[Any, ...]:
    """All of a record that must not change."""
    return message.key(), message.value(), message.headers(), message.timestamp()


def test_the_largest_and_the_oddest_records_arrive_byte_for_byte(kafka: Kafka, topics: Topics) -> None:
    roomy = {"max.message.bytes": str(8 * MIB), **ANY_TIME}
    source, target = topics("extremes", 1, roomy), topics("target", 3, roomy)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 8 * MIB, "linger.ms": 0})
    odd: list[dict[str, Any]] = [
        {"key": b"no time", "value": b"v", "timestamp": 0},
        {"key": b"the last ms", "value": b"v", "timestamp": 2**63 - 1},
        {"key": b"k" * MIB, "value": b"large key"},
        {"key": b"large value", "value": random.Random(7).randbytes(7 * MIB)},
        {"key": b"1,000 headers", "value": b"", "headers": [(f"h{n % 7}", b"%d" % n) for n in range(1_000)]},
        {"key": b"10,000 headers", "value": None, "headers": [("h", None)] * 10_000},
        {"key": b"forged", "value": b"v", "headers": [("fanout.origin", b"\x00" * 12), ("fanout.run", b"")]},
        {"key": b"", "value": b"empty key"},
        {"key": b"\xff\xfe\x00", "value": b"", "headers": [("überschrift ✓", b"\xff"), ("überschrift ✓", b"")]},
    ]
    for record in odd:
        producer.produce(source, **record)
        assert producer.flush(30) == 0

    named = ("-t", source, "-g", target, "--to-topic", target, "--from", "earliest", "--until", "end")
    fanout(kafka.bootstrap, "-o", "json", "forward", *named).require()

    sent = sorted(map(content, read(kafka.bootstrap, source)), key=repr)
    arrived = sorted(map(content, read(kafka.bootstrap, target)), key=repr)
    altered = sum(one != other for one, other in zip(sent, arrived, strict=False))
    print(f"extremes: records={len(arrived)} lost={len(sent) - len(arrived)} altered={altered}")
    assert arrived == sent
    assert len(sent) == len(odd)
    assert ends(kafka.bootstrap, target, source) == {0: len(odd)}, "nothing lags"


def test_bombs_halt_their_lanes_and_memory_stays_bounded(kafka: Kafka, topics: Topics) -> None:
    source = topics("bombs", 5, {"max.message.bytes": str(16 * MIB)})
    target = topics("target", 3)
    for partition, codec in enumerate(CODECS):
        bomb = {"message.max.bytes": 400 * MIB, "compression.type": codec}
        feed(kafka.bootstrap, source, [(partition, b"k", bytes(150 * MIB))], **bomb)
    feed(kafka.bootstrap, source, [(4, b"k", b"%d" % number) for number in range(1_000)])

    named = ("-t", source, "-g", target, "--to-topic", target, "--from", "earliest", "--until", "end")
    peak_kb = 0
    with Running(kafka.bootstrap, "-o", "json", "forward", *named) as running:
        status = Path(f"/proc/{running.pid}/status")
        while running.runs:
            held = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
            peak_kb = max([peak_kb, *(int(line.split()[1]) for line in held)])
            time.sleep(0.01)
        ran = running.wait().require(FAILED)

    lanes = {lane["partition"]: lane for lane in ran.document["lanes"]}
    print(f"bombs: halted={sum(lane['outcome'] == 'failed' for lane in lanes.values())} peak_mib={peak_kb >> 10}")
    for partition, codec in enumerate(CODECS):
        assert f"{source}/{partition} at offset 0" in lanes[partition]["error"], codec
        assert "more than 67108864 bytes" in lanes[partition]["error"], lanes[partition]["error"]
    assert (lanes[4]["outcome"], lanes[4]["records"]) == ("end", 1_000)
    assert len(read(kafka.bootstrap, target)) == 1_000
    # Four lanes that each unpacked all of theirs would hold more than 600 MiB.
    assert 0 < peak_kb < 500 * 1024


def test_keys_go_where_another_client_sends_them(kafka: Kafka, topics: Topics) -> None:
    partitions = 64
    topic = topics("keys", partitions, {"max.message.bytes": str(4 * MIB)})
    rng = random.Random(34)
    keys = [b"", b"\x00", b"\xff" * 3, "schlüssel".encode(), b"k" * MIB]
    keys += [rng.randbytes(rng.randrange(1, 60)) for _ in range(KEYS - len(keys))]
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", "message.max.bytes": 4 * MIB}
    )
    placed: dict[bytes, int] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None
        placed[message.key() or b""] = message.partition() or 0

    for key in keys:
        producer.produce(topic, b"", key, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0

    other = [key for key in set(keys) if partition_for("murmur2", key, partitions) != placed[key]]
    print(f"murmur2: keys={len(keys)} differing={len(other)} partitions_used={len(set(placed.values()))}")
    assert other == []
    assert len(set(placed.values())) == partitions
