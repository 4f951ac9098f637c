"""Records as a test writes them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from confluent_kafka import Message as KafkaRecord

from fanout.message import Headers
from fanout.work.post import Parcel

__all__ = ["HeadersLike", "bytes_of", "headers_of", "record_of", "value_of"]

CREATE_TIME = 1

HeadersLike = Mapping[str, bytes | str | None] | Sequence[tuple[str, bytes | str | None]]


def record_of(parcel: Parcel, offset: int, timestamp: int) -> Any:
    """The record as a consumer reads it, from the one partition a topic has. `timestamp`: ms since 1970."""
    return KafkaRecord(
        topic=parcel.topic,
        partition=0,
        offset=offset,
        key=parcel.key,
        value=parcel.value,
        headers=[*parcel.headers],
        timestamp=(CREATE_TIME, timestamp),
    )


def value_of(value: Any) -> bytes | None:
    """Bytes and text as they are, None a tombstone, models and all else as JSON."""
    if value is None or isinstance(value, bytes | str):
        return bytes_of(value)
    if hasattr(value, "model_dump_json"):
        return bytes_of(value.model_dump_json())
    if hasattr(value, "__struct_fields__"):
        encoded: bytes = importlib.import_module("msgspec.json").encode(value)
        return encoded
    return orjson.dumps(value)


def headers_of(headers: HeadersLike) -> Headers:
    """As a record holds them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, bytes_of(value)) for name, value in pairs]


def bytes_of(text: bytes | str | None) -> bytes | None:
    """Text in UTF-8."""
    return text.encode() if isinstance(text, str) else text
