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

_tables: dict[str, Table] = {}
_lock = threading.Lock()


def open_store(url: str, window_s: float) -> DedupStore:
    """The store at `url`; done markers live for `window_s`. A Redis is dialled by the first call.

    `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `rediss+sentinel://`; `sqlite:///relative/path`,
    `sqlite:////absolute/path`; `memory://` for the life of this process. Raises ConfigError for anything else.
    """
    parts = urlsplit(url)
    if parts.scheme == MEMORY:
        with _lock:
            return MemoryStore(window_s, _tables.setdefault(parts.netloc, Table()))
    if parts.scheme == SQLITE:
        from .sqlite import SqliteStore  # noqa: PLC0415  the interpreter may be built without it

        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path:
            raise ConfigError("dedup.url", "a file is named sqlite:///relative/path or sqlite:////absolute/path")
        return SqliteStore(path, window_s)
    try:
        from .redis import RedisStore  # noqa: PLC0415  an extra
        from .wire import Line, connector  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = f"Redis needs the package `{error.name}`: pip install 'kafka-fanout[dedup]'"
        raise ConfigError("dedup.url", problem) from error
    return RedisStore(Line(connector(url)), window_s)
