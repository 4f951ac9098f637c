"""Telling a cancellation of ours from one that a handler raised by itself."""

from __future__ import annotations

import asyncio

__all__ = ["is_being_cancelled"]


def is_being_cancelled(raised: BaseException) -> bool:
    """Whether `raised` ends the task it was raised in: the loop closes it, or somebody cancelled it."""
    if isinstance(raised, GeneratorExit):
        return True
    task = asyncio.current_task()
    return isinstance(raised, asyncio.CancelledError) and task is not None and task.cancelling() > 0
