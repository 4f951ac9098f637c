"""
What a drain works with, as protocols: the real ones talk to Kafka, the tests' twins keep it in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fanout.config.forward import ForwardSettings
from fanout.kafka.groups import Group
from fanout.kafka.names import RunNames
from fanout.kafka.ports import Cluster, Forwarder
from fanout.kafka.topics import Topic, TopicSpec

from .settings import DrainSettings

__all__ = ["Doors", "GroupDoor", "Live", "Progress", "Silent", "TopicDoor", "WorkOrder", "Workers"]


class TopicDoor(Protocol):
    """`fanout.kafka.topics.Topics`."""

    def names(self) -> list[str]: ...
    def describe(self, name: str) -> Topic | None: ...
    def settings(self, name: str) -> dict[str, str]: ...
    def make(self, spec: TopicSpec) -> Topic: ...


class GroupDoor(Protocol):
    """`fanout.kafka.groups.Groups`."""

    def describe(self, name: str) -> Group: ...
    def delete(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """What the run's workers are told: whose records they handle and where these come from."""

    settings: DrainSettings
    names: RunNames
    allotments: Mapping[int, Sequence[int]]


class Workers(Protocol):
    """The worker processes of a run."""

    def start(self) -> None:
        """Starts them and returns."""
        ...

    def check(self) -> Sequence[str]:
        """Raises what stopped them, if something has; else the records that wait for another attempt, and why."""
        ...

    def restarts(self) -> int:
        """How many had to be started again after they died."""
        ...

    def stop(self) -> None:
        """Blocks until what they had in hand is settled and committed, and they are gone."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Doors:
    """Everything a drain touches.

    marks: a second control connection with a short timeout, for the finished mark.
    check_app: raises ConfigError or RefusedError when the app does not import, has no handler for the topic, or
    lacks its dead-letter topic.
    """

    cluster: Cluster
    marks: Cluster
    topics: TopicDoor
    groups: GroupDoor
    forwarder: Callable[[ForwardSettings], Forwarder]
    workers: Callable[[WorkOrder], Workers]
    check_app: Callable[[DrainSettings, RunNames, Cluster], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """Numbers of a run at work.

    forwarded, finished: records so far; dead: those of the finished that went to the dead letters.
    total: offsets from the start to the last stable offset now; the records to finish, and the source's markers.
    left: offsets between each finished mark and the last stable offset. marks: the finished marks.
    rate: records a second finished lately. eta_s: None while nothing moves.
    parked: some records that wait for another attempt, and why; they hold the end back.
    """

    elapsed_s: float
    forwarded: int
    finished: int
    dead: int
    total: int
    left: Mapping[int, int]
    marks: Mapping[int, int]
    rate: float
    eta_s: float | None
    parked: Sequence[str]


class Progress(Protocol):
    """Who is told how the run goes. Called from the drain's thread; it must not block."""

    def step(self, name: str, detail: str) -> None:
        """A step begins."""
        ...

    def live(self, live: Live) -> None:
        """A round of the drain is over."""
        ...


class Silent:
    """Tells nobody."""

    def step(self, name: str, detail: str) -> None:
        """Nothing."""

    def live(self, live: Live) -> None:
        """Nothing."""
