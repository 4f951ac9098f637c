"""
Places in a topic, as the user names them on the command line.

`earliest`, `latest`, `committed`, a time (ISO 8601 without a zone is UTC; epoch
seconds or milliseconds; `-PT1H` or `-30m` is that long ago) or `@OFFSET`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from fanout.errors import ConfigError, RefusedError

from .durations import duration_s

__all__ = ["Ends", "When", "parse_when", "resolve"]

EPOCH_MS_FROM = 100_000_000_000
"""A bare number this large is milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973."""

FORMS = "earliest, latest, committed, 2026-01-31T08:00:00Z, 1769846400, -PT1H or @OFFSET"


@dataclass(frozen=True, slots=True)
class When:
    """A place in a topic: one of its ends, the group's commit, a time (epoch ms) or an offset."""

    kind: Literal["earliest", "latest", "committed", "time", "offset"]
    value: int = 0

    def __str__(self) -> str:
        if self.kind == "offset":
            return f"@{self.value}"
        if self.kind == "time":
            at = datetime.fromtimestamp(self.value / 1000, UTC)
            return f"{at.isoformat(timespec='milliseconds')} ({at.astimezone().isoformat(timespec='milliseconds')})"
        return self.kind


class Ends(Protocol):
    """What `resolve` needs of a cluster."""

    def offsets(self, topic: str, at: Literal["earliest", "latest"] | int) -> dict[int, int]:
        """First offset at or after `at` of every partition."""
        ...


def parse_when(text: str, setting: str, now_ms: int) -> When:
    """Reads WHEN as written under `setting`; `now_ms` is what `-PT1H` counts from."""
    word = text.strip()
    if word in ("earliest", "latest", "committed"):
        return When(word)  # type: ignore[arg-type]  # the literals just tested
    if word.startswith("@") and word[1:].isdigit():
        return When("offset", int(word[1:]))
    if word.isdigit():
        number = int(word)
        return When("time", number if number >= EPOCH_MS_FROM else number * 1000)
    if word.startswith("-"):
        return When("time", now_ms - round(duration_s(word[1:], setting) * 1000))
    try:
        at = datetime.fromisoformat(word)
    except ValueError:
        raise ConfigError(setting, f"{text!r} is no place in a topic: write {FORMS}") from None
    return When("time", round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))


def resolve(when: When, topic: str, ends: Ends) -> Mapping[int, int]:
    """The offset `when` stands for in each partition of `topic`.

    An offset that a partition does not hold is refused: taking its nearest end would pass records by unsaid.
    `committed` is a group's business and is answered by the caller.
    """
    match when.kind:
        case "earliest" | "latest":
            return ends.offsets(topic, when.kind)
        case "time":
            return ends.offsets(topic, when.value)
        case "offset":
            first, last = ends.offsets(topic, "earliest"), ends.offsets(topic, "latest")
            for p in first:
                if not first[p] <= when.value <= last[p]:
                    raise RefusedError(
                        f"{topic}/{p} holds offsets {first[p]} to {last[p]}, not {when.value}",
                        "name an offset inside, or select the partition it is meant for (TOPIC:PARTITION)",
                    )
            return dict.fromkeys(first, when.value)
        case "committed":
            raise ConfigError("WHEN", "`committed` needs a group's commit, and there is none here")
