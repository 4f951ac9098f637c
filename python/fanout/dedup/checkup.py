"""Whether a store can be trusted to remember, looked at once before work begins; nothing is changed by looking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fanout.errors import RefusedError

from .opening import open_store
from .store import StoreError

if TYPE_CHECKING:
    from fanout.config.dedup import DedupSettings

    from .redis import RedisStore

__all__ = ["OLDEST_REDIS", "check_store"]

OLDEST_REDIS = 6
"""The oldest that the tests of its makers still cover; nothing newer than 2.6 is asked of it."""

REDIS = ("redis", "rediss", "unix")


def check_store(settings: DedupSettings) -> list[str]:
    """What the store may forget, a sentence each. RefusedError for one that cannot serve.

    One that does not answer is refused, too, unless work goes on without it.
    """
    try:
        store = open_store(settings.url, settings.window_s)
        try:
            store.owners()
            if not settings.url.startswith(REDIS):
                return []
            return list(_look(store))  # type: ignore[arg-type]  # what these addresses open
        finally:
            store.close()
    except StoreError as error:
        if settings.on_store_down == "process":
            return [f"{error}; repeats run again until it answers"]
        raise RefusedError(
            str(error), 'see [dedup] url, or let work go on without it: on_store_down = "process"'
        ) from (error)


def _look(store: RedisStore) -> Iterator[str]:
    info = _info(store)
    version = info.get("redis_version", "0")
    if int(version.partition(".")[0]) < OLDEST_REDIS:
        raise RefusedError(f"the dedup store is Redis {version}", f"{OLDEST_REDIS}.0 or newer is needed")
    if info.get("role") not in (None, "master"):
        raise RefusedError("the dedup store is a replica", "name the master, or redis+sentinel://…")
    if info.get("cluster_enabled") == "1" and "cluster_size:1" not in _text(store.call("CLUSTER", "INFO")).split():
        raise RefusedError("the dedup store is a cluster of several nodes", "name a server that holds all slots")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", "0") != "0" and policy != "noeviction":
        yield f"maxmemory-policy is {policy}: what is evicted runs again; set noeviction, and work pauses instead"
    if info.get("aof_enabled") == "0":
        yield "appendonly is off: after a restart of the server, what was done since its last snapshot runs again"


def _info(store: RedisStore) -> dict[str, str]:
    lines = _text(store.call("INFO")).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _text(answer: bytes) -> str:
    return answer.decode(errors="replace")
