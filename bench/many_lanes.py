"""
Question: what do 200 lanes in one process cost, in connections, threads, memory and CPU?

Run it alone: `.venv/bin/python bench/many_lanes.py`. One broker; a backlog is carried, then the lanes wait for more.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Forwarder
from fanout.config.forward import ForwardSettings
from fanout.demo.cluster import Cluster
from forward import machine, report

RECORDS = 400_000
IDLE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=200, metavar="N")
    lanes = parser.parse_args().lanes
    print(report.machine_line(machine.facts()), flush=True)
    with Cluster() as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for made in admin.create_topics([NewTopic("source", lanes), NewTopic("target", 10)]).values():
            made.result()
        fill(kafka.bootstrap, lanes)
        for delivery in ("exactly-once", "at-least-once"):
            carry(kafka.bootstrap, lanes, delivery)


def fill(bootstrap: str, lanes: int) -> None:
    """The same number of records in every partition."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for number in range(RECORDS):
        producer.produce("source", b"v" * 92, b"%08d" % number, number % lanes)
        producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the backlog was not acknowledged")


def carry(bootstrap: str, lanes: int, delivery: str) -> None:
    """Carries the backlog, waits, and prints what that took beyond what the process had before."""
    before = sockets(), threads()
    forwarder = Forwarder(settings(bootstrap, lanes, delivery))
    worker = threading.Thread(target=forwarder.run, name="lanes")
    cpu, began = time.process_time(), time.monotonic()
    worker.start()
    while any(lane.position < RECORDS // lanes for lane in forwarder.stats()):
        time.sleep(0.05)
    carried_s, carried_cpu = time.monotonic() - began, time.process_time() - cpu
    peak = sockets() - before[0], threads() - before[1] - 1
    cpu = time.process_time()
    time.sleep(IDLE_S)
    idle_cpu = time.process_time() - cpu
    forwarder.stop()
    worker.join()
    print(
        f"delivery={delivery} lanes={lanes} records={RECORDS} seconds={carried_s:.2f} cpu_s={carried_cpu:.2f} "
        f"connections={peak[0]} threads={peak[1]} peak_mib={peak_mib():.0f} "
        f"idle_cpu_percent={100 * idle_cpu / IDLE_S:.1f}",
        flush=True,
    )


def sockets() -> int:
    """Open sockets of this process."""
    return sum(link(each).startswith("socket:") for each in Path("/proc/self/fd").iterdir())


def link(path: Path) -> str:
    """Where a descriptor leads; nothing if it was closed meanwhile."""
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def threads() -> int:
    """Threads of this process."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def peak_mib() -> float:
    """Highest resident memory so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def settings(bootstrap: str, lanes: int, delivery: str) -> ForwardSettings:
    """All defaults."""
    return ForwardSettings(
        properties={"bootstrap.servers": bootstrap},
        source="source",
        target="target",
        group=delivery,
        transactional_prefix=f"fanout.{delivery}",
        partitions=range(lanes),
        start=dict.fromkeys(range(lanes), 0),
        end=None,
        route="key",
        partitioner="murmur2",
        allotments=None,
        origin="none",
        compression="same",
        delivery=delivery,
    )


if __name__ == "__main__":
    main()
