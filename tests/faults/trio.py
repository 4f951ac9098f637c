"""Three brokers behind proxies with a forwarder at work on them, and who plays which part right now."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from commands import Running, fanout
from oracle.ends import Ends

from .world import Faulty, Road

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


__all__ = ["ONE_EACH", "PARTS", "Trio"]

ONE_EACH = {"transaction.state.log.num.partitions": "1", "offsets.topic.num.partitions": "1"}
"""With one partition its leader is the coordinator of every transaction, or group."""

T = TypeVar("T")

PARTS = ("source", "target", "transactions", "groups", "controller")
AIM_S = 2.0
RESUME_BUDGET_S = 90.0
START_BUDGET_S = 90.0
"""A process, an interpreter and the first look at three young brokers: how long that takes is not what is measured."""
SETTLE_BUDGET_S = 180.0


class Trio:
    """A road over three replicas; its forwarder runs until the block ends, or is killed and started again."""

    def __init__(self, faulty: Faulty, *more: str) -> None:
        self.faulty = faulty
        self.cluster = faulty.cluster
        self.bootstrap = faulty.direct
        self.recoveries: list[float] = []
        """Seconds from each fault's end until the target grew again."""
        self.road = Road.laid(self.bootstrap, targets=4)
        self.arguments = (*self.road.arguments, *more)
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self._stack = ExitStack()
        self.running: Running

    def __enter__(self) -> Self:
        self._ends = self._stack.enter_context(Ends(self.bootstrap, self.road.target))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running.kill()
        self._stack.close()

    def start(self) -> None:
        """Starts the forwarder."""
        self.running = self._stack.enter_context(Running(self.faulty.bootstrap, *self.arguments))

    def finish(self, *, placed: bool = True) -> None:
        """Ends the daemon, carries what is left and compares everything."""
        self.running.kill()
        fanout(self.faulty.bootstrap, *self.arguments, "--until", "end").require()
        self.road.prove(placed=placed)

    def visible(self) -> int:
        """What read_committed readers of the target see."""
        return sum(patiently(self._ends.stable).values())

    def wait_for_more(self, budget_s: float = START_BUDGET_S) -> float:
        """Seconds until readers see more than now."""
        began, before = time.monotonic(), self.visible()
        self.wait("the target grows", lambda: self.visible() > before, budget_s)
        return time.monotonic() - began

    def holds_acknowledged(self) -> bool:
        """Whether acknowledged records lie in a transaction that has not ended."""
        stable, high = patiently(self._ends.stable), patiently(self._ends.high)
        return any(stable[partition] < high[partition] for partition in high)

    def kill_forwarder(self) -> bool:
        """SIGKILL, best within a transaction, and a new one; whether one was open then with acknowledged records."""
        deadline = time.monotonic() + AIM_S
        while not self.holds_acknowledged() and time.monotonic() < deadline:
            pass
        self.running.kill()
        held = self.holds_acknowledged()
        self.start()
        self.resumes()
        return held

    def resumes(self) -> None:
        """Notes how long the forwarder takes to go on from now."""
        self.recoveries.append(self.wait_for_more(RESUME_BUDGET_S))

    def wait(self, what: str, holds: Callable[[], bool], budget_s: float) -> None:
        """Waits for it; the forwarder must not end meanwhile."""
        deadline = time.monotonic() + budget_s
        while not holds():
            assert self.running.runs, self.running.wait().err
            assert time.monotonic() < deadline, f"not within {budget_s:g} s: {what}\n{self.running.said()[-3000:]}"
            time.sleep(0.05)

    def parts(self) -> dict[str, int]:
        """Which node leads what."""
        leads = patiently(lambda: self._admin.list_topics(timeout=10)).topics
        names = {
            "source": self.road.source,
            "target": self.road.target,
            "transactions": "__transaction_state",
            "groups": "__consumer_offsets",
        }
        parts = {part: leads[name].partitions[0].leader for part, name in names.items()}
        return parts | {"controller": self._controller()}

    def _controller(self) -> int:
        """Which node leads the quorum. One is kept from its turn, and for a moment there is no leader."""
        deadline = time.monotonic() + RESUME_BUDGET_S
        while True:
            quorum = self.cluster.tool("kafka-metadata-quorum", ["describe", "--status"])
            if (found := re.search(r"LeaderId:\s+(\d+)", quorum)) is not None:
                return int(found[1])
            assert time.monotonic() < deadline, quorum

    def settle(self) -> None:
        """Until every replica of every partition is in sync again: the next fault must not be one too many."""
        self.wait("all replicas are in sync", self._in_sync, SETTLE_BUDGET_S)

    def _in_sync(self) -> bool:
        topics = patiently(lambda: self._admin.list_topics(timeout=10)).topics.values()
        return all(len(one.isrs) == 3 and one.leader > 0 for topic in topics for one in topic.partitions.values())


def patiently(ask: Callable[[], T]) -> T:
    """Asks again while the client still holds on to a broker that was killed."""
    deadline = time.monotonic() + RESUME_BUDGET_S
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
