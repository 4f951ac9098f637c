"""Which letters are put back, and where."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fanout.errors import BrokerError, RefusedError
from fanout.work.letter import CYCLE, REDRIVE_OF, is_ours

from .story import Story, story_of

if TYPE_CHECKING:
    from fanout._fanout import Pattern
    from fanout.message import Headers, KafkaMessage

__all__ = ["Choice", "Going", "Rules", "Staying", "Why"]

logger = logging.getLogger("fanout.dlq")

MOST_TARGETS = 1_000
"""Letters name their source themselves; each new name is a question to the cluster."""

ANY_PARTITION = -1

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")

Why = Literal["unmatched", "cycles", "homeless"]
"""Not what --error looks for; put back too often already; from no topic or partition that there is, or that we see."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the user asked for. `to_topic` None is each letter's own source."""

    topic: str
    to_topic: str | None
    error: Pattern | None
    max_cycles: int


@dataclass(frozen=True, slots=True)
class Going:
    """A letter that is put back, to a partition of its own or by its key."""

    topic: str
    partition: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Staying:
    """A letter that stays, and why."""

    why: Why


class Choice:
    """Decides letter by letter. `partitions` tells how many a topic has; RefusedError or BrokerError if it does not."""

    def __init__(self, rules: Rules, partitions: Callable[[str], int]) -> None:
        self._rules = rules
        self._ask = partitions
        self._counts: dict[str, int] = {}

    def of(self, letter: KafkaMessage) -> Going | Staying:
        """Where it goes, or why it stays."""
        rules, story = self._rules, story_of(letter)
        if rules.error is not None and not rules.error.is_in(story.message):
            return Staying("unmatched")
        if story.cycle >= rules.max_cycles:
            return Staying("cycles")
        place = self._place(story)
        if place is None:
            return Staying("homeless")
        own = [header for header in letter.headers() or () if not is_ours(header[0])]
        told = [(CYCLE, str(story.cycle + 1).encode()), *_was(story)]
        return Going(*place, [*own, *told])

    def _place(self, story: Story) -> tuple[str, int] | None:
        """Its own partition, which keeps the order of keys whatever partitioner its producer used."""
        if self._rules.to_topic is not None:
            return self._rules.to_topic, ANY_PARTITION
        if story.topic is None or story.partition is None or story.partition >= self._partitions(story.topic):
            return None
        return story.topic, story.partition

    def _partitions(self, topic: str) -> int:
        """0 for a topic that nothing may be put back to: forged, internal, gone, or the dead letters themselves."""
        if not _TOPIC.fullmatch(topic) or topic.startswith("__") or topic == self._rules.topic:
            return 0
        if topic not in self._counts and len(self._counts) < MOST_TARGETS:
            try:
                self._counts[topic] = self._ask(topic)
            except (RefusedError, BrokerError) as error:
                # A letter's own header named it: that must not keep all the others from going back.
                logger.warning("letters from %s stay where they are: %s", topic, error)
                self._counts[topic] = 0
        return self._counts.get(topic, 0)


def _was(story: Story) -> Headers:
    """Where the record stood: keys that wait behind it are freed by that."""
    if story.topic is None or story.partition is None or story.offset is None:
        return []
    return [(REDRIVE_OF, f"{story.topic}/{story.partition}/{story.offset}".encode())]
