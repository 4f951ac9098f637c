"""The oracle against a real Kafka, without fanout: its readers find what it wrote, and a bad copy is caught."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from conftest import Topics, unique_name

from .check import EndState, Expectation, check
from .compaction import COMPACTED, compact
from .ends import ends, unstable
from .generate import CODECS, Chunk, Generator
from .ledger import Fate
from .read import READERS, Follower, read
from .recipe import Recipe
from .state import committed_offsets, end_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Kafka


KEPT = {"retention.ms": "-1"}


@pytest.fixture(scope="module")
def filled(kafka: Kafka) -> Iterator[Generator]:
    """A topic of three partitions with everything a recipe and a generator can make."""
    topics = Topics(kafka.bootstrap)
    generator = Generator(kafka.bootstrap, topics("oracle", 3, KEPT), Recipe(varied=True, keys=211))
    for codec in CODECS:
        generator.write(Chunk(records=1_500, codec=codec))
        generator.write(Chunk(records=500, codec=codec, ending="commit"))
        generator.write(Chunk(records=300, codec=codec, ending="abort"))
    yield generator
    topics.delete_all()


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_finds_what_the_generator_wrote(kafka: Kafka, filled: Generator, reader: str) -> None:
    verdict = check(
        READERS[reader](kafka.bootstrap, filled.topic), Expectation(recipe=filled.recipe, ledger=filled.ledger)
    )
    verdict.require()
    assert verdict.records == 2_000 * len(CODECS)


def test_a_reader_that_shows_aborted_records_is_caught(kafka: Kafka, filled: Generator) -> None:
    shown = read(kafka.bootstrap, filled.topic, isolation="read_uncommitted")
    verdict = check(shown, Expectation(recipe=filled.recipe, ledger=filled.ledger))
    assert verdict.caught == {"uncommitted"}
    assert verdict["uncommitted"] == filled.ledger.count(Fate.ABORTED) == 300 * len(CODECS)


def test_the_end_of_a_topic_lies_past_its_trailing_markers(kafka: Kafka, filled: Generator) -> None:
    last: dict[int, int] = {}
    for serial in filled.ledger.committed():
        partition, offset = filled.ledger.place(serial)
        last[partition] = max(offset, last.get(partition, -1))
    stands = ends(kafka.bootstrap, filled.topic)
    assert all(stands[partition] > last[partition] + 1 for partition in last)


@pytest.mark.parametrize("commits", [True, False])
def test_an_open_transaction_holds_the_end_until_it_ends(kafka: Kafka, topics: Topics, *, commits: bool) -> None:
    topic = topics("open", 1, KEPT)
    generator = Generator(kafka.bootstrap, topic, Recipe(varied=True))
    generator.write(Chunk(records=100))
    transaction = generator.open(50)
    generator.write(Chunk(records=30))
    want = Expectation(recipe=generator.recipe, ledger=generator.ledger, below=ends(kafka.bootstrap, topic))
    assert unstable(kafka.bootstrap, topic) == {f"{topic}/0": (100, 180)}
    assert check(read(kafka.bootstrap, topic), want).records == 100

    (transaction.commit if commits else transaction.abort)()

    whole = Expectation(recipe=generator.recipe, ledger=generator.ledger)
    verdict = check(read(kafka.bootstrap, topic), whole)
    verdict.require()
    assert verdict.records == (180 if commits else 130)
    assert unstable(kafka.bootstrap, topic) == {}


def test_compaction_leaves_holes_and_nothing_else_is_missed(kafka: Kafka, topics: Topics) -> None:
    topic = topics("compacted", 3, COMPACTED)
    generator = Generator(kafka.bootstrap, topic, Recipe(varied=True, keys=211, null_keys_from=10_000))
    for codec in CODECS:
        generator.write(Chunk(records=1_000, codec=codec))

    gone = compact(kafka.bootstrap, generator)

    print(f"compaction: {gone} of {len(generator.ledger)} records are gone")
    for reader in READERS.values():
        verdict = check(reader(kafka.bootstrap, topic), Expectation(recipe=generator.recipe, ledger=generator.ledger))
        verdict.require()
        assert verdict.records + gone == len(generator.ledger)


def copy(bootstrap: str, source: str, target: str, spoil: Callable[[int], int]) -> None:
    """A forwarder without a sense of duty: each record as often as `spoil` says, and no transaction."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "partitioner": "murmur2_random"})
    for number, record in enumerate(read(bootstrap, source)):
        for _ in range(spoil(number)):
            headers: list[tuple[str, str | bytes | None]] = list(record.headers)
            producer.produce(target, record.value, record.key, headers=headers, timestamp=record.timestamp)
    assert producer.flush(30) == 0


