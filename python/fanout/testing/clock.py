"""Time that moves when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Any

__all__ = ["FakeClock"]

NEVER = float("inf")
FOREVER_S = 1e18


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


class Glances:
    """The same clock, for who only looks again whether something has changed.

    It halts for a look only after `stir`: else a record whose id is being done would be asked for every second, while
    the one that does it waits a day for its retry.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._stirs = 0
        self._waiting: list[tuple[int, FakeTimer]] = []

    def stir(self) -> None:
        """Tells that something has happened: who looks again may see something new."""
        self._stirs += 1

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> FakeTimer:
        """Calls when the clock has moved on by `delay_s` seconds and something has happened."""
        timer = FakeTimer(self._clock.time() + delay_s, lambda: call(*arguments))
        self._waiting.append((self._stirs, timer))
        return timer

    def next_at(self) -> float:
        """When the first look is due that may see something new."""
        return min((timer.at for timer in self._worth()), default=NEVER)

    def look(self) -> None:
        """Calls who is due now."""
        due = [timer for timer in self._worth() if timer.at <= self._clock.time()]
        self._waiting = [(stirs, timer) for stirs, timer in self._waiting if timer not in due]
        for timer in due:
            timer.call()

    def now_s(self) -> float:
        """As on the clock."""
        return self._clock.now_s()

    def timeout(self, delay_s: float) -> FakeLimit:
        """As the clock does it."""
        return self._clock.timeout(delay_s)

    def _worth(self) -> list[FakeTimer]:
        return [timer for stirs, timer in self._waiting if stirs != self._stirs and not timer.is_cancelled]


class FakeClock:
    """Seconds since the test began, as retries, waits for batches, timeouts of handlers and done markers see them.

    A handler's own `asyncio.sleep` takes its time.
    """

    def __init__(self, rest: Callable[[], Awaitable[None]]) -> None:
        self._rest = rest
        self._began_s = time.time() // 1
        self._now = 0.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._number = count()
        self.glances = Glances(self)

    def time(self) -> float:
        """Seconds that have passed on this clock."""
        return self._now

    def now_s(self) -> float:
        """The time of day on this clock, in seconds since 1970."""
        return self._began_s + self._now

    async def advance(self, seconds: float) -> None:
        """Lets time pass: what is due by then happens in its order, each thing at its own time."""
        until = self._now + seconds
        while self.jump(until):
            await self._rest()
        self._now = until

    def jump(self, until: float = FOREVER_S) -> bool:
        """Moves to what is due next, at `until` at the latest, and lets it happen; False when nothing is."""
        timer_at = self._next_at()
        at = min(timer_at, self.glances.next_at())
        if at > until:
            return False
        self._now = max(self._now, at)
        if timer_at == at:
            heappop(self._timers)[2].call()
        self.glances.look()
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
        return self._timers[0][0] if self._timers else NEVER
