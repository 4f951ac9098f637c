"""Names fanout gives to things on the cluster, written once."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

__all__ = ["RunNames", "forward_prefix", "is_temp_topic", "lanes_group", "new_run_id", "redrive_group", "runs_of"]

MAX_TOPIC = 249
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-z]{4}")
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class RunNames:
    """Everything one run of a topic is called."""

    source: str
    run: str

    @property
    def temp_topic(self) -> str:
        """Where the records wait for the run's workers."""
        return f"{_temp_prefix(self.source)}{self.run}"

    @property
    def forward_group(self) -> str:
        """The group whose offsets say what was forwarded."""
        return f"fanout.{self.run}.forward"

    @property
    def work_group(self) -> str:
        """The group whose offsets say what was settled."""
        return f"fanout.{self.run}.work"

    @property
    def transactional_prefix(self) -> str:
        """First part of the lanes' transactional ids."""
        return f"fanout.{self.run}"

    def transactional_id(self, partition: int) -> str:
        """The transactional id of the lane of one source partition."""
        return f"{self.transactional_prefix}.{self.source}.{partition}"


def forward_prefix(group: str) -> str:
    """First part of the lanes' transactional ids outside a run."""
    return f"fanout.{group}"


def lanes_group(group: str) -> str:
    """The group that assigns lanes to the processes that share them."""
    return f"fanout.{group}.lanes"


def redrive_group(topic: str) -> str:
    """The group whose offsets say which letters of `topic` went back; also the redrive's transactional id."""
    return f"fanout.{topic}.redrive"


def new_run_id(now: datetime) -> str:
    """A run id that sorts by time: `20260131-080000-x7k2`."""
    return f"{now:%Y%m%d-%H%M%S}-" + "".join(secrets.choice(ALPHABET) for _ in range(4))


def runs_of(source: str, topics: list[str]) -> list[RunNames]:
    """The runs whose temp topics of `source` are among `topics`, oldest first."""
    prefix = _temp_prefix(source)
    ids = [topic.removeprefix(prefix) for topic in topics if topic.startswith(prefix)]
    return [RunNames(source, run) for run in sorted(ids) if RUN_ID.fullmatch(run)]


def is_temp_topic(topic: str) -> bool:
    """Whether `topic` is called as only runs call theirs."""
    return topic.startswith("fanout.") and RUN_ID.fullmatch(topic.rpartition(".")[2]) is not None


def _temp_prefix(source: str) -> str:
    prefix = f"fanout.{source}."
    if len(prefix) + len("YYYYMMDD-HHMMSS-xxxx") > MAX_TOPIC:
        return f"fanout.{hashlib.sha256(source.encode()).hexdigest()[:32]}."
    return prefix
