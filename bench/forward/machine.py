"""Where the figures come from."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from fanout.demo.release import KAFKA_VERSION

__all__ = ["facts"]


def facts() -> dict[str, str]:
    """What a reader must know of the machine and the parts to read the figures."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": f"{os.cpu_count()} × {_cpu()}",
        "memory": f"{pages * page / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "confluent-kafka": version("confluent-kafka"),
        "fanout": version("kafka-fanout"),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
