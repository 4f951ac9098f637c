"""What can be read from a handler's signature: how it is called, and what it takes."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from fanout.errors import ConfigError

__all__ = ["admits_none", "is_async", "is_shape", "needed_parameters", "value_hint", "within"]

Hint = Any
"""An annotation as an object; `typing.Any` where there is none."""


def needed_parameters(function: Callable[..., Any], subject: str, takes: tuple[str, ...]) -> list[inspect.Parameter]:
    """Its positional parameters without a default; ConfigError unless they are as many as one of `takes` names."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(function)
    parameters = [one for one in signature.parameters.values() if one.kind in kinds]
    needed = [one for one in parameters if one.default is one.empty]
    if len(needed) not in {one.count(",") + 1 for one in takes}:
        raise ConfigError(subject, f"takes {' or '.join(takes)}, not {signature}")
    return needed


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call must be awaited; also of methods, partials and objects that can be called."""
    while hasattr(function, "func") and not inspect.isroutine(function):
        function = function.func  # a partial is what it wraps
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    return inspect.iscoroutinefunction(call)


def value_hint(function: Callable[..., Any], value: inspect.Parameter) -> Hint:
    """The annotation of the parameter `value`; as it was written where its names cannot be looked up."""
    owner = function
    while hasattr(owner, "func") and not inspect.isroutine(owner):
        owner = owner.func
    owner = owner if inspect.isroutine(owner) or inspect.isclass(owner) else getattr(owner, "__call__", owner)  # noqa: B004
    try:
        return typing.get_type_hints(owner).get(value.name, Any)
    except (NameError, TypeError):
        # Names that exist for the type checker alone cannot be looked up; what was written still can.
        return Any if value.annotation is value.empty else value.annotation


def admits_none(hint: Hint) -> bool:
    """Whether None may be handed over: yes unless the annotation says otherwise."""
    if isinstance(hint, str):
        return "None" in hint
    origin: object = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return type(None) in typing.get_args(hint)
    return hint is Any or hint is object or hint is type(None)


def within(hint: Hint) -> Hint:
    """The T of a `Batch[T]`; anything where it is not said."""
    if isinstance(hint, str):
        return hint
    return next(iter(typing.get_args(hint)), Any)


def is_shape(how: object) -> bool:
    """Whether a type says what JSON holds, and is no function of bytes: `list[Order]`, `A | B`, a dataclass."""
    generic: object = typing.get_origin(how)
    return generic is not None or dataclasses.is_dataclass(how) or typing.is_typeddict(how)
