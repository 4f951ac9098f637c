"""The worker processes of a run, as the drain sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fanout.config.work import RunWork, WorkSettings
from fanout.kafka.names import RunNames
from fanout.kafka.ports import Cluster
from fanout.work.check import check_work
from fanout.work.supervisor import Supervisor

from .ports import WorkOrder
from .settings import DrainSettings

__all__ = ["Crew", "check_app"]


IN_FLIGHT_RECORDS = 2_000
FETCH_BYTES = str(128 * 1024)
"""What a worker reads of one target before it turns to the next. The finished mark waits for the slowest target: with a
long read-ahead a worker is busy with one target for minutes, while the first record of another holds the mark."""


class Crew:
    """A supervisor with the run's orders."""

    def __init__(self, order: WorkOrder) -> None:
        self._supervisor = Supervisor(_work_settings(order.settings, order.names, order.allotments))
        self._stopped = False

    def start(self) -> None:
        """Starts the processes and returns."""
        self._supervisor.start()

    def check(self) -> Sequence[str]:
        """Raises what stopped them, if something has; else the records that wait for another attempt, and why."""
        return self._supervisor.poll().parked

    def restarts(self) -> int:
        """How many had to be started again after they died."""
        return sum(self._supervisor.poll().restarts.values())

    def stop(self) -> None:
        """Ends them cleanly; a second call does nothing."""
        if not self._stopped:
            self._stopped = True
            self._supervisor.stop()


def check_app(settings: DrainSettings, names: RunNames, cluster: Cluster) -> None:
    """Raises ConfigError or RefusedError when the app does not import, does not handle the topic, or lacks a topic.

    The temp topic is taken to be there: it is made only after everything else was found right.
    """
    check_work(_work_settings(settings, names, {}), _Foreseen(cluster, names.temp_topic))


@dataclass(frozen=True)
class _Foreseen:
    """The cluster as it will be once the temp topic is made."""

    cluster: Cluster
    temp_topic: str

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has; the temp topic has at least one."""
        return 1 if topic == self.temp_topic else self.cluster.partitions(topic)


def _work_settings(settings: DrainSettings, names: RunNames, allotments: Mapping[int, Sequence[int]]) -> WorkSettings:
    sources = {target: source for source, targets in allotments.items() for target in targets}
    clients = settings.clients
    even = {"max.partition.fetch.bytes": clients.common.get("max.partition.fetch.bytes", FETCH_BYTES)}
    return WorkSettings(
        clients=replace(clients, consumer=clients.consumer.over(even)),
        app=settings.app,
        app_dir=str(settings.app_dir or "."),
        group=names.work_group,
        workers=settings.workers,
        in_flight_records=IN_FLIGHT_RECORDS,
        dedup=settings.dedup,
        run=RunWork(run=names.run, source=names.source, topic=names.temp_topic, sources=sources),
    )
