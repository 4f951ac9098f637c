"""
What every test may use: a real Kafka, topics of its own, clusters of its own.

FANOUT_TEST_BOOTSTRAP=host:port   tests that only need a broker use this cluster instead of a throw-away one.
FANOUT_TEST_KAFKA=3.9.1           throw-away clusters run these brokers, one of `BROKERS`, unless a test chooses itself.
When a test fails, the logs of every throw-away node that ran are copied to `kafka-logs/`; the report names the folder.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from broker.working import Handled, app_environment
from fanout.demo.cluster import Cluster
from killing import Job, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

BROKERS: dict[str, dict[str, Any]] = {
    "4.3.1": {},
    "4.3.1-tv1": {"features": {"transaction.version": 1}},
    "3.9.1": {"version": "3.9.1"},
}
"""What throw-away clusters can run, as arguments of `Cluster`: the newest, its older transactions, the last 3."""

OLDER = ("4.3.1-tv1", "3.9.1")
"""Those whose transactions keep their epoch."""

_chosen = BROKERS[os.environ.get("FANOUT_TEST_KAFKA", "4.3.1")]
_running: set[Cluster] = set()


class Kafka(Protocol):
    """What a test may ask of a cluster it shares with others."""

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers`."""


@dataclass(frozen=True)
class ForeignCluster:
    """A cluster somebody else started and will stop."""

    bootstrap: str


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One node that all tests share; a test that stops or reconfigures brokers takes `own_cluster`."""
    foreign = os.environ.get("FANOUT_TEST_BOOTSTRAP")
    if foreign:
        yield ForeignCluster(foreign)
        return
    with _watched(Cluster(**_chosen)) as cluster:
        yield cluster


@pytest.fixture(scope="session", params=OLDER)
def older_kafka(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One node of each kind of older brokers, whatever the other tests run on."""
    with _watched(Cluster(**BROKERS[request.param])) as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[Callable[..., Cluster]]:
    """Starts a cluster that only this test uses: `own_cluster(Cluster(nodes=3))` or the arguments of `Cluster`."""
    with ExitStack() as stack:

        def start(cluster: Cluster | None = None, **arguments: Any) -> Cluster:
            chooses = not arguments.keys().isdisjoint({"version", "features"})
            return stack.enter_context(_watched(cluster or Cluster(**({} if chooses else _chosen), **arguments)))

        yield start


class Topics:
    """Makes topics whose names no other test uses, and deletes them when the test is over."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._made: list[str] = []

    def __call__(
        self, stem: str, partitions: int = 1, config: Mapping[str, str] | None = None, *, replicas: int = -1
    ) -> str:
        """A new topic `<stem>-<8 hex>`, ready to be written: every partition has a leader that answers."""
        name = unique_name(stem)
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(config or {}))
        self._admin.create_topics([topic])[name].result()
        self._made.append(name)
        self._wait_led(name, partitions)
        return name

    def delete_all(self) -> None:
        """Deletes what was made; a topic the test itself deleted is no fault."""
        if not self._made:
            return
        for deleted in self._admin.delete_topics(self._made).values():
            error = deleted.exception()
            if isinstance(error, KafkaException) and error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                continue
            deleted.result()

    def _wait_led(self, name: str, partitions: int) -> None:
        wanted = {TopicPartition(name, number): OffsetSpec.latest() for number in range(partitions)}  # type: ignore[no-untyped-call]
        deadline = time.monotonic() + 60
        while True:
            # Leaders first, fresh from the broker: a look-up of offsets that met an unknown topic believes it for 30 s.
            known = self._admin.list_topics(timeout=30).topics.get(name)
            led = [] if known is None else [one for one in known.partitions.values() if one.leader >= 0]
            if len(led) >= partitions:
                listed = self._admin.list_offsets(wanted).values()
                failed = [error for future in listed if (error := future.exception())]
                if not failed:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"topic {name} has no leaders after 60 s")
            time.sleep(0.05)


@pytest.fixture
def topics(kafka: Kafka) -> Iterator[Topics]:
    """`topics("orders", 3, {"cleanup.policy": "compact"})` on the shared cluster."""
    made = Topics(kafka.bootstrap)
    yield made
    made.delete_all()


class Tell(Protocol):
    """Says what the application of the next workers does with a topic; returns the log of its handlers."""

    def __call__(self, topic: str, behaviour: str, **more: Any) -> Handled: ...


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """`tell("orders", "nap", sleep_s=[0, 1])`: see `broker/work_app.py`."""

    def told(topic: str, behaviour: str, **more: Any) -> Handled:
        log = tmp_path / f"{topic}.log"
        monkeypatch.setenv("FANOUT_TEST_APP", app_environment(log, topic, behaviour, **more))
        return Handled(log)

    return told


class Lay(Protocol):
    """Fills a topic with a record for each key, and says what workers do with them."""

    def __call__(self, topic: str, behaviour: str, keys: Iterable[bytes | None], **more: Any) -> Job: ...


@pytest.fixture
def lay(kafka: Kafka, tell: Tell) -> Lay:
    """`lay("orders", "nap", keys, sleep_s=[0, 1])`: see `broker/work_app.py`; `partition_of` is that of `fill`."""

    def laid(topic: str, behaviour: str, keys: Iterable[bytes | None], **more: Any) -> Job:
        placed = more.pop("partition_of", lambda _number: -1)
        return Job(
            bootstrap=kafka.bootstrap,
            topic=topic,
            group=unique_name("workers"),
            handled=tell(topic, behaviour, **more),
            acknowledged=fill(kafka.bootstrap, topic, ((key, n) for n, key in enumerate(keys)), placed),
        )

    return laid


def unique_name(stem: str) -> str:
    """`<stem>-<8 hex>`: a topic, group or transactional id no other test uses."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


@contextmanager
def _watched(cluster: Cluster) -> Iterator[Cluster]:
    """Runs `cluster`, and lets the report of a failed test find its logs."""
    with cluster:
        _running.add(cluster)
        try:
            yield cluster
        finally:
            _running.discard(cluster)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Copies the logs while the clusters still stand: fixtures end after the report of the call."""
    report = yield
    if report.failed:
        for number, cluster in enumerate(_running, start=1):
            folder = item.config.rootpath / "kafka-logs" / re.sub(r"[^\w.-]+", "_", item.nodeid) / f"cluster-{number}"
            report.sections.append(("logs of the brokers", str(cluster.keep_logs(folder))))
    return report
