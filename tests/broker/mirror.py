"""Apache Kafka's own Java producer, choosing the partition of keys that are no text."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fanout.demo.jars import class_path, find_java

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MIRROR", "MOST_BYTES", "mirroring"]

MIRROR = "3.9.1"
"""The last release with the first MirrorMaker: what a Java consumer reads, a Java producer writes, unseen, to the
partition that it chooses. It keeps a topic's name, so the two topics stand on two clusters."""
MOST_BYTES = 4 << 20
"""Of one request."""


@contextmanager
def mirroring(origin: str, destination: str, topic: str, folder: Path) -> Iterator[None]:
    """Runs the first MirrorMaker for the time of the block."""
    consumer, producer, log = folder / "consumer.properties", folder / "producer.properties", folder / "mirror.log"
    consumer.write_text(f"bootstrap.servers={origin}\ngroup.id={topic}-mirror\nauto.offset.reset=earliest\n")
    producer.write_text(f"bootstrap.servers={destination}\nmax.request.size={MOST_BYTES}\n")
    files = ["--consumer.config", str(consumer), "--producer.config", str(producer)]
    command = [str(find_java()), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path(MIRROR)]
    with log.open("w") as said:
        mirror = subprocess.Popen(
            [*command, "kafka.tools.MirrorMaker", *files, "--include", topic],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield
            assert mirror.poll() is None, log.read_text()
        finally:
            mirror.kill()
            mirror.wait()
