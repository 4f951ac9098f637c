"""`fanout forward` is killed while its source is fed: nothing is lost, doubled, reordered or half done."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import Running, fanout
from conftest import Topics, unique_name
from oracle import Expectation, Recipe
from oracle.ends import Ends
from oracle.generate import Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove
from oracle.read import Follower, read

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from conftest import Kafka

KEPT = {"retention.ms": "-1"}
RATE = 20_000
TARGETS = 4
KILLS = 10
MOST_KILLS = 30
RECOVERY_S = 90.0
AIM_S = 2.0

Offsets = dict[int, int]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What one SIGKILL left behind: where the target's partitions ended, how many of them lay in an open transaction,
    and how long it took the next process to commit something."""

    high: Offsets
    held: int
    recovery_s: float


def test_ten_kills_under_load_leave_no_trace(kafka: Kafka, topics: Topics) -> None:
    forward_under_kills(kafka, topics, KILLS)


def test_two_kills_on_older_brokers_leave_no_trace(older_kafka: Kafka) -> None:
    topics = Topics(older_kafka.bootstrap)
    forward_under_kills(older_kafka, topics, 2)
    topics.delete_all()


def forward_under_kills(kafka: Kafka, topics: Topics, wanted: int) -> None:
    """Feeds, forwards and kills until so many kills count, goes on to the end, and proves the whole."""
    source, target, group = topics("source", 3, KEPT), topics("target", TARGETS, KEPT), unique_name("g")
    generator = Generator(kafka.bootstrap, source, Recipe(value_bytes=300))
    arguments = ("forward", "-t", source, "-g", group, "--to-topic", target, "--from", "earliest")

    kills: list[Kill] = []
    counted: list[int] = []
    fed = 0
    # Of a transaction that is open after a kill the end may be on its way: that kill does not count, another one must.
    while len(counted) < wanted and len(kills) < MOST_KILLS:
        with Follower(kafka.bootstrap, target) as follower:
            with generator.feed(RATE) as feed:
                kills += kill_again_and_again(kafka.bootstrap, arguments, (target, wanted - len(counted)))
            fanout(kafka.bootstrap, *arguments, "--until", "end").require()
        fed += feed.sent

        prove(
            Carried(bootstrap=kafka.bootstrap, source=source, target=target, group=group),
            Expectation(recipe=generator.recipe, ledger=generator.ledger, placement=java_placement(TARGETS)),
            follower=follower,
        )
        committed = {partition: set(offsets) for partition, offsets in follower.later.items()}
        counted = count_kills(kafka.bootstrap, target, kills, committed)
    recoveries = sorted(kill.recovery_s for kill in kills)
    print(
        f"kills={len(kills)} counted={len(counted)} aborted_records={sum(counted)} fed={fed} "
        f"recovery_p50_s={statistics.median(recoveries):.2f} recovery_max_s={recoveries[-1]:.2f}"
    )
    assert len(counted) >= wanted, f"only {len(counted)} of {len(kills)} kills hit a transaction: the run is void"


def kill_again_and_again(bootstrap: str, arguments: Sequence[str], aim: tuple[str, int]) -> list[Kill]:
    """Starts, waits for a commit, works for a random while, kills; until enough kills left a transaction open."""
    target, wanted = aim
    dice = random.Random(33)
    kills: list[Kill] = []
    killed_at = time.monotonic()
    with Ends(bootstrap, target) as ends:
        stable = ends.stable()
        while sum(kill.held > 0 for kill in kills) < wanted and len(kills) < MOST_KILLS:
            with Running(bootstrap, *arguments) as running:
                wait_for_commit(ends, stable, running)
                recovery_s = time.monotonic() - killed_at
                time.sleep(dice.uniform(0.1, 0.6))
                wait_for_transaction(ends)
                running.kill()
            killed_at = time.monotonic()
            stable, high = ends.stable(), ends.high()
            kills.append(Kill(high=high, held=held(stable, high), recovery_s=recovery_s))
    return kills


def held(stable: Offsets, high: Offsets) -> int:
    """How many partitions hold acknowledged data of a transaction that has not ended."""
    return sum(stable[partition] < high[partition] for partition in high)


def wait_for_transaction(ends: Ends) -> None:
    """Until acknowledged data of an open transaction is seen, or a while has passed. It may end before the kill."""
    deadline = time.monotonic() + AIM_S
    while not held(ends.stable(), ends.high()) and time.monotonic() < deadline:
        pass


def wait_for_commit(ends: Ends, before: Offsets, running: Running) -> None:
    """Until read_committed readers of the target see more than they did."""
    deadline = time.monotonic() + RECOVERY_S
    while ends.stable() == before:
        assert running.runs, running.wait().require()
        assert time.monotonic() < deadline, f"no commit within {RECOVERY_S:g} s of a start:\n{running.said()}"
        time.sleep(0.02)


def count_kills(
    bootstrap: str, target: str, kills: Sequence[Kill], committed: Mapping[int, Container[int]]
) -> list[int]:
    """Acknowledged records in the transactions that each counted kill left, all of them aborted since.

    A kill counts if a transaction was open right after it and records between the ends noted at the kill before and at
    this one stand in the log, yet are not shown to read_committed readers: nobody wrote between a kill and the start
    after it, so what was aborted there died with that process.
    """
    aborted = [0] * len(kills)
    for record in read(bootstrap, target, isolation="read_uncommitted"):
        if record.offset not in committed[record.partition]:
            windows = (i for i, kill in enumerate(kills) if record.offset < kill.high[record.partition])
            if (at := next(windows, None)) is not None:
                aborted[at] += 1
    return [count for kill, count in zip(kills, aborted, strict=True) if kill.held and count]
