"""What the headers of a dead letter tell, in whichever dialect it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fanout.message import Headers, KafkaMessage
from fanout.work.letter import BROKER, CONNECT, CYCLE, DEAD_AT, ERROR, OUTCOME, SPRING

__all__ = ["Story", "story_of"]

MESSAGE_BYTES = 4_096
"""As much of an error's text is looked at; what fanout writes is shorter."""

WORD_BYTES = 250

_NUMBER = re.compile(rb"\d{1,18}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """Where a letter's record was, and why it is here. None, or empty, where no header says so.

    `died_at`: ms since 1970, of the letter itself where no header says. `cycle`: how often it was put back before.
    """

    topic: str | None
    partition: int | None
    offset: int | None
    outcome: str
    error: str
    message: bytes
    died_at: int
    cycle: int


def story_of(letter: KafkaMessage) -> Story:
    """Reads the headers; of two with one name the last counts, as it was written last."""
    told = _told(letter.headers() or [])
    spring = f"{SPRING}original-"
    dead_at = _number(told.get(DEAD_AT))
    return Story(
        topic=_word(_first(told, f"{BROKER}topic", f"{CONNECT}topic", f"{spring}topic")) or None,
        partition=_place(told, "partition", 4),
        offset=_place(told, "offset", 8),
        outcome=_word(told.get(OUTCOME)),
        error=_word(_first(told, ERROR, f"{CONNECT}exception.class.name", f"{SPRING}exception-fqcn")),
        message=(_first(told, f"{BROKER}message", f"{CONNECT}exception.message", f"{SPRING}exception-message") or b"")[
            :MESSAGE_BYTES
        ],
        died_at=letter.timestamp()[1] if dead_at is None else dead_at,
        cycle=_number(told.get(CYCLE)) or 0,
    )


def _told(headers: Headers) -> Mapping[str, bytes]:
    return {name: value for name, value in headers if value is not None}


def _first(told: Mapping[str, bytes], *names: str) -> bytes | None:
    return next((told[name] for name in names if name in told), None)


def _place(told: Mapping[str, bytes], what: str, width: int) -> int | None:
    text = _number(_first(told, f"{BROKER}{what}", f"{CONNECT}{what}"))
    raw = told.get(f"{SPRING}original-{what}", b"")
    if text is None and len(raw) == width:
        number = int.from_bytes(raw, "big", signed=True)
        return number if number >= 0 else None
    return text


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None


def _word(value: bytes | None) -> str:
    return (value or b"")[:WORD_BYTES].decode(errors="replace")
