"""How many letters there are of each kind, and how old they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .story import story_of

if TYPE_CHECKING:
    from fanout.message import KafkaMessage

__all__ = ["Census", "Kind", "Tally"]

MOST_KINDS = 10_000
"""Headers come from strangers: kinds beyond these are counted together."""


class Kind(NamedTuple):
    """What letters are told apart by. Empty where the headers do not say."""

    topic: str
    partition: int | None
    outcome: str
    error: str


OTHERS = Kind("(others)", None, "", "")


@dataclass(slots=True)
class Tally:
    """Letters of one kind, and when the first and the last of them died, in ms since 1970."""

    letters: int
    oldest: int
    newest: int


class Census:
    """Counts letters by kind. Takes no more memory for more letters."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, Tally] = {}

    def count(self, letters: Iterable[KafkaMessage]) -> None:
        """Counts all of them."""
        for letter in letters:
            story = story_of(letter)
            kind = Kind(story.topic or "", story.partition, story.outcome, story.error)
            if kind not in self.kinds and len(self.kinds) >= MOST_KINDS:
                kind = OTHERS
            known = self.kinds.setdefault(kind, Tally(0, story.died_at, story.died_at))
            known.letters += 1
            known.oldest = min(known.oldest, story.died_at)
            known.newest = max(known.newest, story.died_at)

    @property
    def letters(self) -> int:
        """All of them."""
        return sum(tally.letters for tally in self.kinds.values())

    def sorted(self) -> list[tuple[Kind, Tally]]:
        """The most frequent kind first."""
        return sorted(self.kinds.items(), key=lambda item: (-item[1].letters, item[0].topic, item[0].partition or 0))
