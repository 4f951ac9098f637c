"""fanout: drains a Kafka backlog that its partitions cannot drain in time, and proves it."""

from __future__ import annotations

from ._fanout import __version__
from .app import App
from .message import Batch, Message
from .outcome import Backoff, Reject, Retry, Skip

__all__ = ["App", "Backoff", "Batch", "Message", "Reject", "Retry", "Skip", "__version__"]
