"""What is carried, and by which movers: the base cell, one factor at a time around it, and the worst corner."""

from __future__ import annotations

from dataclasses import dataclass, replace

from forward.movers import Mover, fanout

__all__ = ["BASE", "BY_KEY", "CELLS", "CONFLUENT", "FRANZ_GO", "LIBRDKAFKA", "NULL", "PASS", "RUN", "Cell", "Source"]

BY_KEY = fanout("by key")
"""What `fanout forward` does unless told otherwise: murmur2 over all partitions, nothing added."""
RUN = fanout("by key, origin header", partitioner="xxh3", origin="run", allotments="even")
"""What a drain does: by xxh3 inside allotments, each record gains the 12-byte header."""
ROUND_ROBIN = fanout("round-robin", route="round-robin")
PASS = fanout("whole batches", route="batch")
UNPACKED = fanout("by key, left unpacked", compression="none")
PACKED_LZ4 = fanout("by key, packed by lz4", compression="lz4")
PACKED_ZSTD = fanout("by key, packed by zstd", compression="zstd")
AT_LEAST_ONCE = fanout("by key, at-least-once", delivery="at-least-once")

NULL = Mover(name="null forwarder", kind="null")
"""Receives and sends the same bytes, nothing else: see native/src/bin/null.rs."""
LIBRDKAFKA = Mover(name="librdkafka in C", kind="librdkafka")
FRANZ_GO = Mover(name="franz-go, GOGC=400", kind="franz-go")
CONFLUENT = Mover(name="confluent-kafka loop", kind="confluent-kafka")
PEERS = (FRANZ_GO, LIBRDKAFKA, CONFLUENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One backlog and the shape of the topic it is carried to.

    record_bytes: key (8 bytes) and value together.
    batch_records: records a source batch.
    """

    records: int = 1_000_000
    record_bytes: int = 100
    codec: str = "none"
    batch_records: int = 1000
    partitions: int = 3
    targets: int = 10

    @property
    def transaction_records(self) -> int:
        """How often the peers commit: what they were tuned to. fanout goes by its own defaults."""
        return 100_000 if self.record_bytes < 1000 else 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A source and its movers, which all carry the same backlog.

    ceiling: whether Kafka's own perf tools run too. Only where records are many, as what a JVM costs to start else
        drowns what they cost.
    """

    name: str
    source: Source
    movers: tuple[Mover, ...]
    ceiling: bool = False


BASE = Cell(
    name="100 B",
    source=Source(records=2_000_000),
    movers=(BY_KEY, RUN, ROUND_ROBIN, PASS, AT_LEAST_ONCE, NULL, *PEERS),
    ceiling=True,
)
_B = Source()
CELLS = (
    BASE,
    Cell(
        name="1 KiB",
        source=replace(_B, records=200_000, record_bytes=1024, batch_records=900),
        movers=(BY_KEY, RUN, PASS, NULL, *PEERS),
    ),
    Cell(
        name="10 KiB",
        source=replace(_B, records=30_000, record_bytes=10_240, batch_records=90),
        movers=(BY_KEY, PASS, NULL),
    ),
    Cell(name="100 B lz4", source=replace(_B, codec="lz4"), movers=(BY_KEY, UNPACKED, PASS, *PEERS)),
    Cell(name="100 B zstd", source=replace(_B, codec="zstd"), movers=(BY_KEY, UNPACKED, PASS)),
    Cell(name="100 B snappy", source=replace(_B, codec="snappy"), movers=(BY_KEY, PASS)),
    Cell(name="100 B gzip", source=replace(_B, records=500_000, codec="gzip"), movers=(BY_KEY, PASS)),
    Cell(name="100 B, packed on the way", source=_B, movers=(PACKED_LZ4, PACKED_ZSTD)),
    Cell(
        name="1 KiB lz4",
        source=replace(_B, records=200_000, record_bytes=1024, batch_records=900, codec="lz4"),
        movers=(BY_KEY, PASS, *PEERS),
    ),
    Cell(
        name="1 KiB zstd",
        source=replace(_B, records=200_000, record_bytes=1024, batch_records=900, codec="zstd"),
        movers=(BY_KEY, PASS),
    ),
    Cell(
        name="10 KiB lz4",
        source=replace(_B, records=30_000, record_bytes=10_240, batch_records=90, codec="lz4"),
        movers=(BY_KEY, PASS),
    ),
    Cell(name="100 B zstd, as a drain", source=replace(_B, codec="zstd"), movers=(RUN,)),
    Cell(name="batches of 10", source=replace(_B, records=500_000, batch_records=10), movers=(BY_KEY, PASS)),
    Cell(
        name="batches of 10, lz4",
        source=replace(_B, records=500_000, batch_records=10, codec="lz4"),
        movers=(BY_KEY, PASS),
    ),
    Cell(
        name="1 KiB, batches of 1",
        source=replace(_B, records=100_000, record_bytes=1024, batch_records=1),
        movers=(BY_KEY, PASS),
    ),
    Cell(
        name="batches of 1",
        source=replace(_B, records=100_000, batch_records=1),
        movers=(BY_KEY, PASS, FRANZ_GO, LIBRDKAFKA),
    ),
    Cell(name="4 to 64", source=replace(_B, partitions=4, targets=64), movers=(BY_KEY, PASS, FRANZ_GO, LIBRDKAFKA)),
    Cell(
        name="1 KiB, 8 to 256",
        source=replace(_B, records=200_000, record_bytes=1024, batch_records=900, partitions=8, targets=256),
        movers=(BY_KEY, PASS),
    ),
    Cell(name="8 to 256", source=replace(_B, partitions=8, targets=256), movers=(BY_KEY, PASS)),
    Cell(
        name="worst corner",
        source=Source(records=100_000, codec="zstd", batch_records=1, partitions=8, targets=256),
        movers=(RUN, FRANZ_GO, CONFLUENT),
    ),
)
