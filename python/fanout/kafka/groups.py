"""
Consumer groups: whether anyone is in them, and who.

Only what members show is known here. Consumers that assign partitions to themselves
never appear as members, whatever they commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import ConsumerGroupDescription, MemberDescription

from fanout.errors import BrokerError

from .answers import Link

__all__ = ["Group", "Groups", "Member"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member, as an operator would look for it."""

    client_id: str
    host: str
    instance_id: str | None
    partitions: Sequence[str]

    def __str__(self) -> str:
        static = f", static {self.instance_id}" if self.instance_id else ""
        held = f" with {', '.join(self.partitions)}" if self.partitions else ""
        return f"{self.client_id} on {self.host}{static}{held}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group, its state by Kafka's name (`EMPTY`, `STABLE`, `DEAD` when there is none) and its members."""

    name: str
    state: str
    members: Sequence[Member]

    @property
    def is_idle(self) -> bool:
        """Whether it has no members and expects none."""
        return self.state in ("EMPTY", "DEAD") and not self.members


class Groups:
    """Group questions to the admin client."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def describe(self, name: str) -> Group:
        """The group; one that does not exist is `DEAD` and has no members."""
        link = self._link
        try:
            found: ConsumerGroupDescription = link.one(
                lambda: link.client.describe_consumer_groups([name], request_timeout=link.timeout_s), "DescribeGroups"
            )
        except BrokerError as error:
            if error.code == "GROUP_ID_NOT_FOUND":
                return Group(name=name, state=ConsumerGroupState.DEAD.name, members=())
            raise
        return Group(name=name, state=found.state.name, members=tuple(_member(one) for one in found.members))

    def delete(self, name: str) -> None:
        """Deletes a group without members, with its offsets; one that is gone already is fine."""
        link = self._link
        try:
            link.one(lambda: link.client.delete_consumer_groups([name], request_timeout=link.timeout_s), "DeleteGroups")
        except BrokerError as error:
            if error.code != "GROUP_ID_NOT_FOUND":
                raise


def _member(found: MemberDescription) -> Member:
    held = found.assignment.topic_partitions if found.assignment else []
    return Member(
        client_id=found.client_id,
        host=found.host.removeprefix("/"),
        instance_id=found.group_instance_id or None,
        partitions=tuple(f"{one.topic}/{one.partition}" for one in held),
    )
