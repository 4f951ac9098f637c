"""A cluster behind proxies: what its clients ask meets faults, what the oracle and the brokers ask does not."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from conftest import Topics
from oracle import Expectation, Recipe
from oracle.ends import ends
from oracle.generate import Chunk, Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove

from .proxy import LateRequests, Proxy
from .rules import Rules

if TYPE_CHECKING:
    from types import TracebackType

    from fanout.demo.cluster import Cluster
    from oracle.verdict import Verdict

__all__ = ["BRIEF_MS", "PATIENT_MS", "SMALL", "Faulty", "Road"]

KEPT = {"retention.ms": "-1"}
CARRIED_BUDGET_S = 120.0

PATIENT_MS = "30000"
"""How long a client waits for an answer where each comes or its connection breaks: longer than a broker is kept."""

BRIEF_MS = "4000"
"""The same where an answer is lost for good, and so has to be waited for."""

LONG_MS = 5_000

SMALL = {"fetch_bytes": 64 << 10, "grown_batch_bytes": 64 << 10}
"""Settings of a forward whose batches do not grow: few records make many requests and transactions."""


class Faulty:
    """Proxies before the client listeners of a cluster that has not started yet."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.rules = Rules()
        self.late = LateRequests()
        self.proxies = [Proxy(node.client_port, self.rules, self.late) for node in cluster.nodes]
        for node, proxy in zip(cluster.nodes, self.proxies, strict=True):
            node.advertised_client_port = proxy.port
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for proxy in self.proxies:
            self._stack.enter_context(proxy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def bootstrap(self) -> str:
        """Where clients that shall meet faults begin; everything they are told leads through the proxies too."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)

    @property
    def direct(self) -> str:
        """Where nothing stands in between."""
        return self.cluster.bootstrap


@dataclass
class Road:
    """A source with known records, a target, a group, and the proof over them."""

    bootstrap: str
    source: str
    target: str
    group: str
    targets: int
    generator: Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = Generator(self.bootstrap, self.source, Recipe(keys=97, value_bytes=200))

    @classmethod
    def laid(cls, bootstrap: str, topics: Topics | None = None, *, sources: int = 2, targets: int = 3) -> Road:
        """A road nobody has travelled; `bootstrap` is where the oracle asks."""
        topics = topics or Topics(bootstrap)
        source, target = topics("source", sources, KEPT), topics("target", targets, KEPT)
        return cls(bootstrap, source, target, f"{target}-forward", targets)

    def in_long_batches(self) -> Self:
        """Has the source written in batches as long as they may be, however slow the writer: only such travel whole."""
        self.generator.linger_ms = LONG_MS
        return self

    @property
    def arguments(self) -> tuple[str, ...]:
        """A plain forward of the whole road, as a daemon."""
        return ("forward", "-t", self.source, "-g", self.group, "--to-topic", self.target, "--from", "earliest")

    def visible(self) -> int:
        """How far read_committed readers of the target see."""
        return sum(ends(self.bootstrap, self.target).values())

    def wait_for_more(self, *, than: int) -> None:
        """Until read_committed readers of the target see more than that."""
        deadline = time.monotonic() + CARRIED_BUDGET_S
        while self.visible() <= than:
            assert time.monotonic() < deadline, f"nothing above {than} is carried"
            time.sleep(0.05)

    def write(self, records: int) -> None:
        """More known records at the end of the source."""
        self.generator.write(Chunk(records=records))

    def prove(self, *, placed: bool = True, **more: Any) -> Verdict:
        """Everything that was acknowledged arrived once and in order, and nothing is open; `placed`: by key."""
        expected = Expectation(
            recipe=self.generator.recipe,
            ledger=self.generator.ledger,
            placement=java_placement(self.targets) if placed else None,
        )
        return prove(
            Carried(bootstrap=self.bootstrap, source=self.source, target=self.target, group=self.group),
            expected,
            **more,
        )
