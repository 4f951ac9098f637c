"""
A fixed pool of tasks that run a handler, and what they hand back.

No task is made per record: a slot lives as long as its worker and awaits the handler
in its own task, so that `asyncio.timeout` inside a handler bounds that handler alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .board import FREE, PLACE, Row, row
from .ready import Ready, Runnable

if TYPE_CHECKING:
    from .attempt import Attempt
    from .retry import Verdict

__all__ = ["Slots"]

YIELD_AFTER = 64
"""A handler that never waits would keep its slot, and the whole loop with it, until nothing is left to run."""


class Slots:
    """Runs records that may run, as many at once as there are slots.

    `attempt` runs one record; `other` is awaited, in the slot, with every answer but plain success.
    `settle` is called once per turn of the loop in which a record was done. `places` is where each slot writes which
    record it runs.
    """

    def __init__(
        self,
        count: int,
        attempt: Attempt,
        other: Callable[[int, Any, Verdict], Awaitable[None]],
        places: Row | None = None,
    ) -> None:
        self.ready = Ready()
        self.done: list[int] = []
        self.tries: dict[int, int] = {}
        """How often a record was tried before, of those that were."""
        self._running: list[Runnable | None] = [None] * count
        self._places = row(count) if places is None else places
        self._idle: deque[asyncio.Future[None]] = deque()
        self.attempt = attempt
        """How a record is run. Another one counts from the next record on."""
        self._other = other
        self._settle: Callable[[], None] = _nothing
        self._settling = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, settle: Callable[[], None], fail: Callable[[asyncio.Task[None]], None]) -> None:
        """Starts the slots; `fail` is told of one that ends."""
        self._settle = settle
        self._tasks = [asyncio.create_task(self._slot(number)) for number in range(len(self._running))]
        for task in self._tasks:
            task.add_done_callback(fail)

    def stop(self) -> None:
        """Cancels what still runs."""
        for task in self._tasks:
            task.cancel()

    def offer(self, runnable: list[Runnable]) -> None:
        """Queues records that may run, and wakes as many slots."""
        for one in runnable:
            self.ready.add(one)
        for _ in range(min(len(runnable), len(self._idle))):
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def running(self) -> list[int]:
        """Records whose handlers run now."""
        return [one[0] for one in self._running if one is not None]

    def run_by(self, task: asyncio.Task[Any] | None) -> Any | None:
        """The message whose handler `task` runs, if it is one of the slots. From any thread."""
        return next(
            (one[1] for one, slot in zip(self._running, self._tasks, strict=False) if slot is task and one is not None),
            None,
        )

    def own_record(self) -> int:
        """The record of the slot that asks."""
        task = asyncio.current_task()
        pairs = zip(self._running, self._tasks, strict=True)
        return next(one[0] for one, slot in pairs if slot is task and one is not None)

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Forgets the records that wait and are gone; what runs is left alone."""
        self.ready.drop(gone)
        for record in [record for record in self.tries if gone(record)]:
            del self.tries[record]

    def settle_soon(self) -> None:
        """Has `settle` called once before this turn of the loop is over."""
        if not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_soon(self._settle_now)

    def _settle_now(self) -> None:
        self._settling = False
        self._settle()

    async def _slot(self, number: int) -> None:
        ready, done, tries, running = self.ready, self.done, self.tries, self._running
        streak, places, place = 0, self._places, number * PLACE
        while True:
            if not ready:
                streak = 0
                await self._next()
                continue
            running[number] = record, message = ready.take()
            places[place + 1] = message.offset()
            places[place] = message.partition()
            verdict = await self.attempt(message, tries.get(record, 0) + 1 if tries else 1)
            if verdict is None:
                done.append(record)
                if tries:
                    tries.pop(record, None)
            else:
                await self._other(record, message, verdict)
            running[number] = None
            places[place] = FREE
            if not self._settling:
                self.settle_soon()
            streak += 1
            if streak == YIELD_AFTER:
                streak = 0
                await asyncio.sleep(0)

    async def _next(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        await waiter


def _nothing() -> None:
    """Before the start there is nothing to settle."""
