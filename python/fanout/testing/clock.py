"""Time that moves when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Any

__all__ = ["FakeClock"]


class FakeTimer:
    """Something that is due at `at`."""

    __slots__ = ("at", "call", "is_cancelled")

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at = at
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        """It will not happen."""
        self.is_cancelled = True


class FakeLimit:
    """A timeout that is over when its time has passed on this clock or in fact, whichever comes first."""

    def __init__(self, clock: FakeClock, delay_s: float) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._limit = asyncio.timeout(delay_s)

    async def __aenter__(self) -> FakeLimit:
        await self._limit.__aenter__()
        self._timer = self._clock.call_later(self._delay_s, self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def expired(self) -> bool:
        """Whether the time was over before the body."""
        return self._limit.expired()

    def _expire(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())


class FakeClock:
    """Seconds since the test began, as retries, waits for batches and timeouts of handlers see them.

    A handler's own `asyncio.sleep` takes its time.
    """

    def __init__(self, rest: Callable[[], Awaitable[None]]) -> None:
        self._rest = rest
        self._now = 0.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._number = count()

    def time(self) -> float:
        """Seconds that have passed on this clock."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Lets time pass: what is due by then happens in its order, each thing at its own time."""
        until = self._now + seconds
        while self._next_at() <= until:
            self.jump()
            await self._rest()
        self._now = until

    def jump(self) -> bool:
        """Moves to what is due next, and lets it happen; False when nothing is."""
        if self._next_at() == float("inf"):
            return False
        at, _, timer = heappop(self._timers)
        self._now = max(self._now, at)
        timer.call()
        return True

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> FakeTimer:
        """Calls when this clock has moved on by `delay_s` seconds."""
        timer = FakeTimer(self._now + delay_s, lambda: call(*arguments))
        heappush(self._timers, (timer.at, next(self._number), timer))
        return timer

    def timeout(self, delay_s: float) -> FakeLimit:
        """What is entered at once may take `delay_s` seconds."""
        return FakeLimit(self, delay_s)

    def _next_at(self) -> float:
        while self._timers and self._timers[0][2].is_cancelled:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")
