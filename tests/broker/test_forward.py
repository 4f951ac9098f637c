"""`fanout forward` on a real Kafka: everything a source can hold arrives once, in order, and byte for byte."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from commands import Running, fanout
from conftest import Topics, unique_name
from oracle import Expectation, Fate, Recipe, check
from oracle.compaction import COMPACTED, compact
from oracle.ends import ends, settled_ends
from oracle.generate import CODECS, Chunk, Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove
from oracle.read import READERS, read
from oracle.state import end_state, open_transactions

from .working import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands import Ran
    from conftest import Kafka
    from oracle import Verdict

KEPT = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
TARGETS = 10
TRANSACTION_S = 40


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One forward, and how its target is checked."""

    bootstrap: str
    generator: Generator
    target: str
    group: str
    origin: Literal["none", "text"] = "none"

    def arguments(self, *more: str) -> tuple[str, ...]:
        header = "--origin-header" if self.origin == "text" else "--no-origin-header"
        named = ("-t", self.generator.topic, "-g", self.group, "--to-topic", self.target)
        return ("-o", "json", "forward", *named, header, "--from", "earliest", *more)

    def run(self, *more: str) -> Ran:
        """Forwards until the end; must succeed."""
        return fanout(self.bootstrap, *self.arguments("--until", "end", *more)).require()

    def prove(
        self, *, reader: str = "confluent-kafka", placed: bool = True, below: dict[int, int] | None = None
    ) -> Verdict:
        """Everything that is committed at the source is in the target, once, in order, unchanged, in its place."""
        expectation = Expectation(
            recipe=self.generator.recipe,
            ledger=self.generator.ledger,
            source=self.generator.topic,
            placement=java_placement(len(ends(self.bootstrap, self.target))) if placed else None,
            origin=self.origin,
            below=below,
        )
        carried = Carried(bootstrap=self.bootstrap, source=self.generator.topic, target=self.target, group=self.group)
        return prove(carried, expectation, reader=reader)


@pytest.fixture(scope="module")
def mixed(kafka: Kafka) -> Iterator[Generator]:
    """A source of 3 partitions that many tests read and none changes: every kind of record, every codec."""
    topics = Topics(kafka.bootstrap)
    generator = Generator(kafka.bootstrap, topics("mixed", 3, KEPT), Recipe(varied=True, keys=211))
    for codec in CODECS:
        generator.write(Chunk(records=4_000, codec=codec))
    yield generator
    topics.delete_all()


@pytest.fixture
def carried(kafka: Kafka, topics: Topics, mixed: Generator) -> Errand:
    """From the mixed source to a new target of 10."""
    target = topics("target", TARGETS, KEPT)
    return Errand(bootstrap=kafka.bootstrap, generator=mixed, target=target, group=unique_name("g"))


@pytest.fixture
def errand(kafka: Kafka, topics: Topics) -> Errand:
    """A source of 3 partitions with nothing in it yet, and a target of 10."""
    generator = Generator(kafka.bootstrap, topics("source", 3, KEPT), Recipe(varied=True, keys=211))
    return Errand(
        bootstrap=kafka.bootstrap, generator=generator, target=topics("target", TARGETS, KEPT), group=unique_name("g")
    )


def test_a_hundred_thousand_records_of_every_kind_arrive_byte_for_byte(kafka: Kafka, topics: Topics) -> None:
    source = topics("everything", 3, COMPACTED)
    generator = Generator(kafka.bootstrap, source, Recipe(varied=True, null_keys_from=30_000))
    errands = [
        Errand(
            bootstrap=kafka.bootstrap,
            generator=generator,
            target=topics(f"target-{origin}", TARGETS, KEPT),
            group=unique_name("g"),
            origin=origin,
        )
        for origin in ("none", "text")
    ]
    holes = write_everything(generator)
    transaction = generator.open(500)
    generator.write(Chunk(records=500))
    stable = ends(kafka.bootstrap, source)

    for errand in errands:
        left = errand.run().document["above_the_end"]
        assert len(left) == 3, left
        assert errand.prove(below=stable).records >= 100_000

    transaction.commit()
    for errand, reader in zip(errands, READERS, strict=True):
        assert errand.run().document["above_the_end"] == []
        assert errand.prove(reader=reader).records > 100_500
    print(f"source: holes={holes} aborted={generator.ledger.count(Fate.ABORTED)} open_then_committed=500")


