"""
What a handler can say of a record besides being done with it, and how often it is tried.

A handler returns: the record is done. It raises one of these: that becomes of it.
It raises anything else: it is tried again as `Backoff` says, then it is a dead letter.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from fanout.errors import ConfigError

__all__ = ["Backoff", "Outcome", "Reject", "Retry", "Skip"]


class Outcome(Exception):  # noqa: N818  a handler raises it to answer, not because something broke
    """Base of what a handler raises to answer."""


class Retry(Outcome):
    """Try this record again, as often as it takes; those behind it in its order wait.

    `after`: seconds to wait; None lets the handler's `Backoff` say.
    """

    def __init__(self, after: float | None = None) -> None:
        super().__init__(after)
        self.after = after


class Reject(Outcome):
    """This record cannot be handled: it is a dead letter now, with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Skip(Outcome):
    """Nothing is to be done for this record; it counts as settled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How a failed record is tried again: `attempts` times in all, waiting twice as long each time.

    `base`: seconds before the second attempt. `max`: the longest wait, in seconds. A quarter of each wait is
    left to chance, so that records which failed together do not come back together.
    """

    base: float = 1.0
    max: float = 60.0
    attempts: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.base) and math.isfinite(self.max) and 0 <= self.base <= self.max):
            raise ConfigError("retry", f"waits are 0 <= base <= max seconds, not base={self.base}, max={self.max}")
        if self.attempts < 1:
            raise ConfigError("retry", f"a record is tried at least once, not {self.attempts} times")

    def delay(self, attempt: int) -> float:
        """Seconds to wait after attempt number `attempt` failed, the first being 1."""
        whole = min(self.max, self.base * 2.0 ** min(attempt - 1, 60))
        return whole * random.uniform(0.75, 1.0)  # noqa: S311  spreads load, guards nothing
