"""What every verb gets: settings, connections, and a way to show its result."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .output import Answer, render

if TYPE_CHECKING:
    from fanout._fanout import Cluster
    from fanout.config.clients import Clients
    from fanout.config.settings import Settings
    from fanout.kafka.admin import Admin

__all__ = ["Frame", "Session"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The shared options as written. `loudness`: −1 quiet, 0 normal, 1 verbose."""

    bootstrap_servers: str | None
    config: Path | None
    command_config: Path | None
    properties: Sequence[str]
    options: Mapping[str, str]
    headers: bool
    color: bool
    loudness: int

    def open(self, name: str, *, timeout_s: float = 30.0) -> Session:
        """Reads the settings and starts logging; `name` is the verb's, for client ids. Dials nothing.

        `timeout_s`: how long one question to the cluster may take.
        """
        from fanout.config.exposure import exposures
        from fanout.config.settings import Flags, load_settings

        from .logs import start_logging

        settings, clients = load_settings(
            Flags(
                bootstrap_servers=self.bootstrap_servers,
                config=self.config,
                command_config=self.command_config,
                properties=self.properties,
                options=self.options,
            )
        )
        level = {-1: "warning", 0: settings.log_level, 1: "debug"}[self.loudness]
        start_logging(level, settings.log_format, color=self.color and "NO_COLOR" not in os.environ)
        for exposed in exposures(clients.common):
            logging.getLogger("fanout.security").warning(exposed)
        return Session(self, settings, clients, _Line(name, timeout_s))


class _Line(NamedTuple):
    """What a verb's connections are called, and how long they wait for an answer."""

    name: str
    timeout_s: float


class Session:
    """One command at work."""

    def __init__(self, frame: Frame, settings: Settings, clients: Clients, line: _Line) -> None:
        self.settings = settings
        self.clients = clients
        self._frame = frame
        self._line = line

    def knock(self) -> None:
        """Raises SecurityError or UnreachableError before anything is begun.

        librdkafka tries a connection that is refused again and again; the core says at once what is wrong.
        """
        self.cluster.api_versions()

    @cached_property
    def cluster(self) -> Cluster:
        """The core's control connection."""
        from fanout._fanout import Cluster

        return Cluster(dict(self.clients.of("core", self._line.name)), timeout_s=self._line.timeout_s)

    @cached_property
    def admin(self) -> Admin:
        """The admin connection. Made once the core's was let in."""
        from fanout.kafka.admin import Admin

        self.knock()
        return Admin(self.clients.of("admin", self._line.name), timeout_s=self._line.timeout_s)

    @property
    def is_quiet(self) -> bool:
        """Whether progress is unwanted."""
        return self._frame.loudness < 0

    def show(self, answer: Answer) -> None:
        """Prints the command's result on stdout in the format asked for."""
        sys.stdout.write(render(answer, self.settings.output, headers=self._frame.headers))
        sys.stdout.flush()
