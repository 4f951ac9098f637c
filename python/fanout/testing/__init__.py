"""
Trying an application without Kafka.

    async def test_negative_is_rejected():
        async with TestApp(app) as t:
            assert (await t.send("orders", {"id": "1", "cents": -1})).outcome == "rejected"

What runs is what runs in a worker: the same decoding, slots, order, retries and batches. Only the topics are lists,
and waiting takes no time.
"""

from __future__ import annotations

from .app import TestApp
from .clock import FakeClock
from .result import DeadLetter, Result, Retried

__all__ = ["DeadLetter", "FakeClock", "Result", "Retried", "TestApp"]
