"""The throw-away Kafka: what it can do to its nodes, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from fanout.demo.cluster import Cluster
from fanout.errors import UnreachableError
from faults.proxy import Proxy
from oracle.ends import settled_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Kafka, Topics

START_BUDGET_S = 10.0


@pytest.fixture(scope="module")
def one_node() -> Iterator[Cluster]:
    """A node for the tests that leave it running."""
    with Cluster() as cluster:
        yield cluster


def test_one_node_answers_within_its_budget() -> None:
    took: list[float] = []
    while not took or (took[-1] > START_BUDGET_S and len(took) < 3):  # the first may fetch the jars
        began = time.monotonic()
        with Cluster() as cluster:
            took.append(time.monotonic() - began)
            assert len(AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=30).brokers) == 1
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    print(f"one node started in {took[-1]:.1f} s, with {crowd:.1f} programs for each core")
    assert took[-1] < START_BUDGET_S * crowd


def test_a_clean_restart_keeps_the_records(one_node: Cluster) -> None:
    write(one_node, "restarted", b"before the stop")
    one_node.node(1).stop()
    assert not one_node.node(1).is_running()
    one_node.node(1).start()
    write(one_node, "restarted", b"after the start")
    assert read(one_node, "restarted", 2) == [b"before the stop", b"after the start"]


def test_a_killed_node_comes_back_with_its_records(one_node: Cluster) -> None:
    write(one_node, "killed", b"acknowledged")
    one_node.node(1).kill()
    assert not one_node.node(1).is_running()
    one_node.node(1).start()
    assert read(one_node, "killed", 1) == [b"acknowledged"]


def test_a_paused_node_is_silent_until_it_is_resumed(one_node: Cluster) -> None:
    one_node.node(1).pause()
    asking = AdminClient({"bootstrap.servers": one_node.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        asking.list_topics(timeout=1)
    one_node.node(1).resume()
    wait_until(lambda: bool(asking.list_topics(timeout=30).brokers), "it is not known again")


def test_three_nodes_survive_the_loss_of_the_first(own_cluster: Callable[..., Cluster]) -> None:
    cluster = own_cluster(nodes=3)
    write(cluster, "notes", b"acknowledged by three")
    cluster.node(1).kill()
    write(cluster, "notes", b"acknowledged by two")
    assert read(cluster, "notes", 2) == [b"acknowledged by three", b"acknowledged by two"]


def test_settings_of_all_nodes_and_of_one_reach_the_brokers(own_cluster: Callable[..., Cluster]) -> None:
    cluster = Cluster(nodes=2, properties={"offsets.retention.minutes": "77"})
    cluster.node(2).own_properties["message.max.bytes"] = "2000000"
    own_cluster(cluster)
    assert setting(cluster, 1, "offsets.retention.minutes") == "77"
    assert setting(cluster, 1, "message.max.bytes") != "2000000"
    assert setting(cluster, 2, "message.max.bytes") == "2000000"


def test_a_feature_level_gives_the_older_transaction_protocol(own_cluster: Callable[..., Cluster]) -> None:
    cluster = own_cluster(features={"transaction.version": 1})
    described = cluster.tool("kafka-features", ["describe"])
    (line,) = (line for line in described.splitlines() if "transaction.version" in line)
    assert "FinalizedVersionLevel: 1" in line


def test_the_port_brokers_tell_each_other_can_be_chosen() -> None:
    cluster = Cluster(nodes=2)
    cluster.node(2).advertised_internal_port = 19_999
    settings = cluster.node(2).properties(Path("data"), [cluster.node(1)])
    assert f"INTERNAL://127.0.0.1:{cluster.node(2).internal_port}" in settings["listeners"]
    assert "INTERNAL://127.0.0.1:19999" in settings["advertised.listeners"]
    assert settings["process.roles"] == "broker"


def test_commit_markers_can_be_stalled_between_two_brokers_and_the_oracle_waits_for_them(
    own_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.ends._MARKERS_S", 0.2)
    cluster = Cluster(nodes=2, properties={"transaction.state.log.num.partitions": "1"})
    with Proxy(cluster.node(2).internal_port) as proxy:
        cluster.node(2).advertised_internal_port = proxy.port
        own_cluster(cluster)
        # Node 2 leads the data; node 1 the transaction, so that its markers pass through the proxy.
        create_on(cluster, "notes", 2)
        create_on(cluster, "__transaction_state", 1, "cleanup.policy=compact")
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": "writer"})
        producer.init_transactions(60)
        producer.begin_transaction()
        producer.produce("notes", b"committed, but not seen yet")
        assert producer.flush(60) == 0
        proxy.stall()
        producer.commit_transaction(60)
        assert (high_watermark(cluster), last_stable_offset(cluster)) == (1, 0)
        with ThreadPoolExecutor(1) as aside:
            seen = aside.submit(settled_ends, cluster.bootstrap, "notes")
            time.sleep(2)
            assert not seen.done(), "the marker was not waited for"
            proxy.flow()
            assert seen.result() == {0: 2}


def test_kafkas_own_tools_run_and_read_the_segments(one_node: Cluster) -> None:
    write(one_node, "dumped", b"seen in the segment")
    segment = one_node.log_folder(1, "dumped", 0) / "00000000000000000000.log"
    dumped = one_node.tool("kafka-dump-log", ["--files", str(segment), "--print-data-log"])
    assert "payload: seen in the segment" in dumped


def test_a_tool_that_fails_says_why(one_node: Cluster) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        one_node.tool("kafka-topics", ["--describe", "--topic", "no-such-topic"])
    assert "no-such-topic" in failed.value.__notes__[0]


def test_a_node_that_cannot_start_shows_its_log(own_cluster: Callable[..., Cluster]) -> None:
    with pytest.raises(UnreachableError, match=r"(?s)node-1 ended with code 1.*no\.such\.Reporter"):
        own_cluster(properties={"metric.reporters": "no.such.Reporter"})


def test_a_setting_kafka_does_not_take_is_named_before_any_node_starts(own_cluster: Callable[..., Cluster]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        own_cluster(properties={"num.network.threads": "0"})
    assert "num.network.threads" in refused.value.__notes__[0]


def test_topics_of_a_test_have_names_and_settings_of_their_own(kafka: Kafka, topics: Topics) -> None:
    first, second = topics("orders", 3, {"retention.ms": "-1"}), topics("orders", 1)
    known = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=5).topics
    assert first != second
    assert len(known[first].partitions) == 3
    assert len(known[second].partitions) == 1


OWNER = """
import os, signal, sys, time
from fanout.demo.cluster import Cluster

