"""What the demo is played on: topics, orders, old consumers, and the questions one asks about them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Cluster as Control
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.drain.settings import DrainSettings
from fanout.errors import ConfigError
from fanout.work.supervisor import Supervisor

from .effects import Verdict, check_effects
from .feeder import Feeder
from .gauge import Gauge
from .handlers import APP, EFFECTS, GROUP, ORDERS
from .witness import latest_workers, read_effects

__all__ = ["ARRIVING", "WORKERS", "DemoSettings", "Stage"]

WORKERS = 10
EFFECT_PARTITIONS = 6

ARRIVING = 100
"""Orders a second, all the time."""

ROOM = 1.5
"""Consumers that have only just enough time for what arrives never catch up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSettings:
    """The size of the demo. `partitions` is the source's, and how many old consumers there are.

    kill: some workers are killed on the way. keep: Kafka stays until `Demo.stop`.
    """

    messages: int = 60_000
    partitions: int = 3
    targets: int = 30
    handler_ms: float = 5.0
    kill: bool = False
    keep: bool = False

    def __post_init__(self) -> None:
        if self.messages < 1:
            raise ConfigError("--messages", f"at least one, not {self.messages}")
        if self.partitions < 1:
            raise ConfigError("--partitions", f"at least one, not {self.partitions}")
        if self.targets < self.partitions:
            raise ConfigError("--targets", f"at least one for each of {self.partitions} partitions, not {self.targets}")
        longest_ms = self.partitions * 1000 / ARRIVING / ROOM
        if not 0 < self.handler_ms <= longest_ms:
            problem = f"{ARRIVING} orders arrive every second, and the old consumers must keep up with them"
            raise ConfigError("--handler-ms", f"above 0 and up to {longest_ms:g}, not {self.handler_ms:g}: {problem}")


class Stage:
    """Everything around the run, on the Kafka at `bootstrap`."""

    def __init__(self, settings: DemoSettings, bootstrap: str) -> None:
        self.settings = settings
        self._bootstrap = bootstrap
        # Only these: what the user configured is for other clusters.
        self._clients = Clients(common=Properties({"bootstrap.servers": bootstrap}))
        self._control = Control({"bootstrap.servers": bootstrap})
        self.feeder = Feeder(bootstrap, ORDERS)
        self.gauge = Gauge(bootstrap, EFFECTS, self.feeder.acknowledged)

    def make_topics(self) -> None:
        """The orders, and the effects of handling them."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        topics = [NewTopic(ORDERS, self.settings.partitions), NewTopic(EFFECTS, EFFECT_PARTITIONS)]
        for made in admin.create_topics(topics).values():
            made.result()

    @contextmanager
    def old_consumers(self) -> Iterator[Supervisor]:
        """The structure that was there before: one consumer for each partition, one record at a time."""
        settings = WorkSettings(clients=self._clients, app=APP, group=GROUP, workers=self.settings.partitions)
        consumers = Supervisor(settings)
        consumers.start()
        try:
            yield consumers
        finally:
            consumers.stop()

    def drain_settings(self) -> DrainSettings:
        """The drain that is shown; all else as it is by default."""
        return DrainSettings(
            clients=self._clients,
            app=APP,
            topic=ORDERS,
            group=GROUP,
            workers=WORKERS,
            partitions=self.settings.targets,
        )

    def all_at_work(self) -> bool:
        """Whether the group has committed something in every partition."""
        return len(self._control.committed(GROUP, ORDERS)) == self.settings.partitions

    def lag(self) -> int:
        """Orders above what the group has committed."""
        ends = self._control.offsets(ORDERS, "latest")
        committed = self._control.committed(GROUP, ORDERS)
        return sum(end - committed.get(partition, (0, ""))[0] for partition, end in ends.items())

    def verdict(self, killed: Set[int]) -> Verdict:
        """Compares all effects with all acknowledged orders."""
        return check_effects(read_effects(self._bootstrap, EFFECTS), self.feeder.acknowledged, killed)

    def latest_workers(self) -> set[int]:
        """Process ids of workers that were at work a moment ago."""
        return latest_workers(self._bootstrap, EFFECTS)
