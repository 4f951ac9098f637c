"""Where waits come from, so that a test need not wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

__all__ = ["Clock", "Limit", "LoopClock", "Timer"]


class Timer(Protocol):
    """Something that is due later."""

    def cancel(self) -> None:
        """It will not happen."""


class Limit(Protocol):
    """A stretch of time around a body: what takes longer is cancelled, and raises TimeoutError."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def expired(self) -> bool:
        """Whether the time was over before the body."""


class Clock(Protocol):
    """What the runtime and its attempts wait with."""

    def now_s(self) -> float:
        """The time of day, in seconds since 1970."""

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> Timer:
        """Calls in `delay_s` seconds, on the event loop."""

    def timeout(self, delay_s: float) -> Limit:
        """What is entered at once may take `delay_s` seconds."""


class LoopClock:
    """The event loop's own time."""

    def now_s(self) -> float:
        """As everybody has it."""
        return time.time()

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> Timer:
        """As the loop does it."""
        return asyncio.get_running_loop().call_later(delay_s, call, *arguments)

    def timeout(self, delay_s: float) -> Limit:
        """As asyncio does it."""
        return asyncio.timeout(delay_s)
