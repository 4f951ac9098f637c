"""
What a cluster allows, before anybody relies on it.

Each finding says what was found and, when it is not as it should be, what to do.
`fail` stands in the way of a drain; `warn` weakens what fanout can promise.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import confluent_kafka

from fanout._fanout import __version__

from .admin import ClusterFacts
from .carry import OLDEST_PRODUCE
from .ports import Cluster

__all__ = ["Finding", "check_up", "client_versions"]

EPOCH_EACH = 2
"""The `transaction.version` from which each transaction has an epoch of its own (KIP-890)."""
LANE_TRANSACTION_MS = 30_000
TEMP_MESSAGE_BYTES = 64 * 1024 * 1024

NEEDED = {
    "Produce": OLDEST_PRODUCE,
    "Fetch": 13,
    "OffsetFetch": 8,
    "InitProducerId": 4,
    "AddPartitionsToTxn": 3,
    "AddOffsetsToTxn": 3,
    "TxnOffsetCommit": 3,
    "EndTxn": 3,
    "DeleteTopics": 6,
    "DescribeProducers": 0,
}
"""The version of each request that the core relies on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing looked at."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def client_versions() -> list[Finding]:
    """What runs here."""
    return [
        Finding(check="fanout", verdict="ok", found=f"{__version__}, Python {platform.python_version()}"),
        Finding(
            check="librdkafka",
            verdict="ok",
            found=f"{confluent_kafka.libversion()[0]} by confluent-kafka {version('confluent-kafka')}",
        ),
    ]


def check_up(cluster: Cluster, facts: ClusterFacts) -> Iterator[Finding]:
    """Everything the cluster tells without changing anything."""
    brokers = ", ".join(f"{id_}={address}" for id_, address in sorted(facts.brokers.items()))
    yield Finding(check="cluster", verdict="ok", found=f"{facts.cluster_id}; brokers {brokers}")
    yield _transactions(cluster.transaction_version())
    yield _requests(cluster.api_versions())
    yield _transaction_time(facts.settings)
    yield from _replication(facts)
    yield _unclean(facts.settings)
    yield _offsets_kept(facts.settings)


def _transactions(found: int) -> Finding:
    if found >= EPOCH_EACH:
        return Finding(
            check="transactions", verdict="ok", found=f"transaction.version {found}: exactly-once forwarding"
        )
    return Finding(
        check="transactions",
        verdict="warn",
        found=f"transaction.version {found}: exactly-once forwarding by a new producer after any unclear end, "
        "with more requests a commit",
        remedy="brokers from 4.0 on tell transactions apart by themselves: "
        f"kafka-features upgrade --feature transaction.version={EPOCH_EACH}",
    )


def _requests(offered: Mapping[str, tuple[int, int]]) -> Finding:
    short = [
        f"{name} up to {offered[name][1] if name in offered else 'none'}, needed {least}"
        for name, least in NEEDED.items()
        if name not in offered or offered[name][1] < least
    ]
    if short:
        return Finding(check="requests", verdict="fail", found="; ".join(short), remedy="use brokers from 3.7 on")
    newest = offered["Produce"][1]
    return Finding(check="requests", verdict="ok", found=f"all {len(NEEDED)} as new as needed (Produce {newest})")


def _transaction_time(settings: Mapping[str, str]) -> Finding:
    allowed_ms = int(settings.get("transaction.max.timeout.ms", "900000"))
    found = f"transaction.max.timeout.ms {allowed_ms}"
    if allowed_ms >= LANE_TRANSACTION_MS:
        return Finding(check="transaction time", verdict="ok", found=found)
    remedy = f"lanes ask for {LANE_TRANSACTION_MS}: raise transaction.max.timeout.ms"
    return Finding(check="transaction time", verdict="fail", found=found, remedy=remedy)


def _replication(facts: ClusterFacts) -> Iterator[Finding]:
    """The promise of forwarding is given for three replicas of which two must have a record."""
    for check, factor, least in (
        ("new topics", "default.replication.factor", "min.insync.replicas"),
        ("transaction log", "transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
        ("group offsets", "offsets.topic.replication.factor", "min.insync.replicas"),
    ):
        replicas, in_sync = int(facts.settings.get(factor, "1")), int(facts.settings.get(least, "1"))
        found = f"{factor} {replicas}, {least} {in_sync}, {len(facts.brokers)} brokers"
        if replicas > len(facts.brokers):
            remedy = f"{factor} cannot be met; lower it or add brokers"
            yield Finding(check=check, verdict="fail", found=found, remedy=remedy)
        elif replicas < 3 or in_sync < 2:
            remedy = "one broker's disk can take acknowledged records along; 3 replicas, 2 in sync keep them"
            yield Finding(check=check, verdict="warn", found=found, remedy=remedy)
        else:
            yield Finding(check=check, verdict="ok", found=found)


def _unclean(settings: Mapping[str, str]) -> Finding:
    value = settings.get("unclean.leader.election.enable", "false")
    found = f"unclean.leader.election.enable {value}"
    if value == "false":
        return Finding(check="elections", verdict="ok", found=found)
    remedy = "an unclean election drops acknowledged records: set it to false"
    return Finding(check="elections", verdict="warn", found=found, remedy=remedy)


def _offsets_kept(settings: Mapping[str, str]) -> Finding:
    minutes = int(settings.get("offsets.retention.minutes", "10080"))
    found = f"offsets.retention.minutes {minutes}"
    if minutes >= 1440:
        return Finding(check="offsets kept", verdict="ok", found=found)
    remedy = "an Empty group loses its offsets this soon; a drain keeps the old group Empty: keep it shorter than that"
    return Finding(check="offsets kept", verdict="warn", found=found, remedy=remedy)
