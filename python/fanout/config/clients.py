"""
Which properties each Kafka client gets.

Layers, the later one winning: `[kafka]` of the file, the chosen context's, the
environment, -F, -X, --bootstrap-server. A name that begins with `consumer.`,
`producer.` or `admin.` counts for that kind of client only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fanout.errors import ConfigError

from .properties import Properties, check_names

__all__ = ["Clients", "Layer", "Role", "clients_from"]

Role = Literal["core", "consumer", "producer", "admin"]
OVERRIDING: tuple[Role, ...] = ("consumer", "producer", "admin")

NONE = Properties({})

Layer = tuple[str, Mapping[str, str]]
"""Where properties were written, and the properties."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clients:
    """Properties of every client a command makes, under librdkafka's names. Printing it hides secrets."""

    common: Properties
    consumer: Properties = NONE
    producer: Properties = NONE
    admin: Properties = NONE

    def of(self, role: Role, name: str) -> Properties:
        """Properties of one client, called `fanout-<name>-<host>-<pid>` at the brokers unless `client.id` is set.

        The core gets the common ones alone. Raises ConfigError when no broker is named anywhere.
        """
        overrides = {"core": NONE, "consumer": self.consumer, "producer": self.producer, "admin": self.admin}
        chosen = overrides[role].over(self.common)
        if not chosen.get("bootstrap.servers"):
            raise ConfigError("--bootstrap-server", "no broker is named: -b HOST:PORT, or FANOUT_BOOTSTRAP_SERVERS")
        return chosen.over({"client.id": f"fanout-{name}-{socket.gethostname().split('.')[0]}-{os.getpid()}"})


def clients_from(layers: Iterable[Layer], allowed: frozenset[str]) -> Clients:
    """Merges the layers. Raises ConfigError naming the first property that is unknown or refused."""
    tables: dict[Role, dict[str, str]] = {"core": {}, "consumer": {}, "producer": {}, "admin": {}}
    for place, properties in layers:
        for role in tables:
            tables[role] |= check_names(_for_role(properties, role), place, allowed)
    common = Properties(tables.pop("core"))
    return Clients(common=common, **{role: Properties(table) for role, table in tables.items()})


def _for_role(properties: Mapping[str, str], role: Role) -> dict[str, str]:
    if role == "core":
        return {name: value for name, value in properties.items() if name.split(".")[0] not in OVERRIDING}
    prefix = f"{role}."
    return {name.removeprefix(prefix): value for name, value in properties.items() if name.startswith(prefix)}
