"""
A record and its verdict as lines of text: so they cross to the process in which suspects run alone, and back.
"""

from __future__ import annotations

import base64
import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fanout.message import Headers, KafkaMessage

from .retry import Verdict, words

__all__ = ["Carried", "DistantError", "from_line", "to_line", "verdict_of", "verdict_to_json"]

VERDICTS: Mapping[str, type[Verdict]] = {kind.__name__: kind for kind in typing.get_args(Verdict)}


class DistantError(Exception):
    """What a handler raised in another process, in its words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """All that a handler may ask of its record."""

    topic: str
    partition: int
    offset: int
    timestamp: tuple[int, int]
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]] | None


class Carried:
    """A `KafkaMessage` that was read by another process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._key, self._value = _bytes(parts.key), _bytes(parts.value)

    def topic(self) -> str:
        """Where it was read."""
        return self._parts.topic

    def partition(self) -> int:
        """Where it was read."""
        return self._parts.partition

    def offset(self) -> int:
        """Where it was read."""
        return self._parts.offset

    def key(self) -> bytes | None:
        """As it was written."""
        return self._key

    def value(self) -> bytes | None:
        """As it was written."""
        return self._value

    def headers(self) -> Headers | None:
        """As they were written."""
        headers = self._parts.headers
        return None if headers is None else [(name, _bytes(value)) for name, value in headers]

    def timestamp(self) -> tuple[int, int]:
        """Its kind and ms since 1970."""
        return self._parts.timestamp

    def __len__(self) -> int:
        return len(self._value or b"")


def to_line(raw: KafkaMessage, attempt: int) -> bytes:
    """One line: the record and the number of the attempt."""
    headers = raw.headers()
    parts = Parts(
        topic=raw.topic(),
        partition=raw.partition(),
        offset=raw.offset(),
        timestamp=raw.timestamp(),
        key=_text(raw.key()),
        value=_text(raw.value()),
        headers=None if headers is None else [(name, _text(value)) for name, value in headers],
    )
    return json.dumps({"attempt": attempt, "record": asdict(parts)}).encode() + b"\n"


def from_line(line: bytes) -> tuple[Carried, int]:
    """What `to_line` wrote."""
    document = json.loads(line)
    record = document["record"]
    headers = record["headers"]
    record["timestamp"] = tuple(record["timestamp"])
    record["headers"] = None if headers is None else [(name, value) for name, value in headers]
    return Carried(Parts(**record)), document["attempt"]


def verdict_to_json(verdict: Verdict | None) -> dict[str, Any] | None:
    """A verdict as values that JSON knows; an error becomes its words."""
    if verdict is None:
        return None
    values = {one.name: getattr(verdict, one.name) for one in fields(verdict)}
    told = {name: words(value) if isinstance(value, BaseException) else value for name, value in values.items()}
    return {"verdict": type(verdict).__name__, **told}


def verdict_of(document: Mapping[str, Any] | None) -> Verdict | None:
    """What `verdict_to_json` wrote."""
    if document is None:
        return None
    values = {name: value for name, value in document.items() if name != "verdict"}
    if "cause" in values:
        values["cause"] = DistantError(values["cause"])
    return VERDICTS[document["verdict"]](**values)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
