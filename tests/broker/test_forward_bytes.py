"""Records at the very edges of the format, compared as the broker stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commands import fanout
from fanout._fanout import Forwarder

from .lanes import feed, forward, read, settings
from .raw import Name, batch, codecs, fetch, produce, stored
from .test_lanes import halted

if TYPE_CHECKING:
    from conftest import Kafka, Topics

LAST_MS = 2**63 - 1
ANY_TIME = {
    "retention.ms": "-1",
    "message.timestamp.after.max.ms": str(LAST_MS),
    "message.timestamp.before.max.ms": str(LAST_MS),
}


@pytest.mark.parametrize("route", ["key", "batch"])
def test_header_names_that_are_no_text_and_times_at_the_edges_arrive_as_they_are(
    kafka: Kafka, topics: Topics, route: str
) -> None:
    source, target = topics("bytes", 1, ANY_TIME), topics("target", 1, ANY_TIME)
    no_text = [(Name.of(name), b"v") for name in (b"\xff\xfe", b"\xc3\x28", b"", b"nul\x00", b"\xff\xfe")]
    many = [(Name.of(b"\x80%d" % number), None) for number in range(10_000)]
    written = [
        batch([(0, b"k", b"no text", no_text), (1_700_000_000_000, b"k", b"many", many)]),
        batch([(-1, b"k", b"no time", [])]),
        batch([(0, None, None, [])]),
        batch([(LAST_MS, b"k", b"the last ms", no_text), (-1, b"k", b"none beside the last", [])]),
    ]
    for one in written:
        produce(kafka.bootstrap, source, one)

    named = ("-t", source, "-g", target, "--to-topic", target, "--from", "earliest", "--until", "end")
    fanout(kafka.bootstrap, "forward", *named, "--route", route).require()

    sent, arrived = stored(fetch(kafka.bootstrap, source)), stored(fetch(kafka.bootstrap, target))
    altered = sum(one != other for one, other in zip(sent, arrived, strict=False))
    print(f"bytes, {route}: records={len(arrived)} lost={len(sent) - len(arrived)} altered={altered}")
    assert arrived == sent
    assert len(sent) == sum(len(stored(one)) for one in written) == 6


def test_batches_that_mix_codecs_are_merged_as_any_others(kafka: Kafka, topics: Topics) -> None:
    lz4, batches, partitions = 3, 40, 4
    source, target = topics("mixed", 1), topics("target", partitions)
    for number in range(batches):
        codec = ("none", "lz4")[number % 2]
        feed(
            kafka.bootstrap,
            source,
            [(0, b"key-%d" % at, b"%d " % number * 40) for at in range(20)],
            **{"compression.type": codec},
        )
    assert set(codecs(fetch(kafka.bootstrap, source))) == {0, lz4}

    forwarder = Forwarder(settings(kafka.bootstrap, source, target))
    forwarder.run()

    commits = forwarder.stats()[0].commits
    arrived = [codecs(fetch(kafka.bootstrap, target, partition)) for partition in range(partitions)]
    records = read(kafka.bootstrap, target)
    print(f"mixed: records={len(records)} source_batches={batches} commits={commits} posted={arrived}")
    assert len(records) == batches * 20
    assert all(len(posted) <= commits for posted in arrived)
    assert lz4 in arrived[0]


@pytest.mark.parametrize("route", ["key", "batch"])
def test_a_batch_as_large_as_the_target_takes_is_carried_and_one_byte_more_is_refused_by_name(
    kafka: Kafka, topics: Topics, route: str
) -> None:
    most = 100_000
    source, target = topics("large", 2), topics("target", 1, {"max.message.bytes": str(most)})
    room = most - len(batch([(0, b"k", b"v" * 90_000, [])])) + 90_000
    feed(kafka.bootstrap, source, [(0, b"k", b"v" * room), (1, b"k", b"w" * (room + 1))])
    sizes = [len(fetch(kafka.bootstrap, source, partition)) for partition in (0, 1)]

    lanes = forward(settings(kafka.bootstrap, source, target, route=route))

    error = str(halted(lanes[1]))
    print(f"{route}: sizes={sizes} taken={lanes[0].outcome}; refused: {error}")
    assert sizes == [most, most + 1]
    assert lanes[0].outcome == "end"
    assert [message.value() for message in read(kafka.bootstrap, target)] == [b"v" * room]
    assert f"{source}/1 at offset 0" in error
    assert "max.message.bytes" in error
    assert str(most + 1) in error