@pytest.mark.parametrize(("spoil", "caught"), [(0, "lost"), (2, "duplicated")])
def test_a_bad_copy_is_caught_on_a_real_topic(
    kafka: Kafka, topics: Topics, filled: Generator, spoil: int, caught: str
) -> None:
    target = topics("target", 10, KEPT)
    copy(kafka.bootstrap, filled.topic, target, lambda number: spoil if number == 1_234 else 1)
    verdict = check(read(kafka.bootstrap, target), Expectation(recipe=filled.recipe, ledger=filled.ledger))
    assert verdict.caught == {caught}, verdict.explain()
    assert verdict[caught] == 1


def test_an_offset_below_trailing_markers_is_caught(kafka: Kafka, filled: Generator) -> None:
    group, stands = f"group-{filled.topic}", ends(kafka.bootstrap, filled.topic)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    off_by_one = [TopicPartition(filled.topic, p, end - (p == 1)) for p, end in stands.items()]
    consumer.commit(offsets=off_by_one, asynchronous=False)
    consumer.close()
    assert committed_offsets(kafka.bootstrap, group, filled.topic) == {p: end - (p == 1) for p, end in stands.items()}

    state = end_state(kafka.bootstrap, group, filled.topic, filled.topic)
    want = Expectation(recipe=filled.recipe, ledger=filled.ledger)
    assert check(read(kafka.bootstrap, filled.topic), want, end=state).caught == {"offsets_wrong"}
    right = EndState(committed=stands, ends=stands, unstable=state.unstable)
    assert check(read(kafka.bootstrap, filled.topic), want, end=right).ok


def hold_offsets(bootstrap: str, topic: str, identity: str) -> Producer:
    """Opens a transaction that holds an offset of the topic, and so what all groups share."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": identity})
    producer.init_transactions(60)
    producer.begin_transaction()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": unique_name("g")})
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 0)], consumer.consumer_group_metadata(), 60)
    consumer.close()
    return producer


def test_offsets_that_a_stranger_holds_are_waited_for_and_not_called_ours(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.state._MARKERS_S", 0.2)
    topic = topics("held", 1, KEPT)
    stranger = hold_offsets(kafka.bootstrap, topic, unique_name("stranger"))
    with ThreadPoolExecutor(1) as aside:
        state = aside.submit(end_state, kafka.bootstrap, unique_name("g"), topic, topic)
        time.sleep(2)
        assert not state.done(), "they were taken for ours"
        stranger.abort_transaction(60)
        assert (state.result().unstable, state.result().ongoing) == ({}, ())


def test_offsets_that_we_hold_are_not_waited_for(kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracle.state._MARKERS_S", 0.2)
    topic, group = topics("held", 1, KEPT), unique_name("g")
    ours = hold_offsets(kafka.bootstrap, topic, f"fanout.{group}.{topic}.0")
    state = end_state(kafka.bootstrap, group, topic, topic)
    ours.abort_transaction(60)
    assert state.ongoing == (f"fanout.{group}.{topic}.0",)
    assert [name.partition("/")[0] for name in state.unstable] == ["__consumer_offsets"]


def test_what_was_shown_at_the_time_must_be_shown_later(kafka: Kafka, topics: Topics) -> None:
    topic = topics("followed", 3, KEPT)
    generator = Generator(kafka.bootstrap, topic, Recipe())
    with Follower(kafka.bootstrap, topic) as follower:
        for ending in ("commit", "abort", "plain"):
            generator.write(Chunk(records=600, ending=ending))
        deadline = time.monotonic() + 60
        while sum(map(len, follower.shown.values())) < 1_200:
            assert time.monotonic() < deadline, "the follower was not shown everything within 60 s"
            time.sleep(0.05)

    want = Expectation(recipe=generator.recipe, ledger=generator.ledger)
    check(follower.compare(read(kafka.bootstrap, topic)), want).require()
    assert follower.contradictions() == []
    del follower.later[1][0]
    assert [line.partition(":")[0] for line in follower.contradictions()] == [f"{topic}/1"]


def test_a_feed_keeps_its_rate_and_makes_up_for_a_pause(kafka: Kafka, topics: Topics) -> None:
    topic, rate = topics("feed", 3, KEPT), 10_000
    generator = Generator(kafka.bootstrap, topic, Recipe())
    began = time.monotonic()
    with generator.feed(rate) as feed:
        # However late it is by a pause of the machine: there is a moment at which it is not.
        while True:
            time.sleep(0.01)
            seconds, sent = time.monotonic() - began, feed.sent
            if seconds > 2 and sent > 0.9 * rate * seconds:
                break
            assert seconds < 60, f"{sent} records in {seconds:.0f} s, at {rate} a second"
        assert sent <= rate * (time.monotonic() - began)
    print(f"feed: {sent / seconds:.0f} records/s, asked for {rate}")
    check(read(kafka.bootstrap, topic), Expectation(recipe=generator.recipe, ledger=generator.ledger)).require()
