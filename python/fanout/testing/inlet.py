"""A topic that is a list, and the runtime that works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fanout._fanout import Intake
from fanout.work.runtime import Parts, Runtime

if TYPE_CHECKING:
    from fanout.app import Handler
    from fanout.work.attempt import Attempt
    from fanout.work.retry import Verdict

__all__ = ["Inlet"]

PLENTY = (1_000_000, 1 << 40)


class Inlet:
    """What a handler gets its records from: its own topic, or its retry topic. `offset` is where the next one goes."""

    def __init__(self, topic: str, handler: Handler) -> None:
        self.topic = topic
        self.offset = 0
        self.threads = ThreadPoolExecutor(handler.concurrency, f"handler-{topic}")
        self.intake = Intake(topic, handler.order_by, limits=PLENTY)
        self.intake.assign(0, 0, "")
        self._attempting = 0
        self._parts: Parts
        self._runtime: Runtime

    def start(self, parts: Parts, changed: Callable[[], None]) -> None:
        """Begins to work; `changed` is told whenever records were settled, and of what stops it."""
        self._parts = parts
        self._runtime = Runtime(parts, changed)
        self._runtime.failed.add_done_callback(lambda _: changed())
        self._runtime.start()

    def put(self, records: Sequence[Any]) -> None:
        """Appends records, as one read brings them; what is settled by then is committed."""
        self._commit()
        self.offset += len(records)
        runnable, _ = self.intake.take(list(records))
        self._runtime.offer(runnable)

    def counted(self, attempt: Attempt) -> Attempt:
        """`attempt`, known to be under way."""

        async def counted(raw: Any, number: int) -> Verdict | None:
            self._attempting += 1
            try:
                return await attempt(raw, number)
            finally:
                self._attempting -= 1

        return counted

    def is_quiet(self) -> bool:
        """Whether nothing happens before time passes: what is not settled waits for a retry, its batch or its id."""
        claims, unsettled = self._runtime.claims, self.intake.in_flight()[0]
        at_rest = self._runtime.parked_count() + self._attempting + (0 if claims is None else claims.waiting())
        return not self.is_asking() and (unsettled == at_rest or self._runtime.holds_back())

    def is_asking(self) -> bool:
        """Whether the store of claims is about to answer."""
        claims = self._runtime.claims
        return claims is not None and claims.underway() > claims.waiting()

    def check(self) -> None:
        """Raises what stopped the work, if something has."""
        if self._runtime.failed.done():
            raise self._runtime.failed.result()

    async def stop(self) -> None:
        """Ends what still runs."""
        await self._runtime.leave()
        self._runtime.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _commit(self) -> None:
        """Nobody reads the metadata again, but the keys that are free below it are forgotten as it is written."""
        for partition, point, _ in self.intake.due():
            if self._parts.parking is not None:
                self._parts.parking.metadata(partition, point)
            self.intake.committed(partition, point)
