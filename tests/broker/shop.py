"""A topic with a backlog, its old consumers, and what was done for each record: the world a drain is tried in."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import Consumer, Producer

from fanout._fanout import Cluster
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.drain.doors import open_doors
from fanout.drain.flow import Drain
from fanout.drain.settings import DrainSettings
from oracle import Effect, Fate, Recipe, check_effects
from oracle.generate import Chunk, Generator
from oracle.read import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from conftest import Topics
    from fanout.drain.ports import Live, Progress
    from oracle import Verdict

__all__ = ["APPS", "OldConsumers", "Shop", "Told", "open_shop"]

APPS = Path(__file__).parent / "apps"


class OldConsumers:
    """The old structure: consumers of the group, one record at a time, commit after the effect."""

    def __init__(self, shop: Shop, count: int = 1, protocol: str = "classic") -> None:
        self._shop = shop
        self._protocol = protocol
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(count)]
        self._errors: list[Exception] = []
        self.handled = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self) -> None:
        try:
            self._consume()
        except Exception as error:  # noqa: BLE001  told to the test's thread
            self._errors.append(error)

    def _consume(self) -> None:
        shop = self._shop
        producer = Producer({"bootstrap.servers": shop.bootstrap, "enable.idempotence": True, "linger.ms": 0})
        consumer = Consumer(
            {
                "bootstrap.servers": shop.bootstrap,
                "group.id": shop.group,
                "group.protocol": self._protocol,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
            }
        )
        # With a callback partitions go when the next are asked for, so that nobody is given what is in hand here.
        consumer.subscribe([shop.topic], on_revoke=lambda *_: None)
        try:
            while not self._stop.is_set():
                for message in consumer.consume(100, 0.1):
                    if error := message.error():
                        raise AssertionError(str(error))
                    value, key = message.value(), message.key()
                    assert value is not None
                    origin = f"{message.partition()}/{message.offset()}".encode()
                    producer.produce(shop.effects, key=key, value=value.split(b".")[1] + b"/" + origin)
                    assert producer.flush(30) == 0
                    consumer.commit(message=message, asynchronous=False)
                    self.handled += 1
        finally:
            consumer.close()


@dataclass
class Told:
    """A progress that remembers, and does `on_step` when a step begins and `on_live` when a round is over."""

    on_step: Mapping[str, Any] = field(default_factory=dict)
    on_live: Any = None
    steps: list[str] = field(default_factory=list)
    lives: list[Live] = field(default_factory=list)

    def step(self, name: str, detail: str) -> None:
        assert detail
        self.steps.append(name)
        if name in self.on_step:
            self.on_step[name]()

    def live(self, live: Live) -> None:
        self.lives.append(live)
        if self.on_live:
            self.on_live(live)


@dataclass(frozen=True)
class Shop:
    """One backlog and all that belongs to it."""

    bootstrap: str
    topic: str
    effects: str
    group: str
    generator: Generator

    @property
    def cluster(self) -> Cluster:
        """A control connection."""
        return Cluster({"bootstrap.servers": self.bootstrap})

    @property
    def offsets(self) -> dict[int, int]:
        """Where the old group stands."""
        return {p: offset for p, (offset, _) in self.cluster.committed(self.group, self.topic).items()}

    @property
    def settings(self) -> DrainSettings:
        """A drain by two workers with six targets."""
        return DrainSettings(
            clients=Clients(common=Properties({"bootstrap.servers": self.bootstrap})),
            app="effects:app",
            app_dir=APPS,
            topic=self.topic,
            group=self.group,
            workers=2,
            round_s=0.5,
            cutover_s=2.0,
        )

    def drain(self, progress: Progress | None = None, **changes: Any) -> Drain:
        """A drain as a library call."""
        settings = replace(self.settings, **changes)
        return Drain(settings, open_doors(settings), progress)

    def arguments(self, *more: str) -> list[str]:
        """A drain as a command."""
        folder = ["--app-dir", str(APPS)]
        return [
            "drain",
            "effects:app",
            *folder,
            "-t",
            self.topic,
            "-g",
            self.group,
            "-w",
            "2",
            "--cutover",
            "2s",
            *more,
        ]

    def done(self) -> list[Effect]:
        """Every effect in the order it was appended."""
        effects = []
        for record in read(self.bootstrap, self.effects):
            assert record.value is not None
            serial, partition, offset = record.value.split(b"/")
            name = self.generator.recipe.key_name(int(serial))
            effects.append(Effect(name, self.generator.recipe.sequence(int(serial)), (int(partition), int(offset))))
        return effects

    def acknowledged(self) -> dict[tuple[bytes, int], tuple[int, int]]:
        """Every record by key and sequence, and where the broker put it."""
        recipe, ledger = self.generator.recipe, self.generator.ledger
        committed = (serial for serial in range(len(ledger)) if ledger.fate(serial) is Fate.COMMITTED)
        return {(recipe.key_name(serial), recipe.sequence(serial)): ledger.place(serial) for serial in committed}

    def check(self) -> Verdict:
        """What the effects say about every acknowledged record."""
        return check_effects(self.done(), self.acknowledged())

    def require_no_loss(self) -> None:
        """Every record below the old group's offsets was handled: whoever starts there misses nothing."""
        handled = {effect.origin for effect in self.done()}
        offsets = self.offsets
        passed = [(p, o) for p, o in self.acknowledged().values() if o < offsets[p]]
        missed = [place for place in passed if place not in handled]
        print(f"old group at {offsets}: passed={len(passed)} handled={len(handled)} missed={len(missed)}")
        assert missed == []

    def temp_topics(self) -> list[str]:
        """Temp topics of this source that are there."""
        return [name for name in open_doors(self.settings).topics.names() if name.startswith(f"fanout.{self.topic}.")]

    def wait_home(self, timeout_s: float = 180.0) -> None:
        """Until the old consumers have committed everything."""
        deadline = time.monotonic() + timeout_s
        while self.offsets != self.cluster.offsets(self.topic, "latest"):
            assert time.monotonic() < deadline, f"the old consumers stand at {self.offsets}"
            time.sleep(0.1)


def open_shop(bootstrap: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, records: int = 2000) -> Shop:
    """A topic of 3 partitions with a backlog of `records`, its group at the start, and the handlers' environment."""
    topic, effects = topics("orders", 3, {"retention.ms": "-1"}), topics("effects", 1)
    shop = Shop(bootstrap, topic, effects, f"billing-{topic}", Generator(bootstrap, topic, Recipe(keys=97)))
    shop.generator.write(Chunk(records=records))
    shop.cluster.commit(shop.group, topic, dict.fromkeys(range(3), (0, "")))
    monkeypatch.setenv("EFFECTS_BOOTSTRAP", bootstrap)
    monkeypatch.setenv("EFFECTS_SOURCE", topic)
    monkeypatch.setenv("EFFECTS_TOPIC", effects)
    return shop
