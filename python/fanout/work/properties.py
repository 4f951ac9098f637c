"""The client properties of a worker: what it needs, what it offers to be overridden, what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fanout.config.properties import Properties
from fanout.errors import ConfigError

if TYPE_CHECKING:
    from fanout.config.work import WorkSettings

    from .start import WhereNew

__all__ = [
    "consumer_properties",
    "is_cooperative",
    "member_properties",
    "producer_properties",
    "where_new",
    "with_instance",
]

NEEDED = {
    # The ledger alone says what is committed.
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    # The only word of a position past markers that no record follows.
    "enable.partition.eof": "true",
    "isolation.level": "read_committed",
}

OFFERED = {
    # A position that is gone stops the worker: records expired unread, and that is never passed over in silence.
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": "10",
    "queued.max.messages.kbytes": "8192",
    "queued.min.messages": "10000",
}

NEEDED_IN_RUN = {
    **NEEDED,
    "auto.offset.reset": "error",
    # A worker that comes or goes leaves the partitions of the others alone.
    "partition.assignment.strategy": "cooperative-sticky",
}

OFFERED_IN_RUN = {
    **OFFERED,
    # How long the partitions of a killed worker wait.
    "session.timeout.ms": "10000",
}

CLASSIC_ONLY = frozenset({"partition.assignment.strategy", "session.timeout.ms"})
"""What members of the consumer protocol (KIP-848) do not choose."""

INSTANCE = "group.instance.id"

PRODUCER = {
    "acks": "all",
    "enable.idempotence": "true",
    "linger.ms": "5",
    # A dead-letter topic that was deleted is waited for; made anew by a broker's defaults it would keep what it gets a
    # week, on one replica.
    "allow.auto.create.topics": "false",
    # The topic says what is too large; the client's own limit lies below it and counts differently.
    "message.max.bytes": "1000000000",
}

PLACES: dict[str, WhereNew] = {
    "earliest": "earliest",
    "smallest": "earliest",
    "beginning": "earliest",
    "latest": "latest",
    "largest": "latest",
    "end": "latest",
    "error": "error",
}
"""librdkafka's words for a place, and ours."""


def consumer_properties(settings: WorkSettings, group: str) -> dict[str, str]:
    """Properties of one consumer. ConfigError for one that would let records be lost."""
    own = dict(settings.clients.of("consumer", "work"))
    offered, required = (OFFERED_IN_RUN, NEEDED_IN_RUN) if settings.run else (OFFERED, NEEDED)
    for name, needed in NEEDED.items():
        if own.get(name, needed).lower() != needed:
            raise ConfigError(name, f"a worker needs {needed}: with {own[name]} records could be lost; remove it")
    chosen = {**offered, **own, **required, "group.id": group}
    if not _is_consumer_protocol(own):
        return chosen
    if INSTANCE in own:
        raise ConfigError(INSTANCE, "with group.protocol=consumer a process that was killed cannot come back under its "
                          "name before its session ends: use one of the two")  # fmt: skip
    for name in CLASSIC_ONLY & own.keys():
        raise ConfigError(name, "with group.protocol=consumer the brokers decide that; remove it")
    return {name: value for name, value in chosen.items() if name not in CLASSIC_ONLY}


def with_instance(settings: WorkSettings, seat: int) -> WorkSettings:
    """The settings of one of the processes: each static member needs a name nobody else has, the same after a restart.

    It is what the user chose for this host, the number of the process, and, added by `member_properties`, the topic.
    """
    instance = settings.clients.of("consumer", "work").get(INSTANCE)
    if instance is None:
        return settings
    consumer = Properties({INSTANCE: f"{instance}-{seat}"}).over(settings.clients.consumer)
    return replace(settings, clients=replace(settings.clients, consumer=consumer))


def member_properties(settings: WorkSettings, group: str, topic: str) -> dict[str, str]:
    """`consumer_properties` of the one that reads `topic`."""
    properties = consumer_properties(settings, group)
    return {**properties, INSTANCE: f"{properties[INSTANCE]}-{topic}"} if INSTANCE in properties else properties


def producer_properties(settings: WorkSettings) -> dict[str, str]:
    """Properties of the producer of dead letters and of retries."""
    return {**settings.clients.of("producer", "work"), **PRODUCER}


def where_new(settings: WorkSettings) -> WhereNew:
    """Where a group that has never committed begins: at the start unless `auto.offset.reset` says otherwise."""
    said = settings.clients.of("consumer", "work").get("auto.offset.reset", "earliest")
    if said not in PLACES:
        raise ConfigError("auto.offset.reset", f"{said!r} is none of {', '.join(PLACES)}")
    return PLACES[said]


def is_cooperative(properties: dict[str, str]) -> bool:
    """Whether partitions move one by one instead of all at once."""
    strategy = properties.get("partition.assignment.strategy", "")
    return strategy.startswith("cooperative") or _is_consumer_protocol(properties)


def _is_consumer_protocol(properties: Mapping[str, str]) -> bool:
    return properties.get("group.protocol", "classic").lower() == "consumer"
