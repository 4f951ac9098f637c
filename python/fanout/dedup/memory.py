"""Claims in the memory of one process: for tests, and to see what the others must do."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .store import Answer, Claim, Completion, Entry, owner_of

__all__ = ["MemoryStore", "Table"]

SWEPT = 2
"""How many expired keys each one written sweeps out: more than it adds, so none pile up, and no call takes long."""


@dataclass(slots=True)
class Kept:
    """One key: held by `token`, or done where it is None; either way until `until`."""

    token: bytes | None
    hash: bytes
    until: float


@dataclass(slots=True)
class Table:
    """What all stores of one process share. `clock` gives seconds.

    `kept` is in the order in which it was written: in that of its end, since all of them have one window.
    """

    clock: Callable[[], float] = time.monotonic
    kept: OrderedDict[bytes, Kept] = field(default_factory=OrderedDict)
    owners: dict[bytes, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, key: bytes) -> Kept | None:
        """What stands at `key` now."""
        kept = self.kept.get(key)
        if kept is not None and kept.until <= self.clock():
            del self.kept[key]
            return None
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        """Writes `key`, and sweeps out the oldest of what is over."""
        now = self.clock()
        for old in [old for old, one in islice(self.kept.items(), SWEPT) if one.until <= now]:
            del self.kept[old]
        self.kept[key] = kept
        self.kept.move_to_end(key)


class MemoryStore:
    """A `DedupStore` over a table that may be shared."""

    def __init__(self, window_s: float, table: Table | None = None) -> None:
        self._window_s = window_s
        self._table = table or Table()

    def renew(self, owner: str, life_s: float) -> None:
        with self._table.lock:
            now = self._table.clock()
            for gone in [gone for gone, until in self._table.owners.items() if until <= now]:
                del self._table.owners[gone]
            self._table.owners[owner.encode()] = now + life_s

    def alive(self, owners: Sequence[bytes]) -> set[bytes]:
        with self._table.lock:
            now = self._table.clock()
            return {owner for owner in owners if self._table.owners.get(owner, now) > now}

    def retire(self, owner: str) -> None:
        with self._table.lock:
            self._table.owners.pop(owner.encode(), None)

    def ask(self, claims: Sequence[Claim], gone: Sequence[bytes]) -> list[Answer | bytes]:
        with self._table.lock:
            return [self._ask(one, dead) for one, dead in zip(claims, gone, strict=True)]

    def complete(self, claims: Sequence[Claim]) -> list[Completion]:
        with self._table.lock:
            return [self._complete(one) for one in claims]

    def release(self, claims: Sequence[Claim]) -> None:
        with self._table.lock:
            for one in claims:
                kept = self._table.at(one.key)
                if kept is not None and kept.token == one.token:
                    del self._table.kept[one.key]

    def look(self, keys: Sequence[bytes]) -> list[Entry | None]:
        found = []
        with self._table.lock:
            kept = {key: self._table.at(key) for key in keys}
        for key in keys:
            one = kept[key]
            found.append(None if one is None else self._entry(key, one))
        return found

    def forget(self, seen: Sequence[Entry]) -> list[bool]:
        with self._table.lock:
            return [self._forget(one) for one in seen]

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        with self._table.lock:
            now = self._table.clock()
            found = [key for key, kept in self._table.kept.items() if key.startswith(prefix) and kept.until > now]
        yield from found

    def owners(self) -> list[str]:
        with self._table.lock:
            now = self._table.clock()
            return sorted(owner.decode() for owner, until in self._table.owners.items() if until > now)

    def close(self) -> None:
        """Nothing is open."""

    def _ask(self, one: Claim, gone: bytes) -> Answer | bytes:
        kept = self._table.at(one.key)
        if kept is not None:
            if kept.token is None:
                return Answer.DONE if kept.hash == one.hash else Answer.MISMATCH
            if kept.token == one.token:
                return Answer.RUN
            if kept.token != gone:
                return kept.token
        self._table.put(one.key, Kept(one.token, one.hash, self._table.clock() + self._window_s))
        return Answer.RUN

    def _complete(self, one: Claim) -> Completion:
        kept = self._table.at(one.key)
        if kept is not None:
            if kept.token is None:
                return Completion.ALREADY
            if kept.token != one.token:
                return Completion.LOST
        self._table.put(one.key, Kept(None, one.hash, self._table.clock() + self._window_s))
        return Completion.OK

    def _forget(self, seen: Entry) -> bool:
        kept = self._table.at(seen.key)
        if kept is None or (kept.token, kept.hash) != (seen.token, seen.hash):
            return False
        del self._table.kept[seen.key]
        return True

    def _entry(self, key: bytes, kept: Kept) -> Entry:
        return Entry(
            key=key,
            token=kept.token,
            hash=kept.hash,
            is_owner_alive=kept.token is not None and bool(self.alive([owner_of(kept.token)])),
            expires_s=kept.until - self._table.clock(),
        )
