"""Records that could not be handled, written where somebody will look for them, and not too many of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from fanout.errors import WorkError

from .post import Parcel

if TYPE_CHECKING:
    from .letter import Letter, Scribe
    from .post import Post
    from .retry import Dead

__all__ = ["DeadLetters", "Guard"]


class DeadLetters:
    """Writes the dead letters of one handler."""

    def __init__(self, topic: str, post: Post, scribe: Scribe) -> None:
        self._topic = topic
        self._post = post
        self._scribe = scribe

    async def send(self, letter: Letter) -> None:
        """Returns when the broker has acknowledged the letter; tries until then, also while the topic is gone.

        Raises WorkError for a letter no broker will ever take.
        """
        raw = letter.raw
        topic, partition, offset, _ = self._scribe.origin(raw)
        await self._post.send(
            # Its timestamp is now: with the record's own it could expire before anybody has looked at it.
            Parcel(
                topic=self._topic,
                key=raw.key(),
                value=raw.value(),
                headers=self._scribe.headers(letter),
                name=f"the dead letter of {topic}/{partition} at offset {offset}",
            )
        )


class Guard:
    """Stops a handler that makes too many dead letters: then the fault is not in the records.

    Of any `window` records in a row at most `share` may become dead letters. Without it an outage of what the
    handler needs would empty the topic into the dead letters. Each process counts the records it settles itself, a
    dead one once however often it comes back within the window, and the first process that has too many stops all.
    One that is started again begins to count anew.
    """

    def __init__(self, share: float, window: int) -> None:
        self._most = int(share * window)
        self._share = share
        self._window = window
        self._seen = 0
        self._dead_at = OrderedDict[str, int]()
        """How many records had been seen when each of these died, the oldest first."""

    def passed(self, count: int) -> None:
        """Notes records that were settled without a dead letter."""
        self._seen += count

    def allow(self, topic: str, record: str, last: Dead) -> None:
        """Notes a dead letter by the name of its record. Raises WorkError, before it is written, for one too many."""
        gone = self._seen + 1 - self._window
        while self._dead_at and next(iter(self._dead_at.values())) <= gone:
            self._dead_at.popitem(last=False)
        if record in self._dead_at:
            return  # its partition went before its letter was committed, and came back
        self._seen += 1
        if self._share < 1 and len(self._dead_at) >= self._most:
            raise WorkError(
                f"{topic}: more than {self._most} of {self._window:,} records would be dead letters "
                f"(the last: {last.why}, {last.message})",
                "nothing more was written there and the records stay where they are; mend the cause and start again, "
                "or allow more with --dead-letter-share",
            )
        self._dead_at[record] = self._seen
