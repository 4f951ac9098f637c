"""
Which letters of one partition went back.

Letters that are put back lie among others that stay, so one offset cannot tell. The commit of the redrive's group
holds the offset below which nothing stays, and its metadata the runs above it that went back. Both are part of the
transaction that puts the letters back, so they are true whatever interrupts it.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from fanout.errors import WorkError

__all__ = ["Ground"]

MARK = "fanout-redrive1"
MOST_TEXT = 4_000
"""A broker takes 4,096 bytes of metadata unless it is told otherwise."""

_RUNS = re.compile(r"(?:\d{1,18}\+\d{1,18}(?:,\d{1,18}\+\d{1,18}){0,999})?")


class Ground:
    """Letters that went back, and the walk over the others. `walk` each letter in the order of the partition."""

    def __init__(self, topic_id: str, start: int) -> None:
        self._topic_id = topic_id
        self._runs = [[0, start]]
        self._at: int | None = 0  # the run that holds the letter walked over last; None if that one stays
        self.is_changed = False

    @classmethod
    def read(cls, topic_id: str, start: int, commit: tuple[int, str] | None) -> Ground:
        """What was committed; none, or what a topic of this name that is gone had, is nothing. `start`: the log's."""
        ground = cls(topic_id, start)
        if commit is None:
            return ground
        point, metadata = commit
        mark, _, rest = metadata.partition(" ")
        of_topic, _, runs = rest.partition(" ")
        if mark != MARK or _RUNS.fullmatch(runs) is None:
            raise WorkError(
                "the redrive's own group holds offsets that no redrive wrote",
                "which letters went back is not known any more: look at the source, then delete the group",
            )
        if of_topic != topic_id:
            return ground
        ground._runs = [[0, max(point, start)]]
        end = point
        for run in filter(None, runs.split(",")):
            gap, _, length = run.partition("+")
            begin, end = end + int(gap), end + int(gap) + int(length)
            if end > start:
                ground._runs.append([max(begin, start), end])
        return ground

    @property
    def point(self) -> int:
        """Every letter below it went back."""
        return self._runs[0][1]

    def is_back(self, offset: int) -> bool:
        """Whether the letter at `offset` went back."""
        return self._run_of(offset) is not None

    def walk(self, offset: int, *, goes_back: bool) -> None:
        """Passes the next letter. What lies between two neighbours that went back, markers and holes, joins them."""
        run = self._run_of(offset)
        if run is None and not goes_back:
            self._at = None
            return
        if run is None:
            self.is_changed = True
            if self._at is None:
                self._at = bisect_right(self._runs, offset, key=lambda run: run[0])
                self._runs.insert(self._at, [offset, offset + 1])
            else:
                self._runs[self._at][1] = offset + 1
        elif self._at is None or run == self._at:
            self._at = run
        else:
            self._runs[self._at][1] = self._runs[run][1]
            del self._runs[run]

    def metadata(self) -> str:
        """The runs, for the commit. WorkError when there are too many."""
        text, end = [], self.point
        for begin, stop in self._runs[1:]:
            text.append(f"{begin - end}+{stop - begin}")
            end = stop
        written = f"{MARK} {self._topic_id} {','.join(text)}"
        if len(written) > MOST_TEXT or len(text) > 1_000:
            raise WorkError(
                "the letters that go back lie too scattered among those that stay: what went back is kept as runs, "
                f"and {len(text)} of one partition do not fit a commit",
                "put back with a wider --error, partition by partition with -t T:P, or export the rest first",
            )
        return written

    def _run_of(self, offset: int) -> int | None:
        at = bisect_right(self._runs, offset, key=lambda run: run[0]) - 1
        return at if offset < self._runs[at][1] else None
