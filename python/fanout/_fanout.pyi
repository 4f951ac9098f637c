"""The compiled half of fanout: what each record costs is paid here."""

from collections.abc import Mapping
from typing import Literal, final

__version__: str
"""Version of the package."""

@final
class Cluster:
    """A control connection: where partitions end, what groups have committed, who owns a lane.

    Every call blocks without the GIL until it is answered or its time is over; calls from several threads take turns.
    Offsets are always the next record to read.
    """

    def __new__(cls, properties: Mapping[str, str], *, timeout_s: float = 30.0) -> Cluster:
        """Prepares a connection; nothing is dialled before the first question.

        `properties` bear librdkafka's names. `timeout_s`: how long one question is asked again, in seconds.

        Raises `ConfigError` for a property that cannot be honoured.
        """

    def transaction_version(self) -> int:
        """The cluster's finalized `transaction.version`; 2 or more lets a lane promise exactly-once (KIP-890)."""

    def api_versions(self) -> dict[str, tuple[int, int]]:
        """Each request one broker offers, by Kafka's name, with its least and greatest version."""

    def partitions(self, topic: str) -> int:
        """Number of partitions. Raises `RefusedError` if the topic does not exist."""

    def topic_id(self, topic: str) -> str:
        """The topic's id as UUID text: a topic made again under the same name has another one."""

    def offsets(self, topic: str, at: Literal["earliest", "latest", "stable"] | int) -> dict[int, int]:
        """One offset a partition: log start, high watermark, last stable offset, or the first at or after a time.

        A time is in ms since 1970; where no record is as late, the high watermark stands for it.
        """

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """Committed offset and metadata by partition; a partition without a commit is absent.

        Waits for offsets inside a transaction that has not ended; raises `UnreachableError` if that takes too long.
        """

    def commit(self, group: str, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Writes offset and metadata for a group that has no members; the answer of every partition is checked.

        A broker accepts this even while the group has members, so the caller looks first.
        """

    def take_over(self, transactional_id: str) -> None:
        """Makes this process the owner: on return no transaction of the id is open and its markers are written."""

    def delete_topic(self, topic_id: str) -> None:
        """Deletes a topic by its id, so that another one made under its name is safe."""

    def stuck_by(self, topic: str, partition: int) -> list[tuple[int, int, int]]:
        """Who holds the last stable offset back: producer id, epoch and first offset of each open transaction."""
