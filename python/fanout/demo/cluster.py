"""
A throw-away Apache Kafka in KRaft mode, for the demo and the tests.

    with Cluster() as kafka:
        kafka.bootstrap        # "127.0.0.1:23456"
        kafka.node(1).kill()   # stop, pause, resume, start

Real brokers from the official jars, on loopback ports, in a temporary folder. Whatever ends the `with`, or
the process around it, nothing stays: see `keeper`.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from .jars import class_path, find_java
from .node import Node
from .processes import Keeper
from .release import KAFKA_VERSION, release

__all__ = ["TOOLS", "Cluster"]

TOOLS = {
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}
"""Kafka's own commands: the name of the script that ships with Kafka, and the class it runs."""

LOCAL_TOOLS = frozenset({"kafka-dump-log"})
"""Those that read files and take no `--bootstrap-server`."""

SMALL_CLUSTER = {
    "auto.create.topics.enable": "false",
    # A killed broker may register again only when its old session is over; the default is 9 s.
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "6000",
    "controlled.shutdown.retry.backoff.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "1000",
    "offsets.topic.num.partitions": "10",
    "share.coordinator.state.topic.num.partitions": "5",
    # How soon a transaction that is open too long is noticed; the default is 10 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "transaction.state.log.num.partitions": "10",
}

QUICK_COMPILER = "-XX:TieredStopAtLevel=1"
"""Halves what the start of a broker costs: 2.7 instead of 5.0 CPU-seconds until it answers. A bench, whose broker is to
run at its best, takes the optimising compiler back: `java_options=("-XX:TieredStopAtLevel=4",)`."""
BROKER_OPTIONS = ("-Xms256m", "-Xmx768m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", QUICK_COMPILER)
SHORT_LIVED_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", QUICK_COMPILER)


class Cluster:
    """1 to 3 nodes, each a broker; the first is the controller too, of three nodes each is.

    `properties` are broker settings of all nodes and override the defaults; `Node.own_properties` are of one.
    `version` is the release of Kafka, one of `release.RELEASES`. `features` are feature levels at the
    first start: `{"transaction.version": 1}` gives the older transaction protocol. `java_options` are
    added to those of the brokers: `("-Xmx2g",)`.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        version: str = KAFKA_VERSION,
        properties: Mapping[str, str] | None = None,
        features: Mapping[str, int] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        if not 1 <= nodes <= 3:
            raise ValueError(f"a throw-away cluster has 1 to 3 nodes, not {nodes}")
        self.nodes = [Node(number, controller=number == 1 or nodes == 3) for number in range(1, nodes + 1)]
        self._release = release(version)
        self._properties = dict(properties or {})
        self._features = dict(features or {})
        self._java_options = tuple(java_options)
        self._folder = Path()
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        java, jars = str(find_java()), class_path(self._release.version)
        self._folder = Path(tempfile.mkdtemp(prefix="fanout-kafka-"))
        self._keeper = Keeper(self._folder)
        try:
            self._write_settings()
            self._format()
            options = (*BROKER_OPTIONS, *self._java_options, self._unpacked, self._logging("broker"))
            command = [java, *options, "-cp", jars, "kafka.Kafka"]
            for node in self.nodes:
                node.prepare(self._keeper, [*command, str(self._settings(node))], self.logs / f"{node.name}.log")
                node.launch()
            for node in self.nodes:
                node.wait_ready(brokers=len(self.nodes))
        except BaseException:
            self._keeper.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.end()

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers` of this cluster: every node."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def logs(self) -> Path:
        """The folder the nodes log into; it goes with the cluster, see `keep_logs`."""
        return self._folder / "logs"

    def node(self, number: int) -> Node:
        """A node by its number, from 1."""
        return self.nodes[number - 1]

    def log_folder(self, number: int, topic: str, partition: int) -> Path:
        """Where node `number` stores one partition: segments for `kafka-dump-log`."""
        return self._data(self.node(number)) / f"{topic}-{partition}"

    def keep_logs(self, folder: Path) -> Path:
        """Copies the nodes' logs to `folder`, which is made, and returns it."""
        shutil.copytree(self.logs, folder, dirs_exist_ok=True)
        return folder

    def tool(self, name: str, arguments: Sequence[str], *, timeout_s: float = 120) -> str:
        """Runs one of Kafka's own commands against this cluster and returns what it printed: see `java`."""
        where = () if name in LOCAL_TOOLS else ("--bootstrap-server", self.bootstrap)
        return self.java(TOOLS[name], [*where, *arguments], timeout_s=timeout_s)

    def java(self, main_class: str, arguments: Sequence[str], *, timeout_s: float = 120) -> str:
        """Runs a class of the jars and returns its standard output.

        Raises subprocess.CalledProcessError, with the output as a note, when it fails.
        """
        done = self._run_java([main_class, *arguments], timeout_s)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(f"{done.stdout}\n{done.stderr}".strip())
            raise
        return done.stdout

    @property
    def _unpacked(self) -> str:
        """Where codecs unpack their libraries, which a JVM that is killed leaves behind: they go with the cluster."""
        return f"-Djava.io.tmpdir={self._folder}"

    def _write_settings(self) -> None:
        self.logs.mkdir()
        self._release.write_logging(self._folder)
        controllers = [node for node in self.nodes if node.is_controller]
        for node in self.nodes:
            settings = (
                _replication(len(self.nodes))
                | SMALL_CLUSTER
                | node.properties(self._data(node), controllers)
                | self._properties
                | node.own_properties
            )
            lines = [f"{name}={value}\n" for name, value in settings.items()]
            self._settings(node).write_text("".join(lines), encoding="utf-8")

    def _format(self) -> None:
        """Writes each node's identity and the first controllers into its data folder; the nodes side by side."""
        cluster_id = _uuid()
        controllers = [node for node in self.nodes if node.is_controller]
        initial = ",".join(f"{node.id}@127.0.0.1:{node.controller_port}:{_uuid()}" for node in controllers)
        features = [flag for name, level in self._features.items() for flag in ("--feature", f"{name}={level}")]

        def format_one(node: Node) -> None:
            quorum = ["--initial-controllers", initial] if node.is_controller else ["--no-initial-controllers"]
            settings = ["-t", cluster_id, "-c", str(self._settings(node)), *quorum, *features]
            self.java("kafka.tools.StorageTool", ["format", *settings])

        with ThreadPoolExecutor(len(self.nodes)) as pool:
            for formatted in [pool.submit(format_one, node) for node in self.nodes]:
                formatted.result()

    def _run_java(self, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        if self._keeper is None:
            raise RuntimeError("the cluster has not been started")
        command = [
            str(find_java()),
            *SHORT_LIVED_OPTIONS,
            self._unpacked,
            self._logging("tool"),
            "-cp",
            class_path(self._release.version),
        ]
        return self._keeper.run([*command, *arguments], timeout_s=timeout_s)

    def _data(self, node: Node) -> Path:
        return self._folder / f"{node.name}-data"

    def _settings(self, node: Node) -> Path:
        return self._folder / f"{node.name}.properties"

    def _logging(self, kind: str) -> str:
        return self._release.logging_option(self._folder, kind)


def _replication(nodes: int) -> dict[str, str]:
    """Internal topics on every node, one of which may be down when there are three."""
    factor, least = str(nodes), str(max(1, nodes - 1))
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": least,
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": least,
    }


def _uuid() -> str:
    """A random id as Kafka writes them; it must not begin with a dash."""
    while (text := base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text
