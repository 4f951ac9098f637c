"""Transactions as their coordinators know them, by kafka-python."""

from __future__ import annotations

import time
import warnings
from typing import Any

with warnings.catch_warnings():
    # kafka-python loads its schemas with functions that Python 3.11 deprecated (and 3.13 took back).
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    import kafka
    import kafka.admin
    import kafka.errors
    import kafka.partitioner

__all__ = ["is_ending", "kafka", "not_ended"]

_TIMEOUT_S = 60.0
_ONGOING = "Ongoing"
_ENDING = ("PrepareCommit", "PrepareAbort", "PrepareEpochFence")
"""The end is decided, and answered; the markers are being written."""


def not_ended(bootstrap: str) -> dict[str, bool]:
    """Transactional ids whose transaction has not ended for everybody; True where only its markers are missing."""
    admin: Any = kafka.admin.KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        listed = _once_loaded(admin)
    finally:
        admin.close()
    return {each.transactional_id: each.state in _ENDING for found in listed.values() for each in found}


def is_ending(bootstrap: str) -> bool:
    """Whether the markers of any transaction are being written."""
    return any(not_ended(bootstrap).values())


def _once_loaded(admin: Any) -> Any:
    """Asks again while a coordinator is still on its way."""
    give_up = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return admin.list_transactions(state_filters=[_ONGOING, *_ENDING])
        except (kafka.errors.CoordinatorLoadInProgressError, kafka.errors.CoordinatorNotAvailableError):
            if time.monotonic() > give_up:
                raise
        time.sleep(0.1)
