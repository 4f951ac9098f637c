"""What an attempt may ask of the runtime that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Host", "Link"]


class Host(Protocol):
    """The runtime, as its attempts see it."""

    def own_record(self) -> int:
        """The record that the calling slot runs."""

    def acknowledge(self, record: int) -> None:
        """Settles a record whose handler still runs."""

    def holds_back(self) -> bool:
        """Whether nothing may run, and records wait for others of their order that run."""


class Link:
    """Ties attempts to their runtime, which is made after them. `hurry`: nothing more comes, so wait for nothing."""

    __slots__ = ("host", "hurry")

    host: Host

    def __init__(self) -> None:
        self.hurry: Callable[[], None] = _nothing


def _nothing() -> None:
    """Single records wait for no others."""
