"""
Holes in a source: letting a real broker compact a topic, and finding out what it left.

Compaction takes records out of the middle of batches, and whole batches; offsets and batch headers stay as they were.
The topic is written as a compacted one, rolled, waited for, and then made an ordinary topic again: what stands at that
moment stands for good, and null keys may follow.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from .ends import ends
from .generate import Chunk
from .ledger import Fate
from .read import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .generate import Generator

__all__ = ["COMPACTED", "compact"]

COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "86400000",
    "segment.ms": "604800000",
}
"""Settings of a topic that `compact` can be used on."""

_TAIL = 60
_TIMEOUT_S = 60.0
_ROLLED_S = 10.0
_READINGS = 3
_LEFT_OF_CLEANED = 0.8


def compact(bootstrap: str, generator: Generator) -> int:
    """Has the broker compact what `generator` has written; returns how many records it took out, never 0.

    The topic must have been made with COMPACTED, and so far without null keys. A few records more are written: only a
    segment that is no longer written to is cleaned. Raises AssertionError when no hole appears in time, or when the
    broker took out a record no later one of its key replaces.
    """
    topic = generator.topic
    written = generator.ledger.count(Fate.COMMITTED)
    # A segment rolls when a record comes whose timestamp is this much later than the first one's.
    _configure(bootstrap, topic, {"segment.ms": "1000"})
    _wait_applied(bootstrap, topic, "segment.ms", "1000")
    _write_until_cleaned(generator, most=int(written * _LEFT_OF_CLEANED))
    _configure(
        bootstrap, topic, {"cleanup.policy": "delete", "retention.ms": "-1", "segment.ms": COMPACTED["segment.ms"]}
    )
    _wait_applied(bootstrap, topic, "cleanup.policy", "delete")
    return _settle(generator, _settled(generator))


def _settle(generator: Generator, left: set[int]) -> int:
    """Writes the missing records off, each only because a later one of its key stands."""
    ledger, recipe = generator.ledger, generator.recipe
    latest: dict[bytes | None, int] = {recipe.content(serial).key: serial for serial in ledger.committed()}
    gone = [serial for serial in ledger.committed() if serial not in left]
    for serial in gone:
        if latest[recipe.content(serial).key] not in left:
            raise AssertionError(f"record {serial} is gone, and no later one of its key stands")
    ledger.turn(gone, Fate.COMPACTED)
    return len(gone)


def _write_until_cleaned(generator: Generator, *, most: int) -> None:
    """The setting is known before it is obeyed: where no segment has rolled yet, one does with what is written next."""
    partitions, began = len(ends(generator.bootstrap, generator.topic)), time.monotonic()
    for _ in range(3):
        generator.write(Chunk(records=_TAIL * partitions))
    while (count := sum(1 for _ in read(generator.bootstrap, generator.topic))) > most:
        waited_s = time.monotonic() - began
        if waited_s > _TIMEOUT_S:
            raise AssertionError(f"{generator.topic} was not compacted within {_TIMEOUT_S:g} s: {count} records stand")
        if waited_s > _ROLLED_S:
            generator.write(Chunk(records=_TAIL * partitions))
        time.sleep(0.5)


def _settled(generator: Generator) -> set[int]:
    """What stands. A round of cleaning that was under way may still finish: what counts is what readings agree on."""
    left, agreed = set[int](), 0
    while agreed < _READINGS:
        again = _serials(generator.bootstrap, generator)
        agreed, left = (agreed + 1 if again == left else 0), again
        time.sleep(1)
    return left


def _serials(bootstrap: str, generator: Generator) -> set[int]:
    named = (generator.recipe.identify(record.value, record.headers) for record in read(bootstrap, generator.topic))
    return {serial for serial in named if serial is not None}


def _configure(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(_TIMEOUT_S)


def _wait_applied(bootstrap: str, topic: str, name: str, value: str) -> None:
    """An alter is answered by the controller; the broker that rolls segments learns of it a moment later."""
    admin, resource = AdminClient({"bootstrap.servers": bootstrap}), ConfigResource(ResourceType.TOPIC, topic)
    deadline = time.monotonic() + _TIMEOUT_S
    while admin.describe_configs([resource])[resource].result(_TIMEOUT_S)[name].value != value:
        if time.monotonic() > deadline:
            raise AssertionError(f"{topic}: {name} is not {value} after {_TIMEOUT_S:g} s")
        time.sleep(0.05)
