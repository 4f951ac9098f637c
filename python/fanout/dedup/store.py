"""What a store of claims and done markers offers, and the one way in which all of them are claimed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

from fanout.errors import FanoutError

__all__ = [
    "NO_HASH",
    "OWNER_LIFE_S",
    "Answer",
    "Claim",
    "Completion",
    "DedupStore",
    "Entry",
    "StoreError",
    "claim",
    "owner_of",
]

OWNER_LIFE_S = 10.0
"""How long an owner is believed to live after its last word."""

NO_HASH = b"-"
"""In place of a content hash where the key itself says that two records are one."""


class StoreError(FanoutError):
    """The store did not answer, or could not do what was asked. The same request, sent again, does no harm."""

    exit_code = 75
    retriable = True

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Claim(NamedTuple):
    """`token` is `<owner>:<record>`, without a blank: kept over retries, different for two records of one key."""

    key: bytes
    token: bytes
    hash: bytes = NO_HASH


class Answer(IntEnum):
    """What a claim was answered. BUSY means later, never done."""

    RUN = 1
    DONE = 2
    MISMATCH = 3
    BUSY = 4


class Completion(IntEnum):
    """What a completion was answered. LOST: another owner has the claim, and nothing was touched."""

    OK = 1
    ALREADY = 2
    LOST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a store knows of one key. `token` is None for a done marker; `expires_s` counts from now."""

    key: bytes
    token: bytes | None
    hash: bytes
    is_owner_alive: bool
    expires_s: float

    @property
    def state(self) -> Literal["claimed", "done"]:
        return "done" if self.token is None else "claimed"

    @property
    def owner(self) -> str | None:
        """Whose claim it is; None for a done marker."""
        return None if self.token is None else owner_of(self.token).decode(errors="replace")


class DedupStore(Protocol):
    """Claims and done markers of all workers. Lists in, lists of as many answers out; every call may raise StoreError.

    A store serves one thread at a time.
    """

    def renew(self, owner: str, life_s: float) -> None:
        """Has `owner` counted as alive for `life_s` from now on."""

    def alive(self, owners: Sequence[bytes]) -> set[bytes]:
        """Those of `owners` that are."""

    def retire(self, owner: str) -> None:
        """Ends the life of `owner` now. Its claims may be taken over."""

    def ask(self, claims: Sequence[Claim], gone: Sequence[bytes]) -> list[Answer | bytes]:
        """Claims each key. Where another token holds it, the answer is that token, unless it is the one in `gone`:
        such a claim is taken over in the same step.
        """

    def complete(self, claims: Sequence[Claim]) -> list[Completion]:
        """Marks each key done for the window."""

    def release(self, claims: Sequence[Claim]) -> None:
        """Deletes the claims that are still held by these tokens."""

    def look(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """What is known of each key."""

    def forget(self, seen: Sequence[Entry]) -> list[bool]:
        """Deletes each of these that is still the same claim or mark, and says of each whether it was."""

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        """Every key that begins with `prefix`, in no order. Keys may come and go meanwhile."""

    def owners(self) -> list[str]:
        """Owners that are alive."""

    def close(self) -> None:
        """Lets the connection go."""


def owner_of(token: bytes) -> bytes:
    """The owner whose token this is."""
    return token.partition(b":")[0]


def claim(store: DedupStore, claims: Sequence[Claim]) -> list[Answer]:
    """Claims each key, taking over from owners that are gone.

    The owner is asked for after its claim was seen, and its claim is taken only if it is still the one that was seen:
    an owner that comes back in between keeps nothing that it could complete without being refused.
    """
    answers = store.ask(claims, [b""] * len(claims))
    held = [at for at, answer in enumerate(answers) if isinstance(answer, bytes)]
    if held:
        tokens = {at: token for at in held if isinstance(token := answers[at], bytes)}
        alive = store.alive(sorted({owner_of(token) for token in tokens.values()}))
        orphaned = [at for at, token in tokens.items() if owner_of(token) not in alive]
        if orphaned:
            taken = store.ask([claims[at] for at in orphaned], [tokens[at] for at in orphaned])
            for at, answer in zip(orphaned, taken, strict=True):
                answers[at] = answer
    return [Answer.BUSY if isinstance(answer, bytes) else answer for answer in answers]
