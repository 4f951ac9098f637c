"""From the address of a store to the store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fanout.errors import ConfigError

from .memory import MemoryStore, Table

if TYPE_CHECKING:
    from .store import DedupStore

__all__ = ["open_store"]

SQLITE, MEMORY = "sqlite", "memory"

FORMS = (
    "is none of redis://[USER:PASSWORD@]HOST:PORT/DB, rediss://…, unix:///PATH, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB], sqlite:///PATH, memory://; in a password write / as %2F"
)

_tables: dict[str, Table] = {}
_lock = threading.Lock()


def open_store(url: str, window_s: float) -> DedupStore:
    """The store at `url`; done markers live for `window_s`. It is dialled or opened by its first call, not here.

    `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `rediss+sentinel://`; `sqlite:///relative/path`,
    `sqlite:////absolute/path`; `memory://` for the life of this process. Raises ConfigError for anything else.
    """
    try:
        return _opened(url, window_s)
    except (ValueError, TypeError):
        # Not a word of the address: a password with a slash in it makes most of it unreadable, not harmless.
        raise ConfigError("dedup.url", FORMS) from None


def _opened(url: str, window_s: float) -> DedupStore:
    parts = urlsplit(url)
    if parts.scheme == MEMORY:
        with _lock:
            return MemoryStore(window_s, _tables.setdefault(parts.netloc, Table()))
    if parts.scheme == SQLITE:
        from .sqlite import SqliteStore  # noqa: PLC0415  the interpreter may be built without it

        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path:
            raise ValueError
        return SqliteStore(path, window_s)
    try:
        from .redis import RedisStore  # noqa: PLC0415  an extra
        from .wire import Line, connector  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = f"Redis needs the package `{error.name}`: pip install 'kafka-fanout[dedup]'"
        raise ConfigError("dedup.url", problem) from error
    return RedisStore(Line(connector(url)), window_s)
