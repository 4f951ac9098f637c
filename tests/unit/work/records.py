"""Messages as a consumer would hand them over."""

from __future__ import annotations

import struct
from typing import Any

from confluent_kafka import KafkaError, Message

PARTITION_EOF = -191


def message(offset: int = 0, *, value: bytes | None = b"{}", key: bytes | None = b"k", **fields: Any) -> Any:
    """A record of `orders/0` unless `topic`, `partition`, `headers` or `timestamp` say otherwise."""
    given = {"topic": "orders", "partition": 0, "timestamp": (1, 1_700_000_000_000), "headers": [], **fields}
    return Message(offset=offset, key=key, value=value, **given)


def end_of_partition(offset: int, *, partition: int = 0) -> Any:
    """What a consumer says when it has read to `offset`."""
    return Message(topic="orders", partition=partition, offset=offset, error=KafkaError(PARTITION_EOF))


def origin_header(partition: int, offset: int) -> tuple[str, bytes]:
    """The header a lane adds inside a run."""
    return ("fanout.origin", struct.pack(">iq", partition, offset))
