"""Topics and their settings: looked at, made, and read back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from fanout.errors import BrokerError, RefusedError

from .answers import Link

__all__ = ["Topic", "TopicSpec", "Topics", "settings_of"]

SETTLE_S = 15.0
"""How long a topic that was just made may take to be known everywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A topic as its brokers describe it. `replication` is the least that any partition has."""

    name: str
    partitions: int
    replication: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """A topic to make: partition count, replicas, and settings that must read back as written."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


class Topics:
    """Topic questions to the admin client."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def names(self) -> list[str]:
        """Every topic of the cluster that this principal may see, internal ones too, sorted."""
        try:
            return sorted(self._link.client.list_topics(timeout=self._link.timeout_s).topics)
        except KafkaException as error:
            raise self._link.fault(error, "Metadata", "all topics") from error

    def describe(self, name: str) -> Topic | None:
        """The topic; None when there is none of that name."""
        link, asked = self._link, TopicCollection([name])
        try:
            found: TopicDescription = link.one(
                lambda: link.client.describe_topics(asked, request_timeout=link.timeout_s), "DescribeTopicPartitions"
            )
        except BrokerError as error:
            if error.code == "UNKNOWN_TOPIC_OR_PART":
                return None
            raise
        return Topic(
            name=found.name,
            partitions=len(found.partitions),
            replication=min((len(partition.replicas) for partition in found.partitions), default=0),
        )

    def settings(self, name: str) -> dict[str, str]:
        """Every setting of the topic with the value in force; secret ones are left out."""
        return settings_of(self._link, ResourceType.TOPIC, name)

    def make(self, spec: TopicSpec) -> Topic:
        """Creates the topic and reads it back.

        Raises RefusedError when the name is taken, the cluster refuses, or a setting reads back different.
        A topic that read back different is still there, empty; the message says so.
        """
        link = self._link
        new = NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.settings))
        try:
            link.one(lambda: link.client.create_topics([new], request_timeout=link.timeout_s), "CreateTopics")
        except BrokerError as error:
            raise RefusedError(f"topic {spec.name} cannot be made ({error.code})", error.remedy) from error
        return self._read_back(spec)

    def alter(self, name: str, settings: Mapping[str, str]) -> None:
        """Sets these settings and leaves every other one as it is."""
        link = self._link
        changes = [
            ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
            for setting, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
        link.one(
            lambda: link.client.incremental_alter_configs([resource], request_timeout=link.timeout_s),
            "IncrementalAlterConfigs",
        )

    def _read_back(self, spec: TopicSpec) -> Topic:
        deadline = time.monotonic() + SETTLE_S
        while (made := self.describe(spec.name)) is None or made.partitions != spec.partitions:
            if time.monotonic() > deadline:
                raise RefusedError(f"topic {spec.name} was made and is not found", "look at the brokers' logs")
            time.sleep(0.1)
        in_force = self.settings(spec.name)
        wrong = [
            f"{setting}={in_force.get(setting)} instead of {value}"
            for setting, value in sorted(spec.settings.items())
            if in_force.get(setting) != value
        ]
        if made.replication < spec.replication:
            wrong.append(f"{made.replication} replicas instead of {spec.replication}")
        if wrong:
            raise RefusedError(
                f"topic {spec.name} does not have what was asked for: {', '.join(wrong)}",
                "the cluster overrides it; the topic is empty and can be deleted",
            )
        return made


def settings_of(link: Link, kind: ResourceType, name: str) -> dict[str, str]:
    """The settings in force of a topic or a broker, without the secret ones."""
    asked = [ConfigResource(kind, name)]
    entries: dict[str, ConfigEntry] = link.one(
        lambda: link.client.describe_configs(asked, request_timeout=link.timeout_s), "DescribeConfigs"
    )
    return {entry.name: entry.value for entry in entries.values() if entry.value is not None}
