"""Kafka's own perf tools: what broker and network of this machine give a client that does nothing with its records."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fanout.demo.cluster import TOOLS
from fanout.demo.jars import class_path, find_java

if TYPE_CHECKING:
    from forward.cells import Source

__all__ = ["CONSUMER", "PRODUCER", "consume", "produce"]

PRODUCER = "kafka-producer-perf-test"
CONSUMER = "kafka-consumer-perf-test"

PRODUCER_PROPERTIES = ("acks=all", "batch.size=262144", "linger.ms=20")
JAVA_OPTIONS = ("-Xmx1g", "-XX:+UseParallelGC")
TIMEOUT_S = 120


def produce(bootstrap: str, topic: str, source: Source, records: int) -> float:
    """Fills `topic` with records of the source's size; returns the seconds the tool itself counts."""
    options = ["--record-size", str(source.record_bytes), "--throughput", "-1"]
    sizes = ["--topic", topic, "--num-records", str(records)]
    told = _java(PRODUCER, [*sizes, *options, "--bootstrap-server", bootstrap, *_properties(PRODUCER_PROPERTIES)])
    # "1000000 records sent, 812345.1 records/sec (77.47 MB/sec), …"
    last = told.splitlines()[-1]
    return records / float(last.split(",")[1].split()[0])


def consume(bootstrap: str, topic: str, records: int) -> float:
    """Reads `topic`; returns the seconds the tool counts once its partitions are assigned."""
    sizes = ["--topic", topic, "--num-records", str(records), "--group", f"perf.{topic}.{records}"]
    told = _java(CONSUMER, [*sizes, "--bootstrap-server", bootstrap, "--hide-header"])
    # start, end, MB, MB/s, records, records/s, ms until assigned, ms of fetching, …
    fields = next(line for line in told.splitlines() if line.count(",") >= 9).split(",")
    return float(fields[7]) / 1000


def _properties(properties: tuple[str, ...]) -> list[str]:
    return ["--command-property", *properties]


def _java(tool: str, arguments: list[str]) -> str:
    """Not by `Cluster.tool`, which saves the optimising compiler: these run long enough to need it."""
    command = [str(find_java()), *JAVA_OPTIONS, "-cp", class_path(), TOOLS[tool], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{tool} failed: {done.stdout}{done.stderr}")
    return done.stdout
