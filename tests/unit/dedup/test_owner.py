"""The word that an owner lives goes out whatever its process is doing, and stops when it should."""

from __future__ import annotations

import threading
import time

import pytest

from fanout.dedup import owner as owner_module
from fanout.dedup.memory import MemoryStore, Table
from fanout.dedup.owner import Owner
from fanout.dedup.store import StoreError


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves has as long as it needs."""
    monkeypatch.setattr(owner_module, "LEAVE_S", 60)


class Down(MemoryStore):
    """Does not answer while `is_down`."""

    is_down = True

    def renew(self, owner: str, life_s: float) -> None:
        if self.is_down:
            raise StoreError("down")
        super().renew(owner, life_s)


async def test_a_handler_that_blocks_the_loop_does_not_end_its_owner() -> None:
    store = MemoryStore(60, Table())
    owner = Owner(store, life_s=1.5)
    owner.start()
    blocked_at = time.monotonic()
    # At a moment after its first word has died away: not at each, a machine may stand still for longer than it lives.
    while time.monotonic() < blocked_at + 2.5 or not (owner.is_good() and store.owners() == [owner.id]):
        assert time.monotonic() < blocked_at + 60
        time.sleep(0.01)  # noqa: ASYNC251  the very fault that is tested
    owner.stop(retire=True)
    assert store.owners() == []


def test_one_that_does_not_retire_is_believed_to_live_until_its_key_ends() -> None:
    store = MemoryStore(60, Table())
    owner = Owner(store, life_s=30)
    owner.renew(store)
    owner.start()
    owner.stop(retire=False)
    assert store.owners() == [owner.id]


def test_one_whose_store_was_down_for_too_long_knows_it_and_comes_back() -> None:
    store = Down(60, Table())
    owner = Owner(store, life_s=30)
    owner.start()
    assert not owner.is_good()
    store.is_down = False
    deadline = time.monotonic() + 60
    while not owner.is_good():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert store.owners() == [owner.id]
    owner.stop(retire=True)


def test_a_life_is_counted_from_before_the_word_was_sent() -> None:
    answered = threading.Event()

    class Slow(MemoryStore):
        def renew(self, owner: str, life_s: float) -> None:
            super().renew(owner, life_s)
            time.sleep(0.3)
            answered.set()

    store = Slow(60, Table())
    owner = Owner(store, life_s=0.2)
    owner.renew(store)
    assert answered.is_set()
    assert not owner.is_good()
    store.close()
