"""One letter for people, and one for programs."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .shown import shown, shown_bytes
from .story import story_of

if TYPE_CHECKING:
    from fanout.message import KafkaMessage

__all__ = ["document", "lines", "time_text"]

HEADER_BYTES = 300


def lines(letter: KafkaMessage, most_bytes: int) -> list[str]:
    """The letter for a terminal: where and why, headers, and the first `most_bytes` of key and value."""
    story = story_of(letter)
    headers = [
        f"  {shown(name[:HEADER_BYTES])}: {shown_bytes(value, HEADER_BYTES)}" for name, value in _headers(letter)
    ]
    return [
        f"{letter.topic()}:{letter.partition()}@{letter.offset()}  {time_text(story.died_at)}",
        f"from {shown(story.topic or '?')}/{_or(story.partition)} at offset {_or(story.offset)}",
        f"{shown(story.outcome) or 'no outcome told'}, {shown(story.error) or 'no error told'}",
        f"key {shown_bytes(letter.key(), most_bytes)}",
        f"value {shown_bytes(letter.value(), most_bytes)}",
        "headers" if headers else "no headers",
        *headers,
        "",
    ]


def document(letter: KafkaMessage) -> dict[str, object]:
    """The whole letter for programs. Bytes are base64, so that every byte survives; null stays null."""
    story = story_of(letter)
    return {
        "topic": letter.topic(),
        "partition": letter.partition(),
        "offset": letter.offset(),
        "timestamp": letter.timestamp()[1],
        "key": _base64(letter.key()),
        "value": _base64(letter.value()),
        "headers": [[name, _base64(value)] for name, value in _headers(letter)],
        "source": {"topic": story.topic, "partition": story.partition, "offset": story.offset},
        "outcome": story.outcome,
        "error": story.error,
        "message": story.message.decode(errors="replace"),
        "died_at": story.died_at,
        "cycle": story.cycle,
    }


def time_text(at_ms: int) -> str:
    """A time for people; what lies beyond the calendar stays a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def _headers(letter: KafkaMessage) -> list[tuple[str, bytes | None]]:
    return list(letter.headers() or [])


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _or(number: int | None) -> str:
    return "?" if number is None else str(number)
