"""
The control plane's admin connection: topics, groups, and what the cluster is made of.

Committed offsets are not here. They go through the core, because the admin client
can crash the process while a group's coordinator is not ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import DescribeClusterResult, ResourceType

from .answers import Link
from .groups import Groups
from .topics import Topics, settings_of

__all__ = ["Admin", "ClusterFacts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFacts:
    """Which cluster answered: its id, its brokers as `host:port`, and one broker's settings in force."""

    cluster_id: str
    brokers: Mapping[int, str]
    settings: Mapping[str, str]


class Admin:
    """An admin connection. Nothing is dialled before the first question; each takes at most `timeout_s`."""

    def __init__(self, properties: Mapping[str, str], *, timeout_s: float = 30.0) -> None:
        self._link = Link(properties, timeout_s)
        self.topics = Topics(self._link)
        self.groups = Groups(self._link)

    def cluster(self) -> ClusterFacts:
        """The cluster's id and brokers, and the settings of the broker with the lowest id."""
        link = self._link
        found: DescribeClusterResult = link.all(
            lambda: link.client.describe_cluster(request_timeout=link.timeout_s), "DescribeCluster"
        )
        brokers = {node.id: f"{node.host}:{node.port}" for node in found.nodes}
        settings = settings_of(self._link, ResourceType.BROKER, str(min(brokers)))
        return ClusterFacts(cluster_id=found.cluster_id or "unknown", brokers=brokers, settings=settings)
