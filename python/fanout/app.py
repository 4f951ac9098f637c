"""
An application: handlers, each for the records of one topic.

    app = App("billing")

    @app.handler("orders", decode="json", retry=Backoff(attempts=3))
    async def charge(order: dict[str, Any], msg: Message) -> None: ...

`fanout work pkg.mod:app` runs it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fanout.errors import ConfigError
from fanout.message import Message
from fanout.outcome import Backoff
from fanout.signature import admits_none, is_async, needed_parameters, value_hint

__all__ = ["App", "Decode", "DedupKey", "Dialect", "Handler", "OrderBy"]

OrderBy = Literal["key", "partition", "none"]

Dialect = Literal["broker", "connect", "spring"]
"""Whose headers a dead letter bears."""

Decode = type | Literal["json"] | Callable[[bytes], Any]
"""`bytes`, `str`, `"json"`, a pydantic model, or a function of the bytes."""

DedupKey = Literal["origin", "content"] | str | Callable[[Message], str | bytes]
"""What makes two records the same: `"json:/order/id"`, `"header:ce_id"`, `"origin"`, `"content"`, or a function."""

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONCURRENCY = 64
DEFAULT_DEAD_LETTERS = "dlq.{topic}"
DEFAULT_BACKOFF = Backoff()


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """A function and how it is run. Made by `App.handler`."""

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
    is_async: bool = field(init=False)
    wants_message: bool = field(init=False)
    takes_none: bool = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        needed = needed_parameters(self.function, f"handler of {self.topic}", ("(value)", "(value, message)"))
        object.__setattr__(self, "is_async", is_async(self.function))
        object.__setattr__(self, "wants_message", len(needed) == 2)
        object.__setattr__(self, "takes_none", admits_none(value_hint(self.function, needed[0])))
        if self.timeout_s is not None and not self.is_async:
            raise ConfigError("timeout", f"the handler of {self.topic} runs in a thread, which nothing can stop: "
                              "make it `async def`, or leave the timeout to its own calls")  # fmt: skip

    def _check(self) -> None:
        if self.order_by not in typing.get_args(OrderBy):
            raise ConfigError("order_by", f"{self.order_by!r} is none of key, partition, none")
        if self.dialect not in typing.get_args(Dialect):
            raise ConfigError("dlq_dialect", f"{self.dialect!r} is none of broker, connect, spring")
        if self.concurrency < 1:
            raise ConfigError("concurrency", f"at least one record at a time, not {self.concurrency}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ConfigError("timeout", f"is in seconds and above 0, not {self.timeout_s}")
        if not (callable(self.decode) or self.decode == "json"):
            raise ConfigError("decode", f'{self.decode!r} is none of bytes, str, "json", a model, a function')
        _check_dedup_key(self.dedup_key)


class App:
    """The handlers of one application. `name` is its consumer group unless the command names another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handlers: dict[str, Handler] = {}

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Every handler by its topic."""
        return types.MappingProxyType(self._handlers)

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
    ) -> Callable[[F], F]:
        """Makes a function the handler of `topic`. It takes the decoded value, and the `Message` if it asks for two.

        `key`: what makes two records the same where repeats are suppressed: a member of the JSON value
        (`"json:/order/id"`), a header (`"header:ce_id"`), where it was first written (`"origin"`), all it holds
        (`"content"`: equal records collapse), or a function of the `Message`. `order_by`: records of one key, or of
        one partition, run one at a time. `concurrency`: how many records run at once in each process. `timeout`:
        seconds one attempt may take. `dlq`: where dead letters go, which must exist; None keeps a record that cannot
        be handled in its place, and all behind it in its order. `dlq_dialect`: whose headers tell of the failure: the
        broker's own (`__dlq.errors.…`), Kafka Connect's or Spring's.

        Raises ConfigError at once for what cannot work.
        """

        def register(function: F) -> F:
            if topic in self._handlers:
                raise ConfigError("topic", f"{topic} has a handler already: {self._handlers[topic].function!r}")
            self._handlers[topic] = Handler(
                topic=topic,
                function=function,
                decode=decode,
                dedup_key=key,
                order_by=order_by,
                concurrency=concurrency,
                timeout_s=timeout,
                retry=retry,
                dead_letters=None if dlq is None else dlq.replace("{topic}", topic),
                dialect=dlq_dialect,
            )
            return function

        return register

    def __repr__(self) -> str:
        return f"App({self.name!r}, topics={sorted(self._handlers)})"


def _check_dedup_key(key: DedupKey) -> None:
    if callable(key) or key in ("origin", "content"):
        return
    kind, _, rest = str(key).partition(":")
    if (kind == "json" and rest.startswith("/")) or (kind == "header" and rest):
        return
    raise ConfigError("key", f'{key!r} is none of "json:/path", "header:name", "origin", "content", a function')
