"""A world to drain, over the twins, and what is asked of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fanout.config.clients import Clients
from fanout.config.forward import ForwardSettings
from fanout.config.properties import Properties
from fanout.drain.ports import Doors, Live, WorkOrder
from fanout.drain.settings import DrainSettings

from .twins import Entry, MemoryCluster, MemoryForwarder, MemoryGroups, MemoryTopics, MemoryWorkers


@dataclass
class World:
    """A cluster with a backlog, and the doors to drain it."""

    cluster: MemoryCluster
    doors: Doors
    settings: DrainSettings
    forwarders: list[MemoryForwarder] = field(default_factory=list)
    workers: list[MemoryWorkers] = field(default_factory=list)

    @property
    def old_offsets(self) -> dict[int, int]:
        return {p: offset for p, (offset, _) in self.cluster.commits["billing", "orders"].items()}


def a_world(records: int = 300, partitions: int = 3, **changes: object) -> World:
    """Topic `orders` with `records` in each partition, the group `billing` at its start.

    Everything is carried before the cut: by default a drain leaves what the old consumers finish in seconds to them.
    """
    cluster = MemoryCluster()
    cluster.add_topic("orders", partitions, **{"max.message.bytes": "1048588", "min.insync.replicas": "2"})
    for partition in range(partitions):
        cluster.append("orders", partition, *(Entry("committed") for _ in range(records)))
    cluster.commit("billing", "orders", dict.fromkeys(range(partitions), (0, "")))
    settings = DrainSettings(
        clients=Clients(common=Properties({"bootstrap.servers": "memory:1"})),
        app="shop.billing:app",
        app_dir=Path(),
        topic="orders",
        group="billing",
        workers=2,
        round_s=0.01,
        cutover_s=0.0,
    )
    settings = replace(settings, **changes)  # type: ignore[arg-type]  # the fields' own types
    world = World(cluster, None, settings)  # type: ignore[arg-type]  # filled in below

    def forwarder(wanted: ForwardSettings) -> MemoryForwarder:
        world.forwarders.append(MemoryForwarder(cluster, wanted))
        return world.forwarders[-1]

    def workers(order: WorkOrder) -> MemoryWorkers:
        world.workers.append(MemoryWorkers(cluster, order))
        return world.workers[-1]

    world.doors = Doors(
        cluster=cluster,
        marks=cluster,
        topics=MemoryTopics(cluster),
        groups=MemoryGroups(cluster),
        forwarder=forwarder,
        workers=workers,
        check_app=lambda _settings, _names, _cluster: None,
    )
    return world


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for something another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.002)


class Told:
    """A progress that remembers, and can act on what it hears."""

    def __init__(self, on_step: Callable[[str], None] = lambda _name: None) -> None:
        self.steps: list[str] = []
        self.lives: list[Live] = []
        self._on_step = on_step

    def step(self, name: str, detail: str) -> None:
        assert detail
        self.steps.append(name)
        self._on_step(name)

    def live(self, live: Live) -> None:
        self.lives.append(live)


def handled(world: World) -> list[tuple[int, int]]:
    """Every record in the order it was handled."""
    return [origin for workers in world.workers for origin in workers.handled]
