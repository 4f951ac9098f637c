"""
An application: handlers, each for the records of one topic.

    app = App("billing")

    @app.handler("orders", decode="json", retry=Backoff(attempts=3))
    async def charge(order: dict[str, Any], msg: Message) -> None: ...

`fanout work pkg.mod:app` runs it.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fanout.errors import ConfigError
from fanout.outcome import Backoff

__all__ = ["App", "Decode", "Handler", "OrderBy"]

OrderBy = Literal["key", "partition", "none"]

Decode = type | Literal["json"] | Callable[[bytes], Any]
"""`bytes`, `str`, `"json"`, a pydantic model, or a function of the bytes."""

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
    order_by: OrderBy = "key"
    concurrency: int = DEFAULT_CONCURRENCY
    timeout_s: float | None = None
    retry: Backoff = DEFAULT_BACKOFF
    dead_letters: str | None = None
    is_async: bool = field(init=False)
    wants_message: bool = field(init=False)
    takes_none: bool = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        parameters = _positional(self.function, self.topic)
        object.__setattr__(self, "is_async", _is_async(self.function))
        object.__setattr__(self, "wants_message", len(parameters) == 2)
        object.__setattr__(self, "takes_none", _admits_none(self.function, parameters[0]))
        if self.timeout_s is not None and not self.is_async:
            raise ConfigError("timeout", f"the handler of {self.topic} runs in a thread, which nothing can stop: "
                              "make it `async def`, or leave the timeout to its own calls")  # fmt: skip

    def _check(self) -> None:
        if self.order_by not in typing.get_args(OrderBy):
            raise ConfigError("order_by", f"{self.order_by!r} is none of key, partition, none")
        if self.concurrency < 1:
            raise ConfigError("concurrency", f"at least one record at a time, not {self.concurrency}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ConfigError("timeout", f"is in seconds and above 0, not {self.timeout_s}")
        if not (callable(self.decode) or self.decode == "json"):
            raise ConfigError("decode", f'{self.decode!r} is none of bytes, str, "json", a model, a function')


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
        order_by: OrderBy = "key",
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout: float | None = None,
        retry: Backoff = DEFAULT_BACKOFF,
        dlq: str | None = DEFAULT_DEAD_LETTERS,
    ) -> Callable[[F], F]:
        """Makes a function the handler of `topic`. It takes the decoded value, and the `Message` if it asks for two.

        `order_by`: records of one key, or of one partition, run one at a time. `concurrency`: how many records run
        at once in each process. `timeout`: seconds one attempt may take. `dlq`: where dead letters go, which must
        exist; None keeps a record that cannot be handled in its place, and all behind it in its order.

        Raises ConfigError at once for what cannot work.
        """

        def register(function: F) -> F:
            if topic in self._handlers:
                raise ConfigError("topic", f"{topic} has a handler already: {self._handlers[topic].function!r}")
            self._handlers[topic] = Handler(
                topic=topic,
                function=function,
                decode=decode,
                order_by=order_by,
                concurrency=concurrency,
                timeout_s=timeout,
                retry=retry,
                dead_letters=None if dlq is None else dlq.replace("{topic}", topic),
            )
            return function

        return register

    def __repr__(self) -> str:
        return f"App({self.name!r}, topics={sorted(self._handlers)})"


def _positional(function: Callable[..., Any], topic: str) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [one for one in inspect.signature(function).parameters.values() if one.kind in kinds]
    needed = [one for one in parameters if one.default is one.empty]
    if len(needed) not in (1, 2):
        raise ConfigError(
            f"handler of {topic}", f"takes (value) or (value, message), not {inspect.signature(function)}"
        )
    return needed


def _is_async(function: Callable[..., Any]) -> bool:
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    return inspect.iscoroutinefunction(call)


def _admits_none(function: Callable[..., Any], value: inspect.Parameter) -> bool:
    """Whether a tombstone may be handed over: yes unless the annotation of the value says otherwise."""
    try:
        hint = typing.get_type_hints(function).get(value.name, Any)
    except (NameError, TypeError):
        # Names that exist for the type checker alone cannot be looked up; what was written still can.
        return value.annotation is value.empty or "None" in str(value.annotation)
    return hint is Any or hint is object or hint is type(None) or type(None) in typing.get_args(hint)
