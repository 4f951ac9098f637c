"""
What the forward engine needs to know.

The engine reads the attributes of one `ForwardSettings` by name; each default is
written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["COMPRESSIONS", "DELIVERIES", "ORIGINS", "PARTITIONERS", "ROUTES", "ForwardSettings"]

ROUTES = ("key", "round-robin", "batch")
PARTITIONERS = ("murmur2", "crc32", "fnv1a", "xxh3")
ORIGINS = ("none", "run", "text")
DELIVERIES = ("exactly-once", "at-least-once")
COMPRESSIONS = ("same", "none", "gzip", "snappy", "lz4", "zstd")

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardSettings:
    """One source topic carried to one target topic, a lane for each source partition.

    properties: connection properties under librdkafka's names.
    group: the forwarder's own group; offsets and tallies are committed there.
    transactional_prefix: lane p's transactional id is `<prefix>.<source>.<p>`.
    partitions: the source partitions to carry.
    start: where a lane starts if its group has no commit. A partition in neither place halts its lane.
    end: first offset not to carry, for each partition; None follows the source for ever.
    route: one of `ROUTES`.   partitioner: one of `PARTITIONERS`; inside a run always `xxh3`.
    allotments: the target partitions each source partition may write; None allows all to all.
    origin: one of `ORIGINS`: no header, the run's 12 bytes, or `<topic>/<partition>/<offset>` as text.
    compression: one of `COMPRESSIONS`; `same` keeps the codec of each source batch; a batch that gathers records
        of several is packed as the latest of them that was packed.
    batch_bytes: a produced batch is closed at this size, before it is packed; at up to grown_batch_bytes where a lane
        fills so few targets that its requests would be small.
    merge_below_bytes: source batches that could be passed on whole are merged where their mean is below it (where they
        are compressed, below a sixteenth of it); 0 passes all.
    delivery: one of `DELIVERIES`; at-least-once writes without transactions, so that records are seen at once.
    max_rate, max_bytes: records and bytes a second that all lanes together may carry; None sets no bound.
    """

    properties: Mapping[str, str]
    source: str
    target: str
    group: str
    transactional_prefix: str
    partitions: Sequence[int]
    start: Mapping[int, int]
    end: Mapping[int, int] | None
    route: str
    partitioner: str
    allotments: Mapping[int, Sequence[int]] | None
    origin: str
    compression: str
    delivery: str = "exactly-once"
    fetch_bytes: int = 2 * MIB
    batch_bytes: int = 64 * 1024
    grown_batch_bytes: int = 256 * 1024
    merge_below_bytes: int = 16 * 1024
    transaction_bytes: int = 32 * MIB
    transaction_ms: int = 500
    lane_memory_bytes: int = 64 * MIB
    max_rate: float | None = None
    max_bytes: float | None = None