def write_everything(generator: Generator) -> int:
    """Compaction holes first, for a compacted topic takes no null keys; then every codec, plain and in transactions."""
    for codec in CODECS:
        generator.write(Chunk(records=4_000, codec=codec))
    holes = compact(generator.bootstrap, generator)
    assert len(generator.ledger) < generator.recipe.null_keys_from
    for codec in CODECS:
        generator.write(Chunk(records=15_000, codec=codec))
        generator.write(Chunk(records=3_000, codec=codec, ending="abort"))
        generator.write(Chunk(records=5_000, codec=codec, ending="commit"))
    return holes


@pytest.mark.parametrize(("source_partitions", "target_partitions"), [(1, 12), (5, 2), (4, 4)])
def test_any_count_of_partitions_leads_to_any_other(
    kafka: Kafka, topics: Topics, source_partitions: int, target_partitions: int
) -> None:
    generator = Generator(kafka.bootstrap, topics("source", source_partitions, KEPT), Recipe(varied=True, keys=211))
    generator.write(Chunk(records=4_000))
    target = topics("target", target_partitions, KEPT)
    errand = Errand(bootstrap=kafka.bootstrap, generator=generator, target=target, group=unique_name("g"))
    errand.run()
    errand.prove()


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_asked_for_loses_nothing(carried: Errand, codec: str) -> None:
    carried.run("--compression", codec)
    carried.prove()


@pytest.mark.parametrize(
    ("partitioner", "of_librdkafka"), [("murmur2", "murmur2"), ("crc32", "consistent"), ("fnv1a", "fnv1a")]
)
def test_a_key_goes_where_librdkafka_sends_it(
    kafka: Kafka, topics: Topics, partitioner: str, of_librdkafka: str
) -> None:
    source, target = topics("source", 7, KEPT), topics("target", 7, KEPT)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": of_librdkafka})
    keys = [b"\xff\xfe\x00%d" % n if n % 3 else b"customer-%d" % n for n in range(10_000)]
    for key in [*keys, b"x" * 300_000]:
        producer.produce(source, key=key, value=b"v")
    assert producer.flush(30) == 0

    arguments = ("-t", source, "-g", unique_name("g"), "--to-topic", target, "--from", "earliest", "--until", "end")
    fanout(kafka.bootstrap, "forward", *arguments, "--partitioner", partitioner).require()

    wanted = {record.key: record.partition for record in read(kafka.bootstrap, source)}
    found = {record.key: record.partition for record in read(kafka.bootstrap, target)}
    assert len(found) == 10_001
    assert found == wanted


def test_round_robin_spreads_every_partition_evenly(carried: Errand) -> None:
    carried.run("--route", "round-robin")
    carried.prove(placed=False)
    counts = Counter(record.partition for record in read(carried.bootstrap, carried.target))
    assert len(counts) == TARGETS
    assert max(counts.values()) - min(counts.values()) <= 3, counts


def test_whole_batches_pass_and_keep_the_order_of_their_source(carried: Errand) -> None:
    lanes = carried.run("--route", "batch").document["lanes"]
    ways: Counter[str] = Counter()
    for lane in lanes:
        ways.update(lane["batches"])
    print(f"batches={dict(ways)}")
    assert ways["pass:whole"] > 0, "the source has batches that are worth passing"
    carried.prove(placed=False)
    assert len({record.partition for record in read(carried.bootstrap, carried.target)}) == TARGETS


def test_a_second_run_carries_nothing_twice(errand: Errand) -> None:
    errand.generator.write(Chunk(records=3_000, ending="commit"))
    errand.run()
    before = settled_ends(errand.bootstrap, errand.target)
    again = errand.run().document
    assert sum(lane["records"] for lane in again["lanes"]) == 0
    assert settled_ends(errand.bootstrap, errand.target) == before
    errand.prove()


