"""fanout: drains a Kafka backlog that its partitions cannot drain in time, and proves it."""

from __future__ import annotations

import typing

from ._fanout import __version__
from .app import App
from .message import Batch, Message
from .outcome import Backoff, Reject, Retry, Skip

if typing.TYPE_CHECKING:
    from .testing import TestApp

__all__ = ["App", "Backoff", "Batch", "Message", "Reject", "Retry", "Skip", "TestApp", "__version__"]


def __getattr__(name: str) -> object:
    # Commands must be quick, and only tests need what TestApp needs.
    if name == "TestApp":
        from .testing import TestApp  # noqa: PLC0415

        return TestApp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
