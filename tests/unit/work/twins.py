"""A consumer that keeps its topic in memory, with the calls and the order of events of the real one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from .records import end_of_partition, message


class TwinConsumer:
    """One topic, `orders`. What the group does is done by `rebalance`; it reaches the callbacks in the next poll.

    `ends`: high watermarks that lie past the last record, over markers.
    """

    def __init__(self, records: dict[int, list[Any]], ends: dict[int, int] | None = None) -> None:
        self.records = records
        self.ends = ends or {}
        self.positions: dict[int, int] = {}
        self.paused: set[int] = set()
        self.commits: list[tuple[int, int, str | None]] = []
        self.refusals: deque[KafkaException] = deque()
        self.strays: list[Any] = []
        self.calls: list[str] = []
        self.closed = False
        self._events: deque[tuple[str, list[int]]] = deque()
        self._callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self._told_end: dict[int, int] = {}
        self._lock = threading.Lock()

    def rebalance(self, event: str, partitions: list[int]) -> None:
        """`on_assign`, `on_revoke` or `on_lost`."""
        self._events.append((event, partitions))

    def append(self, partition: int, record: Any) -> None:
        """A record written while the consumer runs."""
        self.records[partition].append(record)

    def subscribe(self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> None:
        assert topics == ["orders"]
        self._callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}

    def poll(self, timeout: float) -> Any | None:
        self._serve()
        found = self.consume(1, 0)
        if not found:
            time.sleep(min(timeout, 0.005))
        return found[0] if found else None

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        del timeout
        found, self.strays = self.strays[:num_messages], self.strays[num_messages:]
        for partition, position in list(self.positions.items()):
            if partition in self.paused:
                continue
            later = [one for one in self.records[partition] if one.offset() >= position]
            taken = later[: num_messages - len(found)]
            found += taken
            if taken:
                self.positions[partition] = taken[-1].offset() + 1
            elif len(found) < num_messages:
                found += self._end(partition, max(position, self.ends.get(partition, 0)))
        return found

    def _end(self, partition: int, position: int) -> list[Any]:
        """Tells an end once, and goes on behind it."""
        self.positions[partition] = position
        if self._told_end.get(partition) == position:
            return []
        self._told_end[partition] = position
        return [end_of_partition(position, partition=partition)]

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions = {one.partition: one.offset for one in partitions}

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.positions |= {one.partition: one.offset for one in partitions}

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.calls.append("pause")
        self.paused |= {one.partition for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.calls.append("resume")
        self.paused -= {one.partition for one in partitions}

    def seek(self, partition: TopicPartition) -> None:
        self.calls.append(f"seek {partition.partition}@{partition.offset}")
        self.positions[partition.partition] = partition.offset

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        assert not self.closed
        if self.refusals:
            raise self.refusals.popleft()
        self.commits += [(one.partition, one.offset, one.metadata) for one in offsets]
        return offsets

    def memberid(self) -> str:
        return "twin-1"

    def close(self) -> None:
        self.closed = True

    def _serve(self) -> None:
        while self._events:
            event, partitions = self._events.popleft()
            given = [TopicPartition("orders", partition) for partition in partitions]
            try:
                self._callbacks[event](self, given)
            except Exception as error:
                # The real one calls what is next with the exception set, which Python may call a fault of its own.
                raise SystemError(f"{event} raised") from error
            if event != "on_assign":
                for partition in partitions:
                    self.positions.pop(partition, None)


class TwinCluster:
    """Committed offsets and log starts, as the core would answer."""

    def __init__(self, committed: dict[int, tuple[int, str]], starts: dict[int, int] | None = None) -> None:
        self.places = committed
        self.starts = starts or {}
        self.asked: list[str] = []

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        self.asked.append(f"committed {group} {topic}")
        return dict(self.places)

    def offsets(self, topic: str, at: str) -> dict[int, int]:
        self.asked.append(f"offsets {topic} {at}")
        return dict(self.starts)


def records_of(partition: int, offsets: range) -> list[Any]:
    """Records of one partition, a key each."""
    return [message(offset, partition=partition, key=b"key-%d" % offset, value=b"%d" % offset) for offset in offsets]
