"""Ten minutes of a worker that keeps up, over keys that are all new: it holds no more at the end than at the start."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil
from confluent_kafka import Producer

from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.work.supervisor import Supervisor

if TYPE_CHECKING:
    import pytest

    from conftest import Kafka, Topics

HERE = Path(__file__).parent
SECONDS = 600
SETTLING = 10
"""So many parts of the samples. The second and the last are compared: buffers grow to their size in the first."""
LAG = 50_000
"""The writer waits when the worker is so many records behind: nothing expires unread."""
GROWTH_BYTES = 6_000_000
"""What the allocators' luck may add. A byte kept of each record would be more."""

SMALL = {"retention.bytes": str(256 << 20), "segment.bytes": str(32 << 20)}


def test_ten_minutes_of_new_keys_leave_memory_flat(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = topics("long-memory", 4, SMALL)
    monkeypatch.setenv("FANOUT_TEST_TOPIC", topic)

    done, samples = work_and_watch(kafka.bootstrap, topic, SECONDS)

    share = len(samples) // SETTLING
    before, after = median(samples[share : 2 * share]), median(samples[-share:])
    print(f"records={done} samples={len(samples)} rss_before={before / 1e6:.1f} MB rss_after={after / 1e6:.1f} MB")
    assert done > 1_000 * SECONDS, "too few records: the run is void"
    assert after - before < GROWTH_BYTES


def work_and_watch(bootstrap: str, topic: str, seconds: float) -> tuple[int, list[int]]:
    """Records done, and the worker's resident memory once a second."""
    clients = Clients(common=Properties({"bootstrap.servers": bootstrap}))
    settings = WorkSettings(clients=clients, app="memory_app:app", app_dir=str(HERE), group=topic)
    supervisor = Supervisor(settings)
    samples: list[int] = []
    supervisor.start()
    try:
        with _writing(bootstrap, topic, supervisor):
            _wait_done(supervisor, topic)
            (worker,) = supervisor.pids()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                assert supervisor.pids() == [worker], "the worker was replaced: the run is void"
                samples.append(psutil.Process(worker).memory_info().rss)
                supervisor.poll()
                time.sleep(1)
        return _done(supervisor, topic), samples
    finally:
        supervisor.stop()


@contextmanager
def _writing(bootstrap: str, topic: str, supervisor: Supervisor) -> Iterator[None]:
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=(bootstrap, topic, supervisor, stop))
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def _write(bootstrap: str, topic: str, supervisor: Supervisor, stop: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    written = 0
    while not stop.is_set():
        if written - _done(supervisor, topic) > LAG:
            stop.wait(0.1)
            continue
        for number in range(written, written + 1_000):
            producer.produce(topic, b"x" * 200, b"%d" % number)
        written += 1_000
        producer.poll(0)
        stop.wait(0.05)
    producer.flush()


def _wait_done(supervisor: Supervisor, topic: str) -> None:
    deadline = time.monotonic() + 60
    while not _done(supervisor, topic):
        assert time.monotonic() < deadline, "no record was done in a minute"
        supervisor.poll()
        time.sleep(0.1)


def _done(supervisor: Supervisor, topic: str) -> int:
    return supervisor.stats().processed.get(topic, {}).get("done", 0)
