"""
Claims in a SQLite file: for the processes of one host, without a server.

Each batch that writes is one immediate transaction, so that processes take turns and see each other's claims whole.
What only looks takes no turn: it sees the file as it was when it began, and holds nobody up. Times are those of the
host's clock, which all of them share.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .store import Answer, Claim, Completion, Entry, StoreError, owner_of

__all__ = ["SqliteStore"]

WAIT_S = 5.0
"""How long a batch waits for the batches of other processes."""

RETRY_S = 0.01
"""How often a new file is tried again that another process is setting up."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, token BLOB, hash BLOB NOT NULL, until REAL NOT NULL) "
    "WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS kept_until ON kept (until)",
    "CREATE TABLE IF NOT EXISTS owners (owner BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
)
PUT = (
    "INSERT INTO kept (key, token, hash, until) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET token = excluded.token, hash = excluded.hash, until = excluded.until"
)
TAKE_TURNS, LOOK = "BEGIN IMMEDIATE", "BEGIN DEFERRED"

SWEPT = 1_000
"""How many expired keys one renewal deletes: no batch waits long behind it."""


class SqliteStore:
    """A `DedupStore` in one file. A token of NULL is a done marker."""

    def __init__(self, path: str, window_s: float, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._window_s = window_s
        self._clock = clock
        self._opened: sqlite3.Connection | None = None

    def renew(self, owner: str, life_s: float) -> None:
        with self._transaction() as now:
            self._file.execute(
                "INSERT OR REPLACE INTO owners (owner, until) VALUES (?, ?)", (owner.encode(), now + life_s)
            )
            self._file.execute("DELETE FROM owners WHERE until <= ?", (now,))
            self._file.execute(
                "DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE until <= ? LIMIT ?)", (now, SWEPT)
            )

    def alive(self, owners: Sequence[bytes]) -> set[bytes]:
        with self._transaction(LOOK) as now:
            return {one for one in owners if self._rows("SELECT 1 FROM owners WHERE owner = ? AND until > ?", one, now)}

    def retire(self, owner: str) -> None:
        with self._transaction():
            self._file.execute("DELETE FROM owners WHERE owner = ?", (owner.encode(),))

    def ask(self, claims: Sequence[Claim], gone: Sequence[bytes]) -> list[Answer | bytes]:
        with self._transaction() as now:
            return [self._ask(one, dead, now) for one, dead in zip(claims, gone, strict=True)]

    def complete(self, claims: Sequence[Claim]) -> list[Completion]:
        with self._transaction() as now:
            return [self._complete(one, now) for one in claims]

    def release(self, claims: Sequence[Claim]) -> None:
        with self._transaction():
            self._file.executemany("DELETE FROM kept WHERE key = ? AND token = ?", [one[:2] for one in claims])

    def look(self, keys: Sequence[bytes]) -> list[Entry | None]:
        with self._transaction(LOOK) as now:
            return [self._entry(key, now) for key in keys]

    def forget(self, seen: Sequence[Entry]) -> list[bool]:
        same = "DELETE FROM kept WHERE key = ? AND token IS ? AND hash = ?"
        with self._transaction():
            return [bool(self._file.execute(same, (one.key, one.token, one.hash)).rowcount) for one in seen]

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        with self._transaction(LOOK) as now:
            found = self._rows(
                "SELECT key FROM kept WHERE until > ? AND substr(key, 1, ?) = ?", now, len(prefix), prefix
            )
        yield from (row[0] for row in found)

    def owners(self) -> list[str]:
        with self._transaction(LOOK) as now:
            return [row[0].decode() for row in self._rows("SELECT owner FROM owners WHERE until > ? ORDER BY 1", now)]

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _file(self) -> sqlite3.Connection:
        """Opened by the first call, and by the next one if that failed: its folder may be mounted later."""
        if self._opened is None:
            try:
                self._opened = _open(self._path)
            except sqlite3.Error as error:
                raise StoreError(f"the store {Path(self._path).name} cannot be opened: {error}") from error
        return self._opened

    @contextmanager
    def _transaction(self, begin: str = TAKE_TURNS) -> Iterator[float]:
        """Gives the time at which the store was ours: what waited for others must not see what expired meanwhile."""
        try:
            with self._file:  # commits, or rolls back and raises
                self._file.execute(begin)
                yield self._clock()
        except sqlite3.Error as error:
            raise StoreError(f"the store failed: {error}") from error

    def _rows(self, query: str, *values: Any) -> list[Any]:
        return self._file.execute(query, values).fetchall()

    def _at(self, key: bytes, now: float) -> Any | None:
        return self._file.execute(
            "SELECT token, hash, until FROM kept WHERE key = ? AND until > ?", (key, now)
        ).fetchone()

    def _ask(self, one: Claim, gone: bytes, now: float) -> Answer | bytes:
        row = self._at(one.key, now)
        if row is not None:
            token: bytes | None = row[0]
            if token is None:
                return Answer.DONE if row[1] == one.hash else Answer.MISMATCH
            if token == one.token:
                return Answer.RUN
            if token != gone:
                return token
        self._file.execute(PUT, (one.key, one.token, one.hash, now + self._window_s))
        return Answer.RUN

    def _complete(self, one: Claim, now: float) -> Completion:
        row = self._at(one.key, now)
        if row is not None:
            if row[0] is None:
                return Completion.ALREADY
            if row[0] != one.token:
                return Completion.LOST
        self._file.execute(PUT, (one.key, None, one.hash, now + self._window_s))
        return Completion.OK

    def _entry(self, key: bytes, now: float) -> Entry | None:
        row = self._at(key, now)
        if row is None:
            return None
        token, content, until = row
        owner = None if token is None else owner_of(token)
        lives = owner is not None and self._rows("SELECT 1 FROM owners WHERE owner = ? AND until > ?", owner, now)
        return Entry(key=key, token=token, hash=content, is_owner_alive=bool(lives), expires_s=until - now)


def _open(path: str) -> sqlite3.Connection:
    """Each statement by itself, not in one transaction: where the tables exist, none of them waits for a writer."""
    file = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(file)
        # What a crash of the host may take from the log is repeated, not lost.
        for statement in ("PRAGMA synchronous = NORMAL", *SCHEMA):
            file.execute(statement).fetchall()
    except sqlite3.Error:
        file.close()
        raise
    return file


def _write_ahead(file: sqlite3.Connection) -> None:
    """Turns the file over to a log of its own. SQLite does not wait there for another who does the same: we do."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(RETRY_S)
        else:
            return
