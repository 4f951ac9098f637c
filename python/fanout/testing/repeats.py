"""The store of a test: claims and done markers in memory, whose time is the test's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

from fanout.config.dedup import DedupSettings
from fanout.dedup.keys import Keyed, identify, key_prefix
from fanout.dedup.memory import MemoryStore, Table
from fanout.dedup.owner import Owner
from fanout.work.claims import ClaimsParts
from fanout.work.decode import decoder

from .clock import FakeClock

if TYPE_CHECKING:
    from fanout.app import Handler

__all__ = ["Repeats"]

T = TypeVar("T")

LIFE_S = 1e9
"""An owner's word holds as long as the test, wherever its clock is moved to."""


class AtOnce(Executor):
    """Calls where it stands: a store in memory needs no thread, and a test no waiting for one."""

    def submit(self, call: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """The call, which has ended."""
        future: Future[T] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:  # noqa: BLE001  raised by the future
            future.set_exception(error)
        return future


class Repeats:
    """What has been done in a test. `window_s`: for how long it is remembered."""

    def __init__(self, window_s: float, clock: FakeClock) -> None:
        self._settings = DedupSettings(url="memory://", window_s=window_s)
        self._clock = clock
        self._table = Table(clock=clock.time)

    def claims(self, handler: Handler, group: str) -> ClaimsParts | None:
        """The claims of one handler; none where records are known by their place, as each that is sent has its own."""
        if handler.dedup_key == "origin":
            return None
        keyed = Keyed(
            key=handler.dedup_key,
            prefix=key_prefix(group, handler.topic),
            topic_id=handler.topic,
            source=None,
            decode=decoder(handler.decode),
        )
        return ClaimsParts(
            store=self._open(),
            owner=Owner(self._open(), LIFE_S),
            identify=identify(keyed),
            on_store_down=self._settings.on_store_down,
            executor=AtOnce(),
            clock=self._clock.glances,
        )

    def _open(self) -> MemoryStore:
        return MemoryStore(self._settings.window_s, self._table)
