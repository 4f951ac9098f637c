"""
The thread that owns the consumer: it reads, it commits, it takes and gives up partitions.

Nothing else touches the consumer. The event loop may be busy or blocked by a handler;
the group is kept and commits go out all the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from fanout.errors import FanoutError, WorkError

from .codes import is_fenced, is_gone, is_passing
from .commits import Commits

if TYPE_CHECKING:
    from fanout._fanout import Intake

    from .consumer import Assigned, Consumer
    from .parking import Parking
    from .runtime import Runtime
    from .start import Starts

__all__ = ["Feed", "Reading"]

logger = logging.getLogger("fanout.work")

BATCH = 500
IDLE_S = 0.2
"""How long an idle poll waits; a stop is seen as late as that."""

FULL_S = 1.0
"""How long reading may wait for room without a poll. After that the partitions are paused: pausing throws away what
was fetched, so it is not worth its price for a short wait."""

DRY_S = 2.0
"""Resumed partitions that bring nothing for this long have nothing: the client needs up to a second to fetch again."""

CLOSE_S = 1.5
"""What leaving the group may take. It is an answer or two of the coordinator."""

ROOM_SHARE = 8
"""Reading goes on when this part of the budget is free again, so that it does not go record by record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is read, by whom, and how often it is committed; `parking` goes with each commit."""

    topic: str
    group: str
    cooperative: bool
    stop_s: float
    commit_s: float
    records: int
    parking: Parking | None = None


class Feed:
    """Feeds one runtime from one topic until it is stopped or fails."""

    def __init__(self, reading: Reading, consumer: Consumer, intake: Intake, starts: Starts) -> None:
        self._reading = reading
        self._consumer = consumer
        self._intake = intake
        self._starts = starts
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._room = threading.Event()
        self._starved = False
        self._held_back_s: float | None = None  # since when some partitions wait, so that others catch up
        self._error: FanoutError | None = None
        self._leave_by = math.inf
        self._fresh: dict[int, int] = {}
        self._next_commit = time.monotonic() + reading.commit_s
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self._runtime: Runtime
        self._commits = Commits(reading, consumer, intake)
        self.committed = self._commits.committed
        """The last offset known to be committed of every partition this feed has held."""
        self.joined: Callable[[str], object] = _nobody
        """Is told the id the group knows this feed by, from its thread. The group waits for it from that time on."""
        self._member: str | None = None

    def start(self, runtime: Runtime) -> None:
        """Starts to read. A failure goes to `runtime.fail`."""
        self._runtime = runtime
        self._thread = threading.Thread(target=self._run, name=f"feed-{self._reading.topic}", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Reads no more, waits for what runs as long as it may, commits and leaves the group."""
        self._stopping.set()
        self._room.set()
        await self._ended.wait()

    def made_room(self) -> None:
        """Tells the thread, if it waits, that records were settled."""
        if self._starved and self._intake.room() >= self._least_room():
            self._room.set()

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._reading.topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
            while not self._stopping.is_set():
                self._step()
        except FanoutError as error:
            self._runtime.fail(error)
        except KafkaException as error:
            self._runtime.fail(WorkError(f"{self._reading.topic}: {error.args[0].str()}", "see the brokers' logs"))
        except BaseException as error:
            logger.exception("the feed of %s broke", self._reading.topic)
            problem = f"the feed of {self._reading.topic} broke: {type(error).__name__}: {error}"
            self._runtime.fail(WorkError(problem, "this is a fault of fanout; nothing unfinished was committed"))
        finally:
            try:
                self._leave()
            finally:
                self._loop.call_soon_threadsafe(self._ended.set)

    def _step(self) -> None:
        room = self._intake.room()
        if room:
            messages = self._read(min(room, BATCH), IDLE_S)
            self._let_go_on(is_dry=not messages)
            self._take(messages)
        else:
            self._wait_for_room()
        self._commit_if_due()

    def _read(self, most: int, wait_s: float) -> list[Any]:
        """The first record as soon as there is one, and what else has been fetched by then."""
        self._fresh.clear()
        first = self._consumer.poll(wait_s)
        messages = [] if first is None else [first]
        if messages and most > 1:
            messages += self._consumer.consume(most - 1, 0)
        self._heed()
        return self._without_strays(messages) if self._fresh else messages

    def _heed(self) -> None:
        """Raises what a callback of the client could not raise: it would be lost, or met by the client's next call."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _take(self, messages: list[Any]) -> None:
        if not messages:
            return
        runnable, troubled = self._intake.take(messages)
        if runnable:
            self._runtime.offer(runnable)
        for message in troubled:
            self._trouble(message)

    def _without_strays(self, messages: list[Any]) -> list[Any]:
        """Drops what was fetched for an earlier assignment of a partition that was assigned during this very read.

        Such a record lies past the new start. Taken as the first one it would make all before it look like a hole,
        and the commit point would pass them. The partition is read again from its start instead.
        """
        strays = set()
        for message in messages:
            start = self._fresh.pop(message.partition(), None)
            if start is not None and message.error() is None and message.offset() != start:
                strays.add(message.partition())
                self._consumer.seek(TopicPartition(self._reading.topic, message.partition(), start))
        return [message for message in messages if message.partition() not in strays]

    def note_error(self, error: KafkaError) -> None:
        """Keeps what the client says of itself, if it ends the reading: the next read raises it. Else it is logged."""
        if not is_fenced(error):
            logger.error("%s: %s", self._reading.topic, error.str())
        elif self._error is None:
            self._error = self._fenced(error)

    def _fenced(self, error: KafkaError) -> WorkError:
        return WorkError(
            f"group {self._reading.group}: another process reads {self._reading.topic} under this one's "
            f"group.instance.id ({error.str()})",
            "give each host a group.instance.id of its own",
        )

    def _trouble(self, message: Any) -> None:
        error: KafkaError = message.error()
        if is_passing(error):
            logger.warning("%s: %s", self._reading.topic, error.str())
            return
        if is_fenced(error):
            raise self._fenced(error)
        if is_gone(error):
            raise self._starts.gone(self._reading.topic, message)
        raise WorkError(
            f"{self._reading.topic}/{message.partition()}: {error.str()}", "nothing unfinished was committed"
        )

    def _wait_for_room(self) -> None:
        """Waits until enough is settled. Short waits cost no poll; in longer ones the group still hears of us."""
        self._room.clear()
        self._starved = True
        try:
            if self._gets_room_soon():
                return
            self._consumer.pause(self._held())
            while not self._stopping.is_set() and not self._has_room(IDLE_S):
                # Partitions that were assigned meanwhile are not paused: at most one record a poll comes from them.
                self._take(self._read(1, 0))
                self._commit_if_due()
            self._consumer.resume(self._hungry())
            self._held_back_s = time.monotonic()
        finally:
            self._starved = False

    def _gets_room_soon(self) -> bool:
        """Waits without a poll as long as that may last. Commits go on: a kill repeats what none of them covers."""
        until = time.monotonic() + FULL_S
        while not self._has_room(min(FULL_S, self._reading.commit_s)):
            self._commit_if_due()
            if self._stopping.is_set() or time.monotonic() >= until:
                return False
        return True

    def _held(self) -> list[TopicPartition]:
        return [TopicPartition(self._reading.topic, partition) for partition in self._intake.positions()]

    def _let_go_on(self, *, is_dry: bool) -> None:
        """Ends the wait of those that were held back, once the others have nothing more, or theirs has been handled."""
        if self._held_back_s is None or time.monotonic() - self._held_back_s < DRY_S:
            return
        self._held_back_s = None if is_dry else time.monotonic()
        self._consumer.resume(self._held() if is_dry else self._hungry())

    def _hungry(self) -> list[TopicPartition]:
        """Partitions that hold less than their share of what may be in flight; all, if none does.

        The client serves what it fetched of one partition before it turns to the next. Resumed all at once, the first
        would fill the room again and again, and the others would not begin before it ends.
        """
        positions = self._intake.positions()
        share = self._reading.records / max(1, len(positions))
        hungry = [partition for partition, (committed, read) in positions.items() if read - committed < share]
        return [TopicPartition(self._reading.topic, partition) for partition in hungry or positions]

    def _has_room(self, timeout_s: float) -> bool:
        return self._intake.room() >= self._least_room() or self._room.wait(timeout_s)

    def _least_room(self) -> int:
        return max(1, self._reading.records // ROOM_SHARE)

    def _assign(self, _consumer: object, assigned: Assigned) -> None:
        """Takes partitions at what one offset fetch says; the client's own idea of a start is never used."""
        self._note_member()
        partitions = [partition.partition for partition in assigned]
        try:
            places = {} if self._stopping.is_set() else self._starts.of(partitions)
            for partition, (offset, metadata) in places.items():
                self._intake.assign(partition, offset, metadata)
                if self._reading.parking is not None:
                    self._reading.parking.begin(partition, metadata)
        except FanoutError as error:
            self._error = error
            return
        offsets = {partition: offset for partition, (offset, _) in places.items()}
        self._fresh |= offsets
        self.committed |= offsets
        begin = [TopicPartition(self._reading.topic, p, offsets.get(p, OFFSET_END)) for p in partitions]
        if self._reading.cooperative:
            self._consumer.incremental_assign(begin)
        else:
            self._consumer.assign(begin)
        logger.debug("%s: given partitions %s", self._reading.topic, sorted(places))

    def _revoke(self, _consumer: object, revoked: Assigned) -> None:
        try:
            self._give_up([partition.partition for partition in revoked], self._commits.last)
        except FanoutError as error:
            self._error = self._error or error

    def _lose(self, _consumer: object, lost: Assigned) -> None:
        """They belong to another already: whatever is done from here on may not be committed."""
        partitions = [partition.partition for partition in lost]
        assignments = self._intake.close(partitions)
        self._intake.forget(partitions)
        self._wait_released(assignments, 0)
        logger.warning("%s: lost partitions %s", self._reading.topic, partitions)

    def _give_up(self, partitions: list[int], commit: Callable[[], None]) -> None:
        """Waits for what runs, commits, lets go. Results that come later find no ledger."""
        assignments = self._intake.close(partitions)
        try:
            if assignments:
                left_s = self._leave_by - time.monotonic()
                self._wait_released(assignments, max(0.0, min(left_s, self._reading.stop_s)))
                commit()
        finally:
            self._intake.forget(partitions)

    def _wait_released(self, assignments: set[int], timeout_s: float) -> None:
        released = asyncio.run_coroutine_threadsafe(self._runtime.release(assignments, timeout_s), self._loop)
        try:
            left = released.result(timeout_s + IDLE_S)
        except TimeoutError:
            logger.warning("%s: a handler blocks the event loop; its record is read again", self._reading.topic)
            return
        if left:
            logger.warning("%s: %d records still ran; they are read again", self._reading.topic, len(left))

    def _commit_if_due(self) -> None:
        if time.monotonic() >= self._next_commit:
            self._note_member()
            self._commits.commit()
            self._next_commit = time.monotonic() + self._reading.commit_s

    def _note_member(self) -> None:
        member = self._consumer.memberid()
        if member and member != self._member:
            self._member = member
            self.joined(member)

    def _poll_on(self, wait_s: float) -> None:
        """Lets a rebalance go on that waits to be told to us. What is read here is nobody's."""
        self._consumer.poll(wait_s)
        self._heed()

    def _leave(self) -> None:
        """Gives everything up and leaves the group, the second whatever becomes of the first.

        A rebalance that is under way would hold the last commit back, and ends only for members that poll meanwhile.
        It may take as long as running handlers may.
        """
        self._stopping.set()
        self._leave_by = time.monotonic() + self._reading.stop_s
        self._try(lambda: self._poll_on(0))
        self._try(
            lambda: self._give_up(
                list(self._intake.positions()), lambda: self._commits.last(self._leave_by, self._poll_on)
            )
        )
        # The client can hang in here when a rebalance is under way. All is committed by now: the group notices.
        closing = threading.Thread(target=self._try, args=[self._consumer.close], name="leave", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            logger.warning("%s: the group did not let go; it notices at the session timeout", self._reading.topic)

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (FanoutError, KafkaException) as error:
            logger.warning("%s: the group was not left cleanly: %s", self._reading.topic, error)


def _nobody(_member: str) -> None:
    """Nobody asked."""
