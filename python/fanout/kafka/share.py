"""
Lanes shared between processes: a consumer group says which process carries which source partition.

The group is used for nothing else. Its consumer reads no record (every partition is paused) and commits no offset;
whose lane a partition is, and where it stands, is settled by the lanes' own transactional ids and commits. So a
process that wrongly believes that a partition is still its own is fenced, and can spoil nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from fanout.config.tokens import with_token_function
from fanout.errors import BrokerError, FanoutError, FencedError

from .names import lanes_group

if TYPE_CHECKING:
    from fanout.config.forward import ForwardSettings

    from .ports import LaneEnd

__all__ = ["Lanes", "Sharing", "Stay", "consumer_properties"]

logger = logging.getLogger("fanout.forward")

SESSION_MS = 6_000
"""How long the lanes of a killed process wait for another one."""

HEARTBEAT_MS = 500
"""How late a process hears that lanes are to move."""

POLL_S = 0.1
ASK_ENDS_S = 1.0

CLOSE_S = 5.0
"""What leaving the group may take: an answer or two of the coordinator."""


How = Literal["finish", "at-once"]


class Lanes(Protocol):
    """What is used of a `Forwarder`."""

    def start_lane(self, partition: int) -> None: ...
    def end_lanes(self, partitions: Sequence[int], how: How) -> Sequence[LaneEnd]: ...
    def ended_lanes(self) -> Sequence[LaneEnd]: ...
    def set_share(self, share: float) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Stay:
    """What became of one partition while this process held it, perhaps several times; a `LaneEnd` over all of them."""

    partition: int
    began: int
    position: int
    forwarded: int
    count: int
    sum: int
    outcome: str
    error: FanoutError | None


def consumer_properties(own: Mapping[str, str], group: str) -> dict[str, Any]:
    """Properties of the consumer that assigns lanes; `own` are the user's for consumers."""
    return {
        "session.timeout.ms": str(SESSION_MS),
        "heartbeat.interval.ms": str(HEARTBEAT_MS),
        **with_token_function(own),
        "group.id": lanes_group(group),
        # A process that comes or goes leaves the lanes of the others alone.
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": "false",
        "auto.offset.reset": "latest",
    }


