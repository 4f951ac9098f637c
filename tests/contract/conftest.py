"""What a machine that stands still for a moment must not decide."""

from __future__ import annotations

import pytest

from fanout.dedup import sqlite, wire


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that are opened from now on wait longer for servers and for one another than anything here is delayed."""
    monkeypatch.setitem(wire.OPTIONS, "socket_timeout", 60)
    monkeypatch.setitem(wire.OPTIONS, "socket_connect_timeout", 60)
    monkeypatch.setattr(sqlite, "WAIT_S", 60)
