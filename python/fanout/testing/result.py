"""What a test can ask of a record that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fanout.message import Headers
from fanout.work.retry import Again, Dead, Held, Later, Passed, Settled, Unclaimed, Verdict, Why

__all__ = ["DeadLetter", "Ending", "Result", "Retried", "State"]

Ending = Literal["done", "skipped", "tombstone", "repeated", Why, "retrying", "waiting"]
"""`repeated`: done before, and not run again. `parked`: behind a dead letter of its key. `retrying`: not settled after
as many attempts as the test allows. `waiting`: behind one of its order, or of its id, that is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of one record: how it ended, after how many attempts, and what it last failed with."""

    id: str
    outcome: Ending
    attempts: int
    error: BaseException | None

    @property
    def reason(self) -> str:
        """The last error in words; empty if there was none."""
        return "" if self.error is None else str(self.error)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A record as it would have been written to `topic`."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """One attempt that failed and was tried again, `delay_s` seconds later."""

    id: str
    attempt: int
    delay_s: float
    error: BaseException


class State:
    """One record on its way."""

    __slots__ = ("attempts", "error", "id", "outcome")

    def __init__(self, name: str) -> None:
        self.id = name
        self.attempts = 0
        self.outcome: Ending = "waiting"
        self.error: BaseException | None = None

    def take(self, attempt: int, verdict: Verdict | None) -> None:
        """Notes what one attempt came to."""
        self.attempts = attempt
        match verdict:
            case None | Settled():
                self.outcome = "done"
            case Passed(outcome=outcome):
                self.outcome = outcome
            case Again(cause=cause) | Later(cause=cause):
                self.outcome, self.error = "retrying", cause
            case Dead(why=why, cause=cause):
                self.outcome, self.error = why, cause
            case Held() | Unclaimed():
                raise TypeError(f"{verdict} is not what an attempt of a test comes to")

    def repeat(self) -> None:
        """Notes that it was done before."""
        self.outcome = "repeated"

    def is_over(self, most_attempts: int) -> bool:
        """Whether nothing more is to be waited for."""
        return self.outcome != "waiting" and (self.outcome != "retrying" or self.attempts >= most_attempts)

    def result(self) -> Result:
        """As it stands."""
        return Result(id=self.id, outcome=self.outcome, attempts=self.attempts, error=self.error)