class Sharing:
    """Starts and ends lanes as the group assigns their partitions. `run` belongs to one thread, `stop` to any.

    finished: whether every partition of the source has been carried to its end, by whomever.
    """

    def __init__(
        self, settings: ForwardSettings, lanes: Lanes, consumer: Consumer, finished: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._consumer = consumer
        self._finished = finished
        self._stopping = threading.Event()
        self._held: set[int] = set()
        self._over: set[int] = set()  # held, and ended by itself
        self._again: dict[int, float] = {}  # held, fenced, and when it is tried again
        self._stays: dict[int, Stay] = {}
        self._next_ask = 0.0
        self._error: FanoutError | None = None
        self.shares_rate = False
        """Whether the rates of the settings are those of all processes together; to be set before `run`."""
        self.moves = 0
        """How often partitions were given to this process or taken from it."""

    def run(self) -> Sequence[Stay]:
        """Carries what this process is given until the stop, or until nothing is left for it to do."""
        try:
            self._consumer.subscribe(
                [self._settings.source], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
            while not self._stopping.is_set() and not self._is_over():
                self._hear()
                self._note(self._lanes.ended_lanes())
                self._try_again()
        finally:
            self._leave()
        return list(self._stays.values())

    def stop(self) -> None:
        """Lets every lane commit what it has carried, then leaves the group. Returns at once."""
        self._stopping.set()
        self._lanes.stop()

    def _hear(self) -> None:
        message = self._consumer.poll(POLL_S)
        if self._error is not None:
            raise self._error
        error = message.error() if message is not None else None
        if error is not None:
            self._trouble(error)

    def _trouble(self, error: KafkaError) -> None:
        """The client goes on by itself after most errors; not after those that only a user can mend."""
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            group = lanes_group(self._settings.group)
            remedy = f"grant it: kafka-acls --add --operation Read --group {group}"
            raise BrokerError("JoinGroup", f"group {group}", error.name(), remedy)
        if error.fatal():
            raise BrokerError("JoinGroup", f"group {lanes_group(self._settings.group)}", error.name(), error.str())
        logger.warning("%s: %s", self._settings.source, error.str())

    def _assign(self, _consumer: object, given: Sequence[TopicPartition]) -> None:
        topic, partitions = self._settings.source, [one.partition for one in given]
        places = [TopicPartition(topic, partition, OFFSET_END) for partition in partitions]
        self._consumer.incremental_assign(places)
        self._consumer.pause(places)
        self.moves += bool(partitions)
        if partitions:
            logger.info("%s: given partitions %s", topic, sorted(partitions))
        for partition in partitions:
            if partition in self._settings.partitions:
                self._held.add(partition)
                self._start(partition)
            else:
                logger.warning("%s/%d was made after the start: start again to carry it", topic, partition)
        self._share_rate()

    def _revoke(self, _consumer: object, wanted: Sequence[TopicPartition]) -> None:
        """The next owner begins where these lanes have committed: it is only told when they have ended."""
        self._give_up([one.partition for one in wanted], "finish")

    def _lose(self, _consumer: object, lost: Sequence[TopicPartition]) -> None:
        """Others own them already: what is open is theirs to abort."""
        partitions = [one.partition for one in lost]
        logger.warning("%s: lost partitions %s: the group did not hear of us", self._settings.source, partitions)
        self._give_up(partitions, "at-once")

    def _give_up(self, partitions: Sequence[int], how: How) -> None:
        self.moves += bool(partitions)
        self._note(self._lanes.end_lanes(partitions, how))
        self._held.difference_update(partitions)
        self._over.difference_update(partitions)
        for partition in partitions:
            self._again.pop(partition, None)
        self._share_rate()

    def _share_rate(self) -> None:
        """Each process takes of the rate what its lanes are of all lanes: together they keep to it."""
        if self.shares_rate and self._held:
            self._lanes.set_share(len(self._held) / len(self._settings.partitions))

    def _start(self, partition: int) -> None:
        try:
            self._lanes.start_lane(partition)
        except FanoutError as error:
            # Raised by the loop: an exception in a callback of the client would be lost in it.
            self._error = error

    def _note(self, ends: Sequence[LaneEnd]) -> None:
        for end in ends:
            partition = end.partition
            error = end.error
            if isinstance(error, FencedError):
                # Moved while nobody told us, or taken by one who does not know yet that it moved. Whoever is wrong
                # hears of it within a session; not to fight, we wait as long.
                logger.info("%s/%d: taken over by another process", self._settings.source, partition)
                self._again[partition] = time.monotonic() + SESSION_MS / 1000
                error = None
            elif error is not None:
                logger.error("%s", error)
                self._over.add(partition)
            elif end.outcome == "end":
                self._over.add(partition)
            self._stays[partition] = _joined(self._stays.get(partition), end, error)

    def _try_again(self) -> None:
        now = time.monotonic()
        for partition in [partition for partition, due in self._again.items() if due <= now]:
            del self._again[partition]
            if partition in self._held:
                self._start(partition)

    def _is_over(self) -> bool:
        """Whether all that this process holds is at its end, or, where it holds nothing, all that there is."""
        if self._held:
            return self._held <= self._over
        if self._settings.end is None or time.monotonic() < self._next_ask:
            return False
        self._next_ask = time.monotonic() + ASK_ENDS_S
        return self._finished()

    def _leave(self) -> None:
        """Ends what runs, then leaves the group, so that others go on at once."""
        self._note(self._lanes.end_lanes(sorted(self._held), "finish"))
        self._held.clear()
        # The client can hang in here when a rebalance is under way. All is committed by now: the group notices.
        closing = threading.Thread(target=self._close, name="leave", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            logger.warning("the group did not let go; it notices at the session timeout")

    def _close(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            logger.warning("the group was not left cleanly: %s", error)


def _joined(before: Stay | None, end: LaneEnd, error: FanoutError | None) -> Stay:
    """What this lane and those before it did; one that was fenced before it owned anything knows no place."""
    place = before if before is not None and end.position < 0 else end
    return Stay(
        partition=end.partition,
        began=before.began if before is not None and before.began >= 0 else end.began,
        position=place.position,
        forwarded=end.forwarded + (before.forwarded if before is not None else 0),
        count=place.count,
        sum=place.sum,
        outcome="moved" if end.error is not None and error is None else end.outcome,
        error=error,
    )
