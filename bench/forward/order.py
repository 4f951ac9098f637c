"""What a carrying process is told in its arguments, and what it tells of itself on its stdout when it is done."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Self

__all__ = ["Order", "Usage"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One backlog to carry. A program in any language reads it as `name=value`, one an argument.

    ends: source partition → first offset not to carry; each begins at 0.
    settings: of a fanout mover; others need not read them.
    """

    bootstrap: str
    source: str
    target: str
    targets: int
    records: int
    ends: dict[int, int]
    codec: str
    transaction_records: int
    settings: dict[str, Any]

    def arguments(self) -> list[str]:
        """As they are given to a program."""
        told = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "ends": ",".join(f"{partition}:{end}" for partition, end in self.ends.items()),
            "settings": json.dumps(self.settings),
        }
        return [f"{name}={value}" for name, value in told.items()]

    @classmethod
    def read(cls) -> Self:
        """The order of this process."""
        told: dict[str, Any] = dict(argument.split("=", 1) for argument in sys.argv[1:])
        pairs = (pair.split(":") for pair in told["ends"].split(","))
        told["ends"] = {int(partition): int(end) for partition, end in pairs}
        told["settings"] = json.loads(told["settings"])
        for name in ("targets", "records", "transaction_records"):
            told[name] = int(told[name])
        return cls(**told)


class Usage:
    """What this process uses from now on: interpreter and imports are behind it, its connections are not."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._running_since = 0.0
        self._cpu_before_ns = time.process_time_ns()

    def first_records(self) -> None:
        """Records are in hand: connections and transactional ids are made, from now on it is running."""
        self._running_since = self._running_since or time.monotonic()

    def tell(self, **more: Any) -> None:
        """Writes what was used as one line."""
        cpu_ns = time.process_time_ns() - self._cpu_before_ns
        now = time.monotonic()
        used = {
            "cpu_s": cpu_ns / 1e9,
            "wall_s": now - self._began,
            "running_s": now - self._running_since,
            "peak_bytes": _peak_bytes(),
            **more,
        }
        print(json.dumps(used))


def _peak_bytes() -> int:
    """Resident memory at its highest, of the whole process.

    Not `ru_maxrss`: that one starts with what the parent had when it forked.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no VmHWM")
