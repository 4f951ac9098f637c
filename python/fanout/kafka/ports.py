"""
What the control plane and the drain ask of the compiled core, as protocols.

`fanout._fanout.Cluster` and `Forwarder` are the real ones. The tests stand
in-memory twins behind the same protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from fanout.errors import FanoutError

__all__ = ["Cluster", "FirstRecord", "Forwarder", "LaneEnd", "LaneStats", "OpenTransaction"]


class FirstRecord(Protocol):
    """The first data record of a stretch of a partition, as a read_committed reader meets it."""

    @property
    def state(self) -> Literal["record", "end", "unknown"]:
        """`unknown`: neither a record nor the end was reached in time."""
        ...

    @property
    def offset(self) -> int:
        """Where it was found."""
        ...

    @property
    def origin(self) -> tuple[int, int] | None:
        """Source partition and offset; None when the header is missing or malformed."""
        ...


class OpenTransaction(Protocol):
    """A transaction that has not ended, seen from one partition it wrote to."""

    @property
    def producer_id(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def first_offset(self) -> int: ...
    @property
    def last_write_ms(self) -> int: ...
    @property
    def transactional_id(self) -> str | None: ...
    @property
    def began_ms(self) -> int | None: ...


class Cluster(Protocol):
    """A control connection. Every call blocks up to the timeout it was made with."""

    def transaction_version(self) -> int:
        """Finalized feature `transaction.version`; 0 when absent."""
        ...

    def api_versions(self) -> dict[str, tuple[int, int]]:
        """Versions of each request that the bootstrap broker takes."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. RefusedError when it does not exist."""
        ...

    def topic_id(self, topic: str) -> str:
        """The topic's id as canonical UUID text."""
        ...

    def offsets(self, topic: str, at: Literal["earliest", "latest", "stable"] | int) -> dict[int, int]:
        """`earliest`, `latest` (high watermark), `stable` (last stable offset), or the first at or after epoch ms."""
        ...

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """Committed offset and metadata of each partition that has a commit; waits while one is unstable."""
        ...

    def last_committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """The same without waiting: what was committed before any transaction that has not ended."""
        ...

    def commit(self, group: str, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Commits offsets and metadata for a group without members."""
        ...

    def take_over(self, transactional_id: str) -> None:
        """Fences the id's owner; returns when no transaction of it is open and all its markers are written."""
        ...

    def first_record(self, topic: str, partition: int, start: int, end: int) -> FirstRecord:
        """The first committed data record of [start, end)."""
        ...

    def count(self, topic: str, partition: int, start: int, end: int) -> tuple[int, int]:
        """How many committed records [start, end) holds, and the sum of their mixes."""
        ...

    def broken_batch(self, topic: str, partition: int, offset: int) -> tuple[int, int | None, str] | None:
        """Of the batch at `offset`: first offset that cannot be read, first one behind it, the flaw; None if sound."""
        ...

    def delete_topic(self, topic_id: str) -> None:
        """Deletes by id, so that a topic re-created under the same name is left alone."""
        ...

    def stuck_by(self, topic: str, partition: int) -> Sequence[OpenTransaction]:
        """Each open transaction that holds the last stable offset back."""
        ...


class LaneStats(Protocol):
    """A lane at one moment."""

    @property
    def partition(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def commits(self) -> int: ...
    @property
    def renewals(self) -> int: ...
    @property
    def resends(self) -> int: ...
    @property
    def stripped(self) -> int: ...
    @property
    def throttled_ms(self) -> int: ...
    @property
    def batches(self) -> dict[str, int]: ...


class LaneEnd(Protocol):
    """How a lane ended; `position`, `count` and `sum` are those of its last commit, `forwarded` are its own records."""

    @property
    def partition(self) -> int: ...
    @property
    def began(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def forwarded(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def sum(self) -> int: ...
    @property
    def error(self) -> FanoutError | None: ...
    @property
    def outcome(self) -> str: ...


class Forwarder(Protocol):
    """The forward engine over the lanes of one topic."""

    def run(self) -> Sequence[LaneEnd]:
        """Blocks until every lane ended; a lane's failure is in its `LaneEnd`."""
        ...

    def stop(self) -> None:
        """Finishes the open transactions, then ends. From any thread."""
        ...

    def abort(self) -> None:
        """Ends at once; the next owner aborts what was open."""
        ...

    def stats(self) -> Sequence[LaneStats]:
        """Every lane now."""
        ...
