"""fanout: drains a Kafka backlog that its partitions cannot drain in time, and proves it."""

from __future__ import annotations

from ._fanout import __version__

__all__ = ["__version__"]
