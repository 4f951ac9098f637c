"""How fast a forward may go: what the user sets over all lanes, and what the broker's quotas ask."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from conftest import unique_name
from fanout._fanout import Forwarder, LaneEnd

from .lanes import feed, forwarding, read, settings
from .raw import limit
from .working import wait_until

if TYPE_CHECKING:
    from conftest import Kafka, Topics

RECORDS = 6_000
TRIES = 3
VALUE = b"v" * 100
SOON_S = 6
"""For what takes a fraction of a second where the machine does not stall, and else 10 or 100."""


def fill(bootstrap: str, source: str, partitions: int, value: bytes = VALUE) -> None:
    """The same number of records in each partition, in batches of 100."""
    records = [(number % partitions, b"%d" % number, value) for number in range(RECORDS)]
    feed(bootstrap, source, records, **{"batch.num.messages": 100})


@pytest.mark.parametrize(("setting", "limit"), [("max_rate", 2_000.0), ("max_bytes", 300_000.0)])
def test_all_lanes_together_keep_to_the_rate(kafka: Kafka, topics: Topics, setting: str, limit: float) -> None:
    source = topics("source", 3)
    fill(kafka.bootstrap, source, 3)
    rates: list[float] = []
    # A machine that stalls may hold one of them back, too.
    while not rates or (rates[-1] < limit / 3 and len(rates) < TRIES):
        forwarder = Forwarder(settings(kafka.bootstrap, source, topics("target", 3), **{setting: limit}))
        began = time.monotonic()
        ends = forwarder.run()
        seconds = time.monotonic() - began

        assert sum(end.forwarded for end in ends) == RECORDS
        carried = RECORDS if setting == "max_rate" else sum(lane.bytes for lane in forwarder.stats())
        burst = limit / 10 + carried / RECORDS * 100
        rates.append(carried / seconds)
        print(f"records={RECORDS} {setting}={limit:g} carried={carried} seconds={seconds:.2f} per_s={rates[-1]:.0f}")
        assert carried <= limit * seconds + burst
    assert rates[-1] >= limit / 3, "it was not the rate that held it back"


def stop(forwarder: Forwarder, ended: list[LaneEnd]) -> float:
    """Stops the lanes; how many seconds that took."""
    told = time.monotonic()
    forwarder.stop()
    wait_until(lambda: ended, "the lanes' end")
    return time.monotonic() - told


def test_a_lane_that_the_rate_holds_back_is_stopped_long_before_it_may_go_on(kafka: Kafka, topics: Topics) -> None:
    source, target = topics("source", 1), topics("target", 2)
    fill(kafka.bootstrap, source, 1)
    # A batch of 100 records is paid for with as many seconds.
    with forwarding(settings(kafka.bootstrap, source, target, max_rate=1.0)) as (forwarder, ended):
        wait_until(lambda: forwarder.stats()[0].state not in ("idle", "starting"), "the lane")
        time.sleep(0.5)
        seconds = stop(forwarder, ended)
    print(f"stopped_after_s={seconds:.2f}")
    assert ended[0].outcome == "stopped"
    assert seconds < SOON_S


def held_back(bootstrap: str, quota: str, most: float) -> dict[str, str]:
    """Properties of a client of its own, of which the broker has this to say.

    To be asked for before the topics are made: the broker that knows them knows the quota, which came before them.
    """
    client_id = unique_name("held-back")
    limit(bootstrap, client_id, quota, most)
    return {"bootstrap.servers": bootstrap, "client.id": client_id}


def test_a_broker_that_asks_for_a_pause_gets_it(kafka: Kafka, topics: Topics) -> None:
    client = held_back(kafka.bootstrap, "producer_byte_rate", 120_000.0)
    source, target = topics("source", 2), topics("target", 3)
    fill(kafka.bootstrap, source, 2, b"v" * 300)
    forwarder = Forwarder(settings(kafka.bootstrap, source, target, properties=client, transaction_bytes=200_000))

    began = time.monotonic()
    ends = forwarder.run()
    seconds = time.monotonic() - began

    throttled_ms = sum(lane.throttled_ms for lane in forwarder.stats())
    arrived = len(read(kafka.bootstrap, target))
    print(f"records={RECORDS} arrived={arrived} seconds={seconds:.2f} throttled_ms={throttled_ms}")
    assert [end.outcome for end in ends] == ["end", "end"]
    assert arrived == RECORDS
    assert throttled_ms > 500, "the quota was not felt: the run is void"


def test_a_quota_on_reading_delays_neither_a_commit_nor_a_stop(kafka: Kafka, topics: Topics) -> None:
    client = held_back(kafka.bootstrap, "consumer_byte_rate", 20_000.0)
    source, target = topics("source", 1), topics("target", 2)
    fill(kafka.bootstrap, source, 1, b"v" * 300)
    chosen = settings(kafka.bootstrap, source, target, properties=client, transaction_ms=200)
    with forwarding(chosen) as (forwarder, ended):
        began = time.monotonic()
        wait_until(lambda: forwarder.stats()[0].throttled_ms and forwarder.stats()[0].position, "what is committed")
        lane, committed_s = forwarder.stats()[0], time.monotonic() - began
        committed = lane.position
        stopped_s = stop(forwarder, ended)
    arrived = len(read(kafka.bootstrap, target))
    print(f"{arrived=} {committed=} {committed_s=:.2f} {stopped_s=:.2f} throttled_ms={lane.throttled_ms}")
    assert ended[0].outcome == "stopped"
    assert committed <= ended[0].position == arrived < RECORDS
    assert lane.throttled_ms > 4_000, "the quota was not felt: the run is void"
    assert committed_s < lane.throttled_ms / 1000
    assert stopped_s < SOON_S
