"""What becomes of a record after one attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fanout.outcome import Outcome, Reject, Retry, Skip

if TYPE_CHECKING:
    from fanout.app import Handler

__all__ = [
    "UNCLAIMED",
    "Acknowledged",
    "Again",
    "Dead",
    "Failed",
    "Held",
    "Later",
    "Mismatch",
    "Passed",
    "Settled",
    "Unclaimed",
    "Verdict",
    "mismatched",
    "undecodable",
    "verdict_on",
    "words",
]

MESSAGE_CHARS = 1_000

Why = Literal["rejected", "undecodable", "failed", "mismatch", "parked", "killed-worker"]


@dataclass(frozen=True, slots=True)
class Passed:
    """Settled without being handled: `skipped`, or a `tombstone` its handler does not take."""

    outcome: Literal["skipped", "tombstone"]


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt in `delay_s` seconds; the record keeps its place meanwhile."""

    delay_s: float
    cause: BaseException


@dataclass(frozen=True, slots=True)
class Later:
    """Another attempt in `delay_s` seconds, through the retry topic; the record leaves its place."""

    delay_s: float
    cause: BaseException


@dataclass(frozen=True, slots=True)
class Held:
    """Not run: its time comes in `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter. `attempts`: how often it was tried, where others than this process have tried it."""

    why: Why
    message: str
    cause: BaseException
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Its handler has acknowledged it before it ended: there is nothing more to do."""


SETTLED = Settled()


class Failed(Outcome):
    """Answered for one record of a batch: `cause` counts as if its handler had raised it."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Acknowledged(Outcome):
    """Answered for a record that was settled already."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Not run: another process may have taken its claim over meanwhile, so it is claimed anew."""


UNCLAIMED = Unclaimed()

Verdict = Passed | Again | Later | Held | Dead | Settled | Unclaimed


class Mismatch(Exception):  # noqa: N818  never raised: it names why in a dead letter
    """A record bears the id of one that was done, and other content."""


def verdict_on(cause: BaseException, handler: Handler, attempt: int) -> Verdict:
    """What `cause`, raised by attempt number `attempt`, means for the record."""
    if isinstance(cause, Failed):
        cause = cause.cause
    match cause:
        case Acknowledged():
            return SETTLED
        case Skip():
            return Passed("skipped")
        case Reject(reason=reason):
            return _dead(Dead("rejected", str(reason)[:MESSAGE_CHARS], cause), handler, attempt)
        case Retry(after=after):
            return _again(handler.retry.delay(attempt) if after is None else after, cause, handler)
        case Outcome():
            raise TypeError(f"no rule for the outcome {cause!r}") from cause
    if attempt < handler.retry.attempts:
        return _again(handler.retry.delay(attempt), cause, handler)
    return _dead(Dead("failed", words(cause), cause), handler, attempt)


def undecodable(cause: Exception, handler: Handler, attempt: int) -> Verdict:
    """A value that cannot be decoded stays so: there is no second attempt while dead letters have a place."""
    return _dead(Dead("undecodable", words(cause), cause), handler, attempt)


def mismatched(handler: Handler, attempt: int) -> Verdict:
    """One id for two contents: which of them is meant, only people can say."""
    cause = Mismatch("its id belongs to a record with other content that was done before")
    return _dead(Dead("mismatch", words(cause), cause), handler, attempt)


def _dead(dead: Dead, handler: Handler, attempt: int) -> Verdict:
    if handler.dead_letters is not None:
        return dead
    # Without a place for dead letters the record keeps its own, and is tried ever more rarely.
    return _again(handler.retry.delay(max(attempt, handler.retry.attempts)), dead.cause, handler)


def _again(delay_s: float, cause: BaseException, handler: Handler) -> Verdict:
    return Again(delay_s, cause) if handler.retry_topic is None else Later(delay_s, cause)


def words(cause: BaseException) -> str:
    """Type and text of an error, short enough for a header whatever it says."""
    try:
        text = str(cause)
    except Exception as unreadable:  # noqa: BLE001  its text comes from the application's own code
        text = f"(its text raised {type(unreadable).__name__})"
    return f"{type(cause).__name__}: {text}"[:MESSAGE_CHARS]
