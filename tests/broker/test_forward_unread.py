"""Long batches that travel whole go from socket to socket inside the kernel: nobody here reads them, all arrive."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.lanes import settings
from fanout._fanout import Forwarder
from oracle import Expectation, Recipe
from oracle.generate import Chunk, Generator
from oracle.prove import Carried, prove
from oracle.read import read

if TYPE_CHECKING:
    from conftest import Kafka, Topics

KEPT = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
SMALL = {"fetch_bytes": 256 << 10, "transaction_bytes": 1 << 20}
"""Settings under which few records make many fetches and transactions."""
LONG = Recipe(value_bytes=300)


def long_batches(bootstrap: str, topic: str) -> Generator:
    """Writes batches of 500 records each, however slowly it is let write."""
    generator = Generator(bootstrap, topic, LONG)
    generator.linger_ms = 60_000
    return generator


def carried(generator: Generator, target: str, at_broken_pipes: Any = signal.SIG_IGN, **changes: Any) -> Counter[str]:
    """Forwards everything by whole batches and proves it; source batches by way and reason.

    `at_broken_pipes`: what SIGPIPE does to this process while it forwards, and no longer.
    """
    plan = settings(generator.bootstrap, generator.topic, target, route="batch", **{**SMALL, **changes})
    forwarder = Forwarder(plan)
    before = signal.signal(signal.SIGPIPE, at_broken_pipes)
    try:
        ends = forwarder.run()
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert {end.outcome for end in ends} == {"end"}, [str(end.error) for end in ends]
    ways: Counter[str] = Counter()
    for lane in forwarder.stats():
        ways.update(lane.batches)
    prove(
        Carried(bootstrap=generator.bootstrap, source=generator.topic, target=target, group=plan.group),
        Expectation(recipe=generator.recipe, ledger=generator.ledger, source=generator.topic),
    )
    print(f"batches={dict(ways)}")
    return ways


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_long_batches_arrive_unread(kafka: Kafka, topics: Topics, codec: Any) -> None:
    generator = long_batches(kafka.bootstrap, topics("source", 2, KEPT))
    generator.write(Chunk(records=12_000, codec=codec))
    ways = carried(generator, topics("target", 4, KEPT))
    # Of a few batches of some 100 KiB; the first fetch of a lane and what a pipe has no room for are read.
    assert ways["pass:unread"] > ways.total() / 3, ways


def test_markers_and_aborted_records_among_them_are_left_out(kafka: Kafka, topics: Topics) -> None:
    generator = long_batches(kafka.bootstrap, topics("source", 2, KEPT))
    for _ in range(3):
        generator.write(Chunk(records=4_000))
        generator.write(Chunk(records=4_000, ending="commit"))
        generator.write(Chunk(records=1_000, ending="abort"))
    target = topics("target", 4, KEPT)
    ways = carried(generator, target)
    assert ways["pass:unread"] > 10, ways
    shown = sum(1 for _ in read(kafka.bootstrap, target))
    assert shown == 24_000


def test_a_lane_that_is_held_to_a_rate_reads_what_it_carries(kafka: Kafka, topics: Topics) -> None:
    generator = long_batches(kafka.bootstrap, topics("source", 1, KEPT))
    generator.write(Chunk(records=5_000))
    ways = carried(generator, topics("target", 2, KEPT), max_rate=1e6)
    assert ways["pass:whole"] > 5, ways
    assert ways["pass:unread"] == 0, ways


def test_a_lane_that_promises_at_least_once_keeps_what_it_may_have_to_send_again(kafka: Kafka, topics: Topics) -> None:
    generator = long_batches(kafka.bootstrap, topics("source", 1, KEPT))
    generator.write(Chunk(records=5_000))
    ways = carried(generator, topics("target", 2, KEPT), delivery="at-least-once")
    assert ways["pass:unread"] == 0, ways


def test_a_process_that_a_broken_connection_would_end_reads_what_it_carries(kafka: Kafka, topics: Topics) -> None:
    generator = long_batches(kafka.bootstrap, topics("source", 1, KEPT))
    generator.write(Chunk(records=5_000))
    ways = carried(generator, topics("target", 2, KEPT), at_broken_pipes=signal.SIG_DFL)
    assert ways["pass:unread"] == 0, ways
