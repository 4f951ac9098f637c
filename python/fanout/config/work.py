"""Settings of workers: a value that crosses to each worker process as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fanout.errors import ConfigError

from .clients import Clients
from .dedup import DedupSettings
from .properties import Properties

__all__ = ["Loop", "Named", "RunWork", "WorkSettings"]

MIB = 1 << 20

Loop = Literal["auto", "asyncio", "uvloop"]

Named = Literal["app", "factory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunWork:
    """What makes workers those of one run.

    run: its id, the tag of every commit.
    source, topic: the run's source topic, whose handler runs, and the temp topic that is read.
    sources: the source partition that each target partition takes records from.
    """

    run: str
    source: str
    topic: str
    sources: Mapping[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkSettings:
    """Everything a worker needs to know.

    app, named, app_dir: `pkg.mod:app`, whether that is the app or makes it, and the folder it is imported from.
    group: its consumer group; None is the app's name.
    topics: which handlers run; none named is all.
    concurrency: overrides each handler's own.
    stop_s: how long running handlers may go on at a stop or when a partition is taken away.
    commit_s: seconds between two commits.
    most_blocked_s: how long a handler may block its event loop, or a process say nothing, before it is replaced.
    dedup: where repeats are remembered; None remembers none.
    max_tasks: a process that has settled as many records is replaced, cleanly and one at a time; None: never.
    in_flight_records, in_flight_bytes: what one process may have read and not settled.
    dead_letter_share, dead_letter_window: more dead letters than this share of as many records, in one process, stop
    all of them.
    """

    clients: Clients
    app: str
    named: Named = "app"
    app_dir: str = "."
    group: str | None = None
    topics: Sequence[str] = ()
    workers: int = 1
    concurrency: int | None = None
    loop: Loop = "auto"
    run: RunWork | None = None
    dedup: DedupSettings | None = None
    stop_s: float = 7.0
    commit_s: float = 0.25
    most_blocked_s: float = 60.0
    max_tasks: int | None = None
    in_flight_records: int = 10_000
    in_flight_bytes: int = 64 * MIB
    dead_letter_share: float = 0.01
    dead_letter_window: int = 1_000

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError("--workers", f"at least one process, not {self.workers}")
        if self.concurrency is not None and self.concurrency < 1:
            raise ConfigError("--concurrency", f"at least one record at a time, not {self.concurrency}")
        if self.most_blocked_s < 1:
            raise ConfigError("--max-blocked", f"at least a second, not {self.most_blocked_s:g}")
        if not 0 <= self.dead_letter_share <= 1:
            raise ConfigError("--dead-letter-share", f"is a part of 1, such as 0.01, not {self.dead_letter_share:g}")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ConfigError("--max-tasks-per-worker", f"at least one record, not {self.max_tasks}")
        if self.run is not None and self.group is None:
            raise ConfigError("--group", "workers of a run read in the run's own group")

    def to_json(self) -> bytes:
        """One line that `from_json` reads back. It holds the clients' secrets."""
        document = {one.name: getattr(self, one.name) for one in fields(self)}
        document["clients"] = {one.name: dict(getattr(self.clients, one.name)) for one in fields(self.clients)}
        document["run"] = None if self.run is None else asdict(self.run)
        document["dedup"] = None if self.dedup is None else asdict(self.dedup)
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> WorkSettings:
        """What `to_json` wrote."""
        document: dict[str, Any] = json.loads(line)
        clients = {name: Properties(items) for name, items in document.pop("clients").items()}
        run, dedup = document.pop("run"), document.pop("dedup")
        if run is not None:
            # JSON knows text keys only.
            sources = {int(target): source for target, source in run.pop("sources").items()}
            run = RunWork(**run, sources=sources)
        remembered = None if dedup is None else DedupSettings(**dedup)
        return cls(**document, clients=Clients(**clients), run=run, dedup=remembered)
