"""Where a key belongs, by other people's hashes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .transactions import kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Container

__all__ = ["java_placement"]


def java_placement(partitions: int) -> Callable[[int, bytes | None], Container[int]]:
    """The one partition a Java producer gives a key, by kafka-python's murmur2; any for a null key."""

    @cache
    def place(key: bytes) -> tuple[int]:
        return ((int(kafka.partitioner.murmur2(key)) & 0x7FFFFFFF) % partitions,)

    def placement(_source: int, key: bytes | None) -> Container[int]:
        return range(partitions) if key is None else place(key)

    return placement
