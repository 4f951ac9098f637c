"""What is measured: a handler, how many of its records may be in flight, and who runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from work.backlog import Backlog
from work.runtimes import (
    AIOKAFKA,
    ARROYO,
    CONFLUENT,
    CONFLUENT_GATHER,
    FANOUT,
    FASTSTREAM_AIOKAFKA,
    FASTSTREAM_AIOKAFKA_1,
    FASTSTREAM_CONFLUENT,
    FASTSTREAM_CONFLUENT_1,
    FAUST,
    FLOOR,
    PYRALLEL,
    QUIX,
    Runtime,
)

__all__ = ["CELLS", "DEDUP", "FEW", "KEYLESS", "MANY", "MANY_DEDUP", "NOOP", "Cell"]

WAIT_S = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One handler over one kind of backlog.

    thousands: who takes part, and how many thousand records it handles in a few seconds.
    wait_s: how long the handler sleeps; 0 does nothing.
    at_once: records in flight, where a runtime can be told.
    keyless: share of the records that have no key.
    dedup: whether each record is claimed in Redis before its handler runs, and completed after.
    """

    name: str
    thousands: Mapping[Runtime, float]
    wait_s: float = 0.0
    at_once: int = 500
    keyless: float = 0.0
    dedup: bool = False

    def records(self, runtime: Runtime) -> int:
        """How many records `runtime` handles."""
        return round(self.thousands[runtime] * 1000)

    def backlog_of(self, runtime: Runtime) -> Backlog:
        """What it handles."""
        return Backlog(self.records(runtime), self.keyless)


NOOP = Cell(
    name="no-op",
    thousands={
        FANOUT: 400,
        FLOOR: 400,
        CONFLUENT: 400,
        CONFLUENT_GATHER: 400,
        AIOKAFKA: 400,
        FASTSTREAM_CONFLUENT_1: 20,
        FASTSTREAM_CONFLUENT: 12,
        FASTSTREAM_AIOKAFKA_1: 40,
        FASTSTREAM_AIOKAFKA: 25,
        PYRALLEL: 25,
        QUIX: 250,
        ARROYO: 200,
        FAUST: 30,
    },
)
FEW = Cell(
    name="5 ms, 500 at once",
    thousands={
        FANOUT: 200,
        FLOOR: 200,
        CONFLUENT: 0.6,
        CONFLUENT_GATHER: 150,
        AIOKAFKA: 120,
        FASTSTREAM_CONFLUENT_1: 0.5,
        FASTSTREAM_CONFLUENT: 12,
        FASTSTREAM_AIOKAFKA_1: 0.5,
        FASTSTREAM_AIOKAFKA: 16,
        PYRALLEL: 12,
        QUIX: 0.6,
        ARROYO: 40,
        FAUST: 30,
    },
    wait_s=WAIT_S,
)
MANY = Cell(
    name="5 ms, 1,000 at once",
    thousands={FANOUT: 200, FLOOR: 200, CONFLUENT_GATHER: 200, AIOKAFKA: 150, PYRALLEL: 12},
    wait_s=WAIT_S,
    at_once=1000,
)
DEDUP = Cell(
    name="no-op, dedup",
    thousands={
        FANOUT: 250,
        CONFLUENT: 25,
        CONFLUENT_GATHER: 36,
        AIOKAFKA: 26,
        FASTSTREAM_AIOKAFKA: 12,
        PYRALLEL: 6,
        QUIX: 24,
        ARROYO: 24,
        FAUST: 15,
    },
    dedup=True,
)
MANY_DEDUP = Cell(
    name="5 ms, 1,000 at once, dedup",
    thousands={FANOUT: 150, CONFLUENT_GATHER: 36, AIOKAFKA: 26, PYRALLEL: 6},
    wait_s=WAIT_S,
    at_once=1000,
    dedup=True,
)
KEYLESS = Cell(name="no-op, 95 % without key", thousands={FANOUT: 400}, keyless=0.95)
WAITING_KEYLESS = Cell(
    name="5 ms, 500 at once, 95 % without key",
    thousands={FANOUT: 200, CONFLUENT_GATHER: 150, PYRALLEL: 1},
    wait_s=WAIT_S,
    keyless=0.95,
)
CELLS = (NOOP, FEW, MANY, DEDUP, MANY_DEDUP, KEYLESS, WAITING_KEYLESS)
