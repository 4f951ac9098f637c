"""
An application: handlers, each for the records of one topic.

    app = App("billing")

    @app.handler("orders", decode="json", retry=Backoff(attempts=3))
    async def charge(order: dict[str, Any], msg: Message) -> None: ...

`fanout work pkg.mod:app` runs it. Around its handlers stand what every worker process opens and closes (`lifespan`),
what every call goes through (`middleware`) and what they share (`state`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from fanout.errors import ConfigError
from fanout.message import Message
from fanout.outcome import Backoff
from fanout.signature import admits_none, is_async, is_shape, needed_parameters, value_hint, within

__all__ = [
    "Ack",
    "App",
    "BatchRule",
    "CallNext",
    "Decode",
    "DedupKey",
    "Dialect",
    "Handler",
    "Lifespan",
    "Middleware",
    "OnDeadLetter",
    "OrderBy",
]

OrderBy = Literal["key", "partition", "none"]

Ack = Literal["on_success", "manual", "on_receive"]
"""When a record is settled: when its handler returns, at `msg.ack()`, or before its handler runs."""

Dialect = Literal["broker", "connect", "spring"]
"""Whose headers a dead letter bears."""

Decode = type | types.UnionType | Literal["json"] | Callable[[bytes], Any]
"""`bytes`, `str`, `"json"`, a function of the bytes, or what JSON is to hold: a pydantic model, a msgspec Struct, a
dataclass, `list[Order]`, `Order | Refund` of models."""

OnDeadLetter = Literal["go_on", "park_key"]
"""Whether the records of a key go on behind a dead letter, or wait with it."""


DedupKey = Literal["origin", "content"] | str | Callable[[Message], str | bytes]
"""What makes two records the same: `"json:/order/id"`, `"header:ce_id"`, `"origin"`, `"content"`, or a function."""

CallNext = Callable[[Any], Awaitable[Any]]

Middleware = Callable[[CallNext, Any], Awaitable[Any]]
"""Takes what comes next and the `Message`, or the `Batch` of a batch handler."""

Lifespan = Callable[["App"], AsyncIterator[None] | AbstractAsyncContextManager[Any]]
"""An `async def` that yields once, or what `contextlib.asynccontextmanager` made of one."""

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Middleware)
L = TypeVar("L", bound=Lifespan)

DEFAULT_CONCURRENCY = 64
DEFAULT_DEAD_LETTERS = "dlq.{topic}"
DEFAULT_BACKOFF = Backoff()
LARGEST_BATCH = 10_000
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRule:
    """When records make a batch: as many as `max_size`, or `max_wait_s` after the first; and how many run at once."""

    max_size: int
    max_wait_s: float
    at_once: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_size <= LARGEST_BATCH:
            raise ConfigError("max_size", f"a batch is 1 to {LARGEST_BATCH:,} records, not {self.max_size}")
        if not 0 <= self.max_wait_s <= LONGEST_WAIT_S:
            raise ConfigError("max_wait", f"is 0 to {LONGEST_WAIT_S:g} seconds, not {self.max_wait_s}")
        if self.at_once < 1:
            raise ConfigError("concurrency", f"at least one batch at a time, not {self.at_once}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """A function and how it is run. Made by `App.handler` and `App.batch_handler`.

    `middleware` is the app's own list: what is registered later is in it, too.
    """

    topic: str
    function: Callable[..., Any]
    decode: Decode = bytes
    dedup_key: DedupKey = "origin"
    order_by: OrderBy = "key"
    concurrency: int = DEFAULT_CONCURRENCY
    timeout_s: float | None = None
    retry: Backoff = DEFAULT_BACKOFF
    dead_letters: str | None = None
    dialect: Dialect = "broker"
    retry_topic: str | None = None
    on_dead_letter: OnDeadLetter = "go_on"
    ack: Ack = "on_success"
    batch: BatchRule | None = None
    middleware: Sequence[Middleware] = ()
    is_async: bool = field(init=False)
    wants_message: bool = field(init=False)
    takes_none: bool = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        takes = ("(batch)",) if self.batch else ("(value)", "(value, message)")
        needed = needed_parameters(self.function, f"handler of {self.topic}", takes)
        hint = value_hint(self.function, needed[0])
        object.__setattr__(self, "is_async", is_async(self.function))
        object.__setattr__(self, "wants_message", len(needed) == 2)
        object.__setattr__(self, "takes_none", admits_none(within(hint) if self.batch else hint))
        self._check_calls()

    def _check(self) -> None:
        if self.order_by not in typing.get_args(OrderBy):
            raise ConfigError("order_by", f"{self.order_by!r} is none of key, partition, none")
        if self.dialect not in typing.get_args(Dialect):
            raise ConfigError("dlq_dialect", f"{self.dialect!r} is none of broker, connect, spring")
        if self.concurrency < 1:
            raise ConfigError("concurrency", f"at least one record at a time, not {self.concurrency}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ConfigError("timeout", f"is in seconds and above 0, not {self.timeout_s}")
        if self.decode is dict or self.decode is list:
            raise ConfigError("decode", f'write decode="json" for a {self.decode.__name__}')
        if not (callable(self.decode) or self.decode == "json" or is_shape(self.decode)):
            raise ConfigError("decode", f'{self.decode!r} is none of bytes, str, "json", a model, a function')
        if self.ack not in typing.get_args(Ack):
            raise ConfigError("ack", f"{self.ack!r} is none of on_success, manual, on_receive")
        _check_dedup_key(self.dedup_key)
        if self.on_dead_letter not in typing.get_args(OnDeadLetter):
            raise ConfigError("on_dead_letter", f"{self.on_dead_letter!r} is none of go_on, park_key")
        if self.on_dead_letter == "park_key" and (self.order_by != "key" or self.dead_letters is None):
            raise ConfigError("on_dead_letter", 'keys wait where order_by="key" and there is a dead-letter topic')
        if self.retry_topic is not None:
            self._check_retry_topic(self.retry_topic)

    def _check_retry_topic(self, topic: str) -> None:
        if self.order_by != "none":
            raise ConfigError("retry_topic", "a record that leaves its place gives its order up: "
                              'say order_by="none", or let it be tried again in place')  # fmt: skip
        if topic in (self.topic, self.dead_letters):
            raise ConfigError("retry_topic", f"{topic} holds other records: retries need a topic of their own")
        if self.ack == "on_receive":
            raise ConfigError("retry_topic", "a record that is settled before it runs is not tried again")

    def _check_calls(self) -> None:
        if self.timeout_s is not None and not self.is_async:
            raise ConfigError("timeout", f"the handler of {self.topic} runs in a thread, which nothing can stop: "
                              "make it `async def`, or leave the timeout to its own calls")  # fmt: skip
        if self.ack == "manual" and not (self.is_async and self.wants_message):
            raise ConfigError("ack", f"the handler of {self.topic} is to await `msg.ack()`: "
                              "make it `async def` of (value, message)")  # fmt: skip


class App:
    """The handlers of one application. `name` is its consumer group unless the command names another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = types.SimpleNamespace()
        self._handlers: dict[str, Handler] = {}
        self._lifespans: list[Lifespan] = []
        self._middleware: list[Middleware] = []

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Every handler by its topic."""
        return types.MappingProxyType(self._handlers)

    @property
    def lifespans(self) -> Sequence[Lifespan]:
        """What every worker process opens before its first record and closes after its last, in this order."""
        return tuple(self._lifespans)

    def handler(  # noqa: PLR0913  one decorator holds all that is to be said of a handler
        self,
        topic: str,
        *,
        decode: Decode = bytes,
        key: DedupKey = "origin",
        order_by: OrderBy = "key",
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout: float | None = None,
        retry: Backoff = DEFAULT_BACKOFF,
        dlq: str | None = DEFAULT_DEAD_LETTERS,
        dlq_dialect: Dialect = "broker",
        retry_topic: str | None = None,
        on_dead_letter: OnDeadLetter = "go_on",
        ack: Ack = "on_success",
    ) -> Callable[[F], F]:
        """Makes a function the handler of `topic`. It takes the decoded value, and the `Message` if it asks for two.

        `key`: what makes two records the same where repeats are suppressed: a member of the JSON value
        (`"json:/order/id"`), a header (`"header:ce_id"`), where it was first written (`"origin"`), all it holds
        (`"content"`: equal records collapse), or a function of the `Message`; the value of a tombstone is then what
        `decode` makes of `b""`, not None, and one that it makes nothing of is known by its origin. `order_by`: records
        of one key, or of one partition, run one at a time. `concurrency`: how many records run at once in each process.
        `timeout`: seconds one attempt may take. `dlq`: where dead letters go, which must exist; None keeps a record
        that cannot be handled in its place, and all behind it in its order. `dlq_dialect`: whose headers tell of the
        failure: the broker's own (`__dlq.errors.…`), Kafka Connect's or Spring's. `ack`: a record is settled when its
        handler returns; "manual": when it awaits `msg.ack()`, and a return without it is a failure; "on_receive":
        before its handler runs, so a crash loses it. `retry_topic`, with order_by="none": a topic, which must exist,
        through which failed records come again, so that they hold nothing up meanwhile; None tries them again in their
        place. `on_dead_letter`: "park_key" sends what follows of a dead letter's key after it, in order, until a
        redrive has brought all of them back.

        Raises ConfigError at once for what cannot work.
        """
        return self._registering(
            partial(
                Handler,
                topic=topic,
                decode=decode,
                dedup_key=key,
                order_by=order_by,
                concurrency=concurrency,
                timeout_s=timeout,
                retry=retry,
                dead_letters=_named(dlq, topic),
                dialect=dlq_dialect,
                retry_topic=_named(retry_topic, topic),
                on_dead_letter=on_dead_letter,
                ack=ack,
            )
        )

    def batch_handler(  # noqa: PLR0913  as above
        self,
        topic: str,
        *,
        decode: Decode = bytes,
        max_size: int = 500,
        max_wait: float = 0.2,
        key: DedupKey = "origin",
        order_by: OrderBy = "key",
        concurrency: int = 1,
        timeout: float | None = None,
        retry: Backoff = DEFAULT_BACKOFF,
        dlq: str | None = DEFAULT_DEAD_LETTERS,
        dlq_dialect: Dialect = "broker",
    ) -> Callable[[F], F]:
        """Makes a function the handler of `topic` that takes a `Batch` of records.

        A call takes `max_size` records, or what has come `max_wait` seconds after the first, and at most one of each
        key (`order_by`): where order does not matter, "none" makes the fullest batches. When it returns they are done,
        those apart that it marked with `batch.fail`; when it raises, all it did not mark have failed. What failed is
        tried again without the others. `concurrency`: how many calls run at once in each process. The rest is as in
        `handler`.

        Raises ConfigError at once for what cannot work.
        """
        return self._registering(
            partial(
                Handler,
                topic=topic,
                decode=decode,
                dedup_key=key,
                order_by=order_by,
                concurrency=max_size * concurrency,
                timeout_s=timeout,
                retry=retry,
                dead_letters=_named(dlq, topic),
                dialect=dlq_dialect,
                batch=BatchRule(max_size=max_size, max_wait_s=max_wait, at_once=concurrency),
            )
        )

    def lifespan(self, opens: L) -> L:
        """Registers what every worker process opens before its first record, and closes after its last.

        An `async def` of the app that yields once: a client for `app.state`, say. Several are opened in the order they
        were registered and closed the other way round. A worker that cannot open one does not begin; closing may take
        what a stop leaves it, at most 5 s.
        """
        self._lifespans.append(opens)
        return opens

    def middleware(self, around: M) -> M:
        """Registers what every call of a handler goes through; the first one registered is the outermost.

        `async def around(call_next, msg): return await call_next(msg)`, inside the handler's timeout and after
        decoding. `msg` is the `Message`, or the `Batch` of a batch handler. What it raises counts as raised by the
        handler.
        """
        if not is_async(around):
            raise ConfigError("middleware", f"{around!r} is no `async def` of (call_next, msg)")
        self._middleware.append(around)
        return around

    def _registering(self, make: Callable[..., Handler]) -> Callable[[F], F]:
        def register(function: F) -> F:
            handler = make(function=function, middleware=self._middleware)
            held = self._handlers.setdefault(handler.topic, handler)
            if held is not handler:
                raise ConfigError("topic", f"{held.topic} has a handler already: {held.function!r}")
            return function

        return register

    def __repr__(self) -> str:
        return f"App({self.name!r}, topics={sorted(self._handlers)})"


def _named(named: str | None, topic: str) -> str | None:
    return None if named is None else named.replace("{topic}", topic)


def _check_dedup_key(key: DedupKey) -> None:
    if callable(key) or key in ("origin", "content"):
        return
    kind, _, rest = str(key).partition(":")
    if (kind == "json" and rest.startswith("/")) or (kind == "header" and rest):
        return
    raise ConfigError("key", f'{key!r} is none of "json:/path", "header:name", "origin", "content", a function')
