"""What a handling process is told in its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

__all__ = ["Order"]

VARIABLE = "BENCH_WORK_ORDER"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One backlog to handle. Peers read it, too, so it needs nothing but the standard library.

    records: how many the topic holds, numbered from 0.
    wait_s: how long the handler sleeps; 0 is the one that does nothing.
    at_once: records in flight, of a runtime that can be told.
    redis: URL of the store of a cell with dedup; else empty.
    told: the file that the tally is written to, once all are handled.
    """

    bootstrap: str
    topic: str
    group: str
    records: int
    wait_s: float
    at_once: int
    redis: str
    told: str

    def environment(self) -> dict[str, str]:
        """That of this process, with the order in it."""
        return {**os.environ, VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def read(cls) -> Self:
        """The order of this process."""
        return cls(**json.loads(os.environ[VARIABLE]))

    def of_worker(self) -> Self:
        """The same for a worker whose supervisor has more to tell than it has."""
        return replace(self, told=f"{self.told}.worker")

    def tell(self, told: Mapping[str, Any]) -> None:
        """Writes what is told whole or not at all: who waits for the file reads it the moment it is there."""
        written = Path(f"{self.told}.part")
        written.write_text(json.dumps(told), encoding="utf-8")
        written.rename(self.told)
