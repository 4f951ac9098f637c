"""The compiled half of fanout: what each record costs is paid here."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from fanout.config.forward import ForwardSettings
from fanout.errors import FanoutError

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

        `properties` bear librdkafka's names; `oauth_cb`, the path of a function as `pkg.mod:function`, is called with
        an empty text whenever a token is needed, from any thread, and returns `(token, expiry in s since 1970)` or
        `(token, expiry, principal, extensions)`. `timeout_s`: how long one question is asked again, in seconds.

        Raises `ConfigError` for a property that cannot be honoured. Every call raises `SecurityError`, without trying
        again, if the broker cannot be trusted or does not let this client in.
        """

    def transaction_version(self) -> int:
        """The cluster's finalized `transaction.version`; from 2 on each transaction has its own epoch (KIP-890)."""

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

    def last_committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """The same without waiting: what was committed before any transaction that has not ended.

        For a look at a group whose forwarder may be dead: what it left open ends only when a lane takes over.
        """

    def commit(self, group: str, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Writes offset and metadata for a group that has no members; the answer of every partition is checked.

        A broker accepts this even while the group has members, so the caller looks first.
        """

    def leave(self, group: str, members: list[str]) -> None:
        """Takes members of a classic group out of it, by their ids: those of processes that are known to be dead.

        Their partitions move at once instead of after the session timeout. An unknown member is no error.
        """

    def take_over(self, transactional_id: str) -> None:
        """Makes this process the owner: on return no transaction of the id is open and its markers are written."""

    def first_record(self, topic: str, partition: int, start: int, end: int) -> FirstRecord:
        """Reads read-committed from `start` to the first record, or to `end`, a high watermark.

        Waits at most 2 s for progress: an open transaction, or markers that are late, give the state "unknown".
        """

    def count(self, topic: str, partition: int, start: int, end: int) -> tuple[int, int]:
        """Records of [start, end) that a read-committed reader sees, and the sum of their mixes mod 2^64.

        Read from batch headers; batches with holes are opened. The mix is `mix64(partition, offset)` of DESIGN.md.
        """

    def broken_batch(self, topic: str, partition: int, offset: int) -> tuple[int, int | None, str] | None:
        """What is wrong with the batch that holds `offset`; None if it can be carried.

        First offset that cannot be read, first offset behind the batch (None where nothing tells it for certain), and
        the flaw in words.
        """

    def delete_topic(self, topic_id: str) -> None:
        """Deletes a topic by its id, so that another one made under its name is safe."""

    def stuck_by(self, topic: str, partition: int) -> list[OpenTransaction]:
        """Who holds the last stable offset of a partition back."""

@final
class OpenTransaction:
    """A transaction that has not ended, seen from one partition it wrote to. Times are ms since 1970."""

    @property
    def producer_id(self) -> int:
        """Its producer."""

    @property
    def epoch(self) -> int:
        """The producer's epoch."""

    @property
    def first_offset(self) -> int:
        """Its first offset here: the last stable offset cannot pass it."""

    @property
    def last_write_ms(self) -> int:
        """When it last wrote here."""

    @property
    def transactional_id(self) -> str | None:
        """Under which id; None if no coordinator knows, or tells us."""

    @property
    def began_ms(self) -> int | None:
        """When it began, by its coordinator's clock; None as above."""

@final
class Intake:
    """What one consumer has read and not yet settled: what may run now, and how far it is safe to commit.

    A record is known by a number. Numbers of a partition that was given away and taken again differ from before, so
    a late result names nothing. Calls may come from any thread; none blocks for longer than its own work.
    """

    def __new__(
        cls,
        topic: str,
        order: str,
        *,
        limits: tuple[int, int],
        run: tuple[str, Mapping[int, int]] | None = None,
    ) -> Intake:
        """Holds no partition yet.

        `order`: what runs one at a time, `key`, `partition` or `none`. `limits`: most records and most bytes read and
        not settled. `run`: its id, and the source partition of each target partition.
        """

    def assign(self, partition: int, offset: int, metadata: str) -> None:
        """Begins a partition at what its group has committed: the next record to read, and the commit's metadata.

        Raises `WorkError` in a run when the commit is not one of this run's workers.
        """

    def take(self, messages: list[Any]) -> tuple[list[tuple[int, Any]], list[Any]]:
        """Takes `confluent_kafka.Message`s in; returns those that may run, each with its number, and those in error.

        A message that tells of a partition's end moves the position over markers. Messages of a partition that is not
        held, or that were taken before, are dropped. Raises `WorkError` in a run for a record that was forged, doubled
        or reordered; nothing of that call runs then.
        """

    def settle(self, done: list[int], dead: list[int]) -> list[tuple[int, Any]]:
        """Settles records whose handlers are done, and those the broker has as dead letters; returns what may run next.

        Numbers of an assignment that is over change nothing.
        """

    def close(self, partitions: Sequence[int]) -> set[int]:
        """Takes nothing more from these partitions and lets nothing that waits run; returns their assignments."""

    def forget(self, partitions: Sequence[int]) -> None:
        """Lets partitions go: what is settled later is never committed."""

    def due(self) -> list[tuple[int, int, str]]:
        """Partition, offset and metadata of each commit point that moved since it was last committed."""

    def committed(self, partition: int, offset: int) -> None:
        """Notes that the broker has acknowledged a commit."""

    def positions(self) -> dict[int, tuple[int, int]]:
        """By partition held: the offset committed, and the offset after the last record read."""

    def room(self) -> int:
        """How many more records may be read. 0: read none, and go on polling."""

    def in_flight(self) -> tuple[int, int]:
        """Records and bytes read and not settled."""

    def late(self) -> int:
        """Records and results that came twice, or for an assignment that was over."""

    @staticmethod
    def assignment_of(record: int) -> int:
        """Which assignment of a partition a record's number belongs to."""

@final
class FirstRecord:
    """What stands first in a stretch of a partition."""

    @property
    def state(self) -> Literal["record", "end", "unknown"]:
        """A record; nothing but markers and aborted data up to the end; or neither was reached in time."""

    @property
    def offset(self) -> int:
        """The record's offset, the end, or how far the reader came."""

    @property
    def origin(self) -> tuple[int, int] | None:
        """Source partition and offset of the record; None without a header that can be read."""

@final
class Forwarder:
    """The forward engine: one lane per source partition, each on a thread of its own."""

    def __new__(cls, settings: ForwardSettings) -> Forwarder:
        """Checks the settings; nothing is dialled yet. Raises `ConfigError` naming the one that cannot work."""

    def run(self) -> list[LaneEnd]:
        """Blocks, without the GIL, until every lane has ended; to be called once.

        A lane that fails leaves the others alone: its error is in its `LaneEnd`. Raises `RefusedError` before any
        lane starts if the cluster does not allow the work, `UnreachableError` if it does not answer.
        """

    def start_lane(self, partition: int) -> None:
        """Starts the lane of one partition of the settings beside those that run, instead of `run`; returns at once.

        The first call looks at the cluster and raises as `run` does. Raises `RefusedError` if the lane runs already.
        """

    def end_lanes(self, partitions: Sequence[int], how: Literal["finish", "at-once"]) -> list[LaneEnd]:
        """Ends these lanes, waits until they have ended (at most about 8 s) and leaves the others alone.

        "finish": each commits what it has carried. "at-once": what is open is aborted by its next owner. Partitions
        that run no lane are passed over.
        """

    def ended_lanes(self) -> list[LaneEnd]:
        """Lanes that ended since the last call, those apart that `run` or `end_lanes` told of."""

    def set_share(self, share: float) -> None:
        """Lets the lanes here use this part of `max_rate` and `max_bytes`; other processes use the rest."""

    def stop(self) -> None:
        """Lets every lane commit what it has carried, then end. Returns at once; callable from any thread."""

    def abort(self) -> None:
        """Ends every lane at its next wait; open transactions are aborted by their next owner."""

    def stats(self) -> list[LaneStats]:
        """What each lane has done so far. Callable from any thread, also while `run` blocks."""

@final
class LaneStats:
    """Counters of one lane at one moment."""

    @property
    def partition(self) -> int:
        """Source partition."""

    @property
    def state(self) -> Literal["idle", "starting", "running", "waiting", "ended"]:
        """`idle`: not started here. `waiting`: at the end of the source, for more."""

    @property
    def position(self) -> int:
        """Committed source offset."""

    @property
    def last_stable(self) -> int:
        """The source's last stable offset at the last fetch."""

    @property
    def records(self) -> int:
        """Records posted to the target, those of aborted transactions too."""

    @property
    def bytes(self) -> int:
        """Record bytes read from the source, as they travelled."""

    @property
    def commits(self) -> int:
        """Transactions committed."""

    @property
    def renewals(self) -> int:
        """Transactions given up and begun again."""

    @property
    def resends(self) -> int:
        """Batches sent more than once."""

    @property
    def stripped(self) -> int:
        """Headers named `fanout.…` from outside that were left out."""

    @property
    def throttled_ms(self) -> int:
        """What brokers, because of a quota, asked it to wait, in milliseconds."""

    @property
    def batches(self) -> dict[str, int]:
        """Source batches by `way:reason`: how they travelled, and why not whole."""

@final
class LaneEnd:
    """The last word of one lane."""

    @property
    def partition(self) -> int:
        """Source partition."""

    @property
    def began(self) -> int:
        """The committed source offset it found; −1 if it never owned its partition."""

    @property
    def position(self) -> int:
        """Committed source offset, as far as the lane knows it; −1 if it never owned the lane."""

    @property
    def forwarded(self) -> int:
        """Records that this lane forwarded: those from `began` to `position`."""

    @property
    def count(self) -> int:
        """Records forwarded below `position` under this group."""

    @property
    def sum(self) -> int:
        """Sum of their mixes mod 2^64."""

    @property
    def outcome(self) -> Literal["end", "stopped", "failed"]:
        """Reached its end, was told to stop, or see `error`."""

    @property
    def error(self) -> FanoutError | None:
        """Why it failed; None if it did not."""

@final
class Pattern:
    """A regular expression whose time grows with the length of expression and text and no faster.

    The syntax is that of Rust's `regex`: as Python's, without look-around and back-references.
    """

    def __new__(cls, text: str, setting: str) -> Pattern:
        """Raises `ConfigError` under `setting` for what is no expression, or one that needs over 2 MiB."""

    def is_in(self, subject: bytes) -> bool:
        """Whether it is found anywhere in `subject`, which need not be UTF-8."""

def allot(loads: Sequence[int], targets: int) -> list[list[int]]:
    """Deals target partitions 0 to `targets` − 1 to source partitions, in proportion to their loads in records.

    Each source partition gets at least one, and the same input gives the same answer everywhere. Raises `ConfigError`
    if there are fewer targets than source partitions.
    """

def partition_for(partitioner: str, key: bytes, partitions: int) -> int | None:
    """Where a record with this key goes among so many partitions; None where the partitioner leaves it to turn.

    `partitioner`: "murmur2" (Java), "crc32" (librdkafka's default), "fnv1a" (Sarama), "xxh3" (inside allotments).
    """
