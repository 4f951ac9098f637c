"""
Takes a dead process out of its group.

A group waits for a member that died until its session ends, 10 to 45 s, with its partitions unread. The supervisor
knows better: the process has ended, and its threads with it. So it says so in the dead member's name.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from fanout.errors import FanoutError

__all__ = ["Farewell", "Groups", "can_leave"]

logger = logging.getLogger("fanout.work")


class Groups(Protocol):
    """What is asked of `fanout._fanout.Cluster`."""

    def leave(self, group: str, members: list[str]) -> None: ...


def can_leave(consumer: Mapping[str, str]) -> bool:
    """Whether members may be taken out by their id.

    A static member's successor takes its place without a rebalance. A member of the consumer protocol (KIP-848)
    is taken out by nobody but itself: there the session timeout, which the broker sets, has to pass.
    """
    return "group.instance.id" not in consumer and consumer.get("group.protocol", "classic").lower() == "classic"


class Farewell:
    """Says that members are gone; each time in a thread of its own, for brokers may be slow."""

    def __init__(self, open_cluster: Callable[[], Groups]) -> None:
        self._open = open_cluster

    def say(self, group: str, members: list[str]) -> None:
        """Returns at once. What goes wrong costs the wait for the session, and is told."""
        threading.Thread(target=self._leave, args=[group, members], name="farewell", daemon=True).start()

    def _leave(self, group: str, members: list[str]) -> None:
        try:
            self._open().leave(group, members)
        except FanoutError as error:
            logger.warning("group %s waits for the session of a dead worker: %s", group, error)