def fail(_cluster):
    raise RuntimeError("on purpose")

def interrupted(_cluster):
    os.killpg(0, signal.SIGINT)    # what a terminal sends: to the whole foreground group
    time.sleep(60)

def forgets(_cluster):
    if os.fork() == 0:             # a child that outlives its parent, and holds its pipes open
        time.sleep(5)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

def terminated(_cluster):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

def normal(_cluster):
    pass

# A shell starts its background jobs with this one ignored, and so would a test run among them.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Cluster() as cluster:
    cluster.node(1).pause()        # the hardest to end: a stopped process heeds nothing but SIGKILL
    print(cluster.node(1).pid, cluster.logs.parent, flush=True)
    globals()[sys.argv[1]](cluster)
"""


@pytest.mark.parametrize("end", ["normal", "fail", "interrupted", "terminated", "forgets"])
def test_nothing_is_left_however_the_owner_ends(end: str) -> None:
    command = [sys.executable, "-c", OWNER, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
    assert (owner.returncode == 0) == (end == "normal")
    wait_until(lambda: not Path(folder).exists(), "the folder is still there")
    wait_until(lambda: not Path("/proc", pid).exists(), "the broker still runs")


def test_a_killed_keeper_takes_the_brokers_with_it(own_cluster: Callable[..., Cluster]) -> None:
    node = own_cluster().node(1)
    keeper = int(Path("/proc", str(node.pid), "stat").read_text(encoding="ascii").split()[3])
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not Path("/proc", str(node.pid)).exists(), "the broker still runs")


def test_the_libraries_that_a_broker_unpacks_go_with_its_cluster(one_node: Cluster) -> None:
    packed = NewTopic("packed", num_partitions=1, config={"compression.type": "lz4"})
    admin = AdminClient({"bootstrap.servers": one_node.bootstrap})
    admin.create_topics([packed])["packed"].result()
    write(one_node, "packed", b"by the broker")
    folder = one_node.logs.parent
    assert list(folder.glob("liblz4-java*")), [found.name for found in folder.iterdir()]


def write(cluster: Cluster, topic: str, value: bytes) -> None:
    """Writes one acknowledged record to `topic`, which is made when it is missing."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    if topic not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result()
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "log_level": 0})
    producer.produce(topic, value, on_delivery=lambda error, _message: errors.append(error))
    assert producer.flush(60) == 0
    assert errors == [None]


def read(cluster: Cluster, topic: str, count: int) -> list[bytes | None]:
    """The first `count` values of `topic`."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0}
    )
    try:
        consumer.subscribe([topic])
        return [message.value() for message in consumer.consume(count, timeout=60)]
    finally:
        consumer.close()


def setting(cluster: Cluster, node: int, name: str) -> str:
    """One broker setting as the broker itself tells it."""
    described = cluster.tool(
        "kafka-configs", ["--describe", "--all", "--entity-type", "brokers", "--entity-name", str(node)]
    )
    (line,) = (line for line in described.splitlines() if line.strip().startswith(f"{name}="))
    return line.strip().split(" ")[0].removeprefix(f"{name}=")


def create_on(cluster: Cluster, topic: str, node: int, setting: str = "cleanup.policy=delete") -> None:
    """Makes `topic` with one partition, which lives on `node` alone."""
    where = ["--replica-assignment", str(node), "--config", setting, "--config", "min.insync.replicas=1"]
    cluster.tool("kafka-topics", ["--create", "--topic", topic, *where])


def high_watermark(cluster: Cluster) -> int:
    """The end of the topic `notes` as replicated."""
    return end_of_notes(cluster, IsolationLevel.READ_UNCOMMITTED)


def last_stable_offset(cluster: Cluster) -> int:
    """The end of the topic `notes` for read_committed readers."""
    return end_of_notes(cluster, IsolationLevel.READ_COMMITTED)


def end_of_notes(cluster: Cluster, isolation: IsolationLevel) -> int:
    """The end of the topic `notes` for readers of one isolation level."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    wanted = TopicPartition("notes", 0)
    listed = admin.list_offsets({wanted: OffsetSpec.latest()}, isolation_level=isolation)  # type: ignore[no-untyped-call]
    offset: int = listed[wanted].result().offset
    return offset


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    """Waits up to a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
