"""An application under test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fanout.config.dedup import USUAL_WINDOW_S
from fanout.errors import ConfigError
from fanout.work.lifespan import opened
from fanout.work.post import Parcel

from .clock import FakeClock
from .record import HeadersLike, bytes_of, headers_of, record_of, value_of
from .repeats import Repeats
from .result import DeadLetter, Result, Retried, State
from .stand import Book, Stand

if TYPE_CHECKING:
    from fanout.app import App

__all__ = ["TestApp"]

TURNS = 100
LOOK_S = 0.05
"""Somebody else's doing may end a wait without a word to us: so it is looked again."""

MOVES = 10
"""How often the clock may move for one attempt: a retry waits, and its batch does."""


class TestApp:
    """Runs the handlers of `app` on the test's own event loop, without Kafka; to be used with `async with`.

    Lifespans are opened and closed around it. Waits of retries and batches take no time: when nothing runs, `clock`
    moves to what is due next. `attempts`: a record that is not settled after as many of them is left as it is.

    Where a handler says by `key` which records are the same, repeats are suppressed as with a store, and what was done
    is remembered for `window` seconds of `clock`; None: as without a store, repeats run. Every record that is sent has
    a place of its own, so one that is known by its origin is none. A dead letter that parks its key
    (`on_dead_letter="park_key"`) is put back, as a redrive does it, with its id in the header `fanout.redrive-of`.
    """

    __test__ = False  # the test runner takes classes of such a name for its own

    def __init__(self, app: App, *, attempts: int = 20, window: float | None = USUAL_WINDOW_S) -> None:
        if attempts < 1:
            raise ConfigError("attempts", f"at least one, not {attempts}")
        self._app = app
        self._attempts = attempts
        self._stands: dict[str, Stand] = {}
        self._stack = AsyncExitStack()
        self._change = asyncio.Event()
        self.clock = FakeClock(self._rest)
        repeats = None if window is None else Repeats(window, self.clock)
        self._book = Book(clock=self.clock, group=app.name, repeats=repeats, changed=self._note_change)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """Every dead letter, in the order they were written."""
        return self._book.dead_letters

    @property
    def retries(self) -> list[Retried]:
        """Every attempt that failed and was, or is to be, tried again."""
        return self._book.retries

    async def send(
        self,
        topic: str,
        value: Any,
        *,
        key: bytes | str | None = None,
        headers: HeadersLike = (),
        timestamp: int | None = None,
    ) -> Result:
        """Writes one record and waits until it is settled, through all its retries; returns what became of it.

        `value`: bytes and text as they are, None a tombstone, models and all else as JSON. `timestamp`: ms since
        1970, else now by `clock`. Raises ConfigError for a topic without a handler.
        """
        stand = self._stand(topic)
        parcel = _parcel(topic, value, key, headers)
        record = record_of(parcel, stand.offset, self._now_ms() if timestamp is None else timestamp)
        return (await self._results(stand.put([record])))[0]

    async def send_many(
        self, topic: str, values: Iterable[Any], *, keys: Iterable[bytes | str | None] | None = None
    ) -> list[Result]:
        """Writes records that are read together, one a value, as a batch handler would get them."""
        stand, listed = self._stand(topic), list(values)
        pairs = zip(listed, [None] * len(listed) if keys is None else keys, strict=True)
        parcels = [_parcel(topic, value, key) for value, key in pairs]
        records = [record_of(parcel, stand.offset + n, self._now_ms()) for n, parcel in enumerate(parcels)]
        return await self._results(stand.put(records))

    async def __aenter__(self) -> TestApp:
        await self._stack.enter_async_context(opened(self._app))
        self._stands = {topic: Stand(handler, self._book) for topic, handler in self._app.handlers.items()}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stands, self._stands = self._stands, {}
        for stand in stands.values():
            await stand.stop()
        await self._turns(3)
        await self._stack.__aexit__(kind, error, trace)

    def _note_change(self) -> None:
        self._change.set()
        self.clock.glances.stir()

    def _now_ms(self) -> int:
        return int(self.clock.now_s() * 1000)

    def _stand(self, topic: str) -> Stand:
        if topic in self._stands:
            return self._stands[topic]
        if topic in self._app.handlers:
            raise RuntimeError("records are sent inside of `async with TestApp(app) as t:`")
        known = ", ".join(sorted(self._app.handlers)) or "none"
        raise ConfigError("topic", f"{self._app.name} has no handler of {topic}, but of {known}")

    async def _results(self, states: list[State]) -> list[Result]:
        moves = MOVES * self._attempts * len(states)
        while True:
            self._change.clear()
            await self._turns(3)
            self._check()
            if self._change.is_set() or self._is_asking():
                continue  # more comes of it at once
            if all(state.is_over(self._attempts) for state in states):
                break
            if self._is_quiet():
                if not moves or not self.clock.jump():
                    break
                moves -= 1
            else:
                await self._wait_for_change()
        return [state.result() for state in states]

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._change.wait()
        except TimeoutError:
            return

    def _is_quiet(self) -> bool:
        return all(stand.is_quiet() for stand in self._stands.values())

    def _is_asking(self) -> bool:
        return any(stand.is_asking() for stand in self._stands.values())

    def _check(self) -> None:
        for stand in self._stands.values():
            stand.check()

    async def _rest(self) -> None:
        """Lets happen what the clock has set off; a handler that waits for something else is not waited for."""
        await self._turns(3)
        for _ in range(TURNS):
            if self._is_quiet():
                return
            await self._turns(1)

    @staticmethod
    async def _turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


def _parcel(topic: str, value: Any, key: bytes | str | None, headers: HeadersLike = ()) -> Parcel:
    return Parcel(topic=topic, key=bytes_of(key), value=value_of(value), headers=headers_of(headers), name=topic)