def test_what_a_dead_forwarder_left_open_is_ended_and_not_waited_for(errand: Errand) -> None:
    errand.generator.write(Chunk(records=1_000))
    errand.run()
    left = leave_open(errand)
    errand.generator.write(Chunk(records=1_000))
    wait_until(
        lambda: open_transactions(errand.bootstrap, f"fanout.{errand.group}.") == (left,),
        "what the run before ended is ended for all, and this one is open",
    )

    began = time.monotonic()
    errand.run()
    took = time.monotonic() - began

    errand.prove()
    assert took < TRANSACTION_S / 2, f"{took:.1f} s: that is waiting for the transaction to time out"


def leave_open(errand: Errand) -> str:
    """What a lane leaves that dies between offset commit and end of transaction. Returns the transactional id."""
    identity = f"fanout.{errand.group}.{errand.generator.topic}.0"
    producer = Producer(
        {
            "bootstrap.servers": errand.bootstrap,
            "transactional.id": identity,
            "transaction.timeout.ms": TRANSACTION_S * 1000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(errand.target, b"never to be seen")
    consumer = Consumer({"bootstrap.servers": errand.bootstrap, "group.id": errand.group})
    place = TopicPartition(errand.generator.topic, 0, 10_000)
    producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), 30)
    assert producer.flush(30) == 0
    consumer.close()
    return identity


def test_an_empty_source_is_carried_to_its_end(errand: Errand) -> None:
    document = errand.run().document
    assert [lane["outcome"] for lane in document["lanes"]] == ["end"] * 3
    assert sum(ends(errand.bootstrap, errand.target).values()) == 0


def test_only_the_partitions_asked_for_are_carried(errand: Errand) -> None:
    errand.generator.write(Chunk(records=3_000))
    arguments = ["-g", errand.group, "--to-topic", errand.target, "--from", "earliest", "--until", "end"]
    fanout(errand.bootstrap, "forward", "-t", f"{errand.generator.topic}:1", *arguments).require()
    only = {0: 0, 1: ends(errand.bootstrap, errand.generator.topic)[1], 2: 0}
    want = Expectation(recipe=errand.generator.recipe, ledger=errand.generator.ledger, below=only)
    check(read(errand.bootstrap, errand.target), want).require()


def test_a_daemon_follows_and_ends_its_transaction_when_told_to_stop(errand: Errand) -> None:
    generator = errand.generator
    with Running(errand.bootstrap, *errand.arguments()) as daemon:
        with generator.feed(5_000) as before:
            wait_until(lambda: before.sent > 15_000, "the feed")
        wait_for_records(errand, daemon)
        with generator.feed(5_000) as feed:
            wait_until(lambda: feed.sent > 4_000, "the feed")
            asked = time.monotonic()
            daemon.signal(signal.SIGTERM)
            daemon.wait(20).require()
            took = time.monotonic() - asked
    print(f"SIGTERM under load: ended after {took:.2f} s")
    state = end_state(errand.bootstrap, errand.group, generator.topic, errand.target)
    # What the feed wrote after the stop lies above the commits; everything below is there, and nothing hangs.
    want = Expectation(recipe=generator.recipe, ledger=generator.ledger, below=state.committed)
    check(read(errand.bootstrap, errand.target), want).require()
    assert sum(state.committed.values()) > 15_000
    errand.run()
    errand.prove()


def wait_for_records(errand: Errand, daemon: Running, timeout_s: float = 60) -> None:
    """Until the target shows as many records as are committed at the source."""
    wanted = errand.generator.ledger.count(Fate.COMMITTED)
    deadline = time.monotonic() + timeout_s
    while sum(1 for _ in read(errand.bootstrap, errand.target)) < wanted:
        assert daemon.runs, daemon.wait().require()
        assert time.monotonic() < deadline, f"fewer than {wanted} records in {errand.target} after {timeout_s:g} s"
