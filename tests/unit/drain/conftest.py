"""What tests of whole drains share."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans measure the inflow for two seconds; no test waits for that."""
    monkeypatch.setattr("fanout.drain.plan.SAMPLE_S", 0.01)
