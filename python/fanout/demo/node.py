"""One node of a throw-away cluster: its ports and settings; starting, stopping, killing and pausing it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fanout.errors import UnreachableError

from .ports import free_port

if TYPE_CHECKING:
    from .processes import Keeper

__all__ = ["Node"]

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0


class Node:
    """One broker, or broker and controller, of a cluster. Made by `Cluster`."""

    def __init__(self, node_id: int, *, controller: bool) -> None:
        self.id = node_id
        self.is_controller = controller
        self.port = free_port()
        """Where clients connect."""
        self.client_port = free_port()
        """Where clients connect that are told `advertised_client_port` for every further connection."""
        self.advertised_client_port = self.client_port
        """Set it to a proxy's port before the cluster starts."""
        self.internal_port = free_port()
        """Where the other brokers connect."""
        self.controller_port = free_port()
        self.advertised_internal_port = self.internal_port
        """What the other brokers are told; set it to a proxy's port before the cluster starts."""
        self.own_properties: dict[str, str] = {}
        """Broker settings of this node alone; fill it before the cluster starts."""
        self._more: dict[str, tuple[int, str]] = {}
        self._command: Sequence[str] = ()
        self._keeper: Keeper | None = None
        self._log = Path()
        self._pid = 0

    def listen(self, name: str, protocol: str) -> int:
        """Adds a listener for clients, such as `SECURE` with `SASL_SSL`, before the cluster starts; returns its port.

        Its keys and logins are the cluster's `properties`: `listener.name.secure.ssl.keystore.location`, …
        """
        self._more[name] = free_port(), protocol
        return self._more[name][0]

    @property
    def name(self) -> str:
        """How the node is called in messages and file names."""
        return f"node-{self.id}"

    @property
    def log(self) -> Path:
        """The broker's own log; a restarted node appends to it."""
        return self._log

    @property
    def pid(self) -> int:
        """The process started last."""
        return self._pid

    def properties(self, data: Path, controllers: Sequence[Node]) -> dict[str, str]:
        """The settings that make this node part of its cluster."""
        listeners = {"PLAINTEXT": self.port, "CLIENT": self.client_port, "INTERNAL": self.internal_port}
        listeners |= {name: port for name, (port, _) in self._more.items()}
        protocols = dict.fromkeys(("PLAINTEXT", "CLIENT", "INTERNAL", "CONTROLLER"), "PLAINTEXT")
        protocols |= {name: protocol for name, (_, protocol) in self._more.items()}
        bound = listeners | ({"CONTROLLER": self.controller_port} if self.is_controller else {})
        advertised = listeners | {
            "CLIENT": self.advertised_client_port,
            "INTERNAL": self.advertised_internal_port,
        }
        return {
            "process.roles": "broker,controller" if self.is_controller else "broker",
            "node.id": str(self.id),
            "controller.quorum.bootstrap.servers": ",".join(_at(node.controller_port) for node in controllers),
            "controller.listener.names": "CONTROLLER",
            "listeners": _listeners(bound),
            "advertised.listeners": _listeners(advertised),
            "inter.broker.listener.name": "INTERNAL",
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "log.dirs": str(data),
        }

    def prepare(self, keeper: Keeper, command: Sequence[str], log: Path) -> None:
        """Says how this node is started, by whom, and where it logs."""
        self._keeper, self._command, self._log = keeper, command, log

    def launch(self) -> None:
        """Starts the process and does not wait until it answers."""
        self._pid = self._ask("start", argv=list(self._command), out=str(self._log))["pid"]

    def start(self) -> None:
        """Starts the node and returns once it answers clients. Raises UnreachableError."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Stops the node cleanly (SIGTERM) and waits for its end."""
        self._ask("signal", signal=signal.SIGTERM)
        self._wait_ended()

    def kill(self) -> None:
        """Kills the node (SIGKILL) and waits for its end."""
        self._ask("signal", signal=signal.SIGKILL)
        self._wait_ended()

    def pause(self) -> None:
        """Freezes the node (SIGSTOP): its connections stay open and nothing answers."""
        self._ask("signal", signal=signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused node go on (SIGCONT)."""
        self._ask("signal", signal=signal.SIGCONT)

    def is_running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._ask("poll")["code"] is None

    def wait_ready(self, brokers: int = 1) -> None:
        """Returns once this node answers clients and knows of itself and `brokers` in all. Raises UnreachableError."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _accepts(self.port):
            self._check(deadline)
            time.sleep(0.05)
        admin = AdminClient({"bootstrap.servers": _at(self.port), "log_level": 0})
        while True:
            known = _brokers(admin)
            if self.id in known and len(known) >= brokers:
                return
            self._check(deadline)
            time.sleep(0.05)

    def _check(self, deadline: float) -> None:
        code = self._ask("poll")["code"]
        if code is not None:
            raise UnreachableError(f"{self.name} ended with code {code}; from its log:\n{self._log_excerpt()}")
        if time.monotonic() > deadline:
            raise UnreachableError(f"{self.name} is not ready; from its log:\n{self._log_excerpt()}")

    def _wait_ended(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.is_running():
            if time.monotonic() > deadline:
                raise UnreachableError(f"{self.name} does not end; from its log:\n{self._log_excerpt()}")
            time.sleep(0.02)

    def _log_excerpt(self) -> str:
        if not self._log.is_file():
            return "(no log)"
        lines = self._log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if " ERROR " in line or "Exception" in line]
        return "\n".join(errors[:10] or lines[-10:])

    def _ask(self, what: str, **more: Any) -> Mapping[str, Any]:
        if self._keeper is None:
            raise RuntimeError("the cluster is not running")
        return self._keeper.ask(do=what, name=self.name, **more)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _brokers(admin: AdminClient) -> set[int]:
    try:
        return set(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return set()


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{_at(port)}" for name, port in ports.items())
