"""What is carried, and by which movers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BASE", "CELLS", "LOOP", "RUN", "SOURCE_PARTITIONS", "TARGET_PARTITIONS", "Cell"]

SOURCE_PARTITIONS = 3
TARGET_PARTITIONS = 10

RUN = "fanout run"
"""By key inside allotments, with the origin header: what a drain does."""
FORWARD = "fanout forward"
"""By murmur2 over all partitions, nothing added: what `fanout forward` does unless told otherwise."""
ROUND_ROBIN = "fanout forward, no keys"
"""The same by round-robin."""
LOOP = "confluent-kafka loop"
"""consume, produce, commit in transactions: see `loop`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One backlog. Every mover carries the same one.

    record_bytes: key (8 bytes) and value together.
    batch_records: records a source batch.
    transaction_records: how often the loop commits; fanout goes by its own defaults.
    runs: measured runs of each mover, after one that warms up.
    ceiling: whether Kafka's own perf tools run too. Not where records are packed, as they write one payload over and
        over; nor where they are few, as what a JVM costs to start then drowns what they cost.
    """

    name: str
    records: int
    record_bytes: int
    codec: str
    batch_records: int
    transaction_records: int
    runs: int
    movers: tuple[str, ...]
    ceiling: bool

    @property
    def total_bytes(self) -> int:
        """Keys and values of the backlog."""
        return self.records * self.record_bytes


BASE = Cell(
    name="100 B",
    records=1_000_000,
    record_bytes=100,
    codec="none",
    batch_records=1000,
    transaction_records=100_000,
    runs=5,
    movers=(RUN, FORWARD, ROUND_ROBIN, LOOP),
    ceiling=True,
)
CELLS = (
    BASE,
    Cell(
        name="100 B lz4",
        records=1_000_000,
        record_bytes=100,
        codec="lz4",
        batch_records=1000,
        transaction_records=100_000,
        runs=3,
        movers=(RUN, FORWARD, LOOP),
        ceiling=False,
    ),
    Cell(
        name="1 KiB",
        records=200_000,
        record_bytes=1024,
        codec="none",
        batch_records=900,
        transaction_records=50_000,
        runs=3,
        movers=(RUN, FORWARD, LOOP),
        ceiling=False,
    ),
)
