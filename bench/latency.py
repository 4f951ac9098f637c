"""
Question: how long after it was produced can a record be read from the target, by what is promised of it?

Run it alone: `.venv/bin/python bench/latency.py`. Records come one by one, far below what a lane can carry, so nothing
queues: what is seen is the way itself, and the wait for a transaction to end.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fanout._fanout import Forwarder
from fanout.config.forward import ForwardSettings
from fanout.demo.cluster import Cluster
from forward import machine, report

PER_S = 100
WARM_UP = 100
READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Mode:
    """A promise, and how old a transaction, or a checkpoint, gets."""

    delivery: str
    interval_ms: int


MODES = (
    Mode("at-least-once", 500),
    Mode("exactly-once", 20),
    Mode("exactly-once", 200),
    Mode("exactly-once", 1000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000, metavar="N", help="measured in each mode")
    records = parser.parse_args().records
    print(report.machine_line(machine.facts()), flush=True)
    print(f"{'promise':<14} {'commit interval':>15} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}  records")
    with Cluster() as kafka:
        measure(kafka.bootstrap, MODES[0], "warm-up", records)  # a broker that has just started is slow
        for number, mode in enumerate(MODES):
            seen_ms = sorted(measure(kafka.bootstrap, mode, f"latency-{number}", records))
            p99 = statistics.quantiles(seen_ms, n=100)[98]
            print(
                f"{mode.delivery:<14} {mode.interval_ms:>12} ms {statistics.median(seen_ms):>8.1f} {p99:>8.1f} "
                f"{seen_ms[-1]:>8.1f}  {len(seen_ms)}",
                flush=True,
            )


def measure(bootstrap: str, mode: Mode, name: str, records: int) -> list[float]:
    """Milliseconds from the producer's call to the reader's hand, of each record after the warm-up."""
    source, target = f"{name}-source", f"{name}-target"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(source, 1), NewTopic(target, 3)]).values():
        made.result()
    forwarder = Forwarder(settings(bootstrap, source, target, mode))
    lane = threading.Thread(target=forwarder.run, name="lanes")
    lane.start()
    try:
        return follow(bootstrap, source, target, records)
    finally:
        forwarder.stop()
        lane.join()


def follow(bootstrap: str, source: str, target: str, records: int) -> list[float]:
    """Produces at a steady pace on a thread of its own and reads what arrives."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{target}-reader",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([target])
    feeder = threading.Thread(target=feed, args=(bootstrap, source, WARM_UP + records), name="feeder")
    feeder.start()
    seen_ms: list[float] = []
    give_up = time.monotonic() + READY_S + (WARM_UP + records) / PER_S
    try:
        while len(seen_ms) < WARM_UP + records:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{len(seen_ms)} of {WARM_UP + records} records arrived")
            message = reader.poll(1)
            if message is not None and message.error() is None:
                seen_ms.append((time.monotonic_ns() - int(message.value() or b"0")) / 1e6)
    finally:
        feeder.join()
        reader.close()
    return seen_ms[WARM_UP:]


def feed(bootstrap: str, source: str, records: int) -> None:
    """Each record's value is the moment of its call."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
    began = time.monotonic()
    for number in range(records):
        time.sleep(max(0.0, began + number / PER_S - time.monotonic()))
        producer.produce(source, b"%d" % time.monotonic_ns(), b"%d" % number)
        producer.poll(0)
    producer.flush(30)


def settings(bootstrap: str, source: str, target: str, mode: Mode) -> ForwardSettings:
    """All defaults but the promise and its interval."""
    return ForwardSettings(
        properties={"bootstrap.servers": bootstrap},
        source=source,
        target=target,
        group=target,
        transactional_prefix=f"fanout.{target}",
        partitions=[0],
        start={0: 0},
        end=None,
        route="key",
        partitioner="murmur2",
        allotments=None,
        origin="none",
        compression="same",
        delivery=mode.delivery,
        transaction_ms=mode.interval_ms,
    )


if __name__ == "__main__":
    main()
