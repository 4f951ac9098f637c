"""From the bytes of a record to what its handler takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from fanout.app import Decode

__all__ = ["decoder"]


def decoder(how: Decode) -> Callable[[bytes], Any]:
    """The function that decodes as a handler asked; what it raises makes the record undecodable."""
    if how is bytes:
        return _unchanged
    if how is str:
        return _text
    if how == "json":
        return orjson.loads
    from_model: Callable[[bytes], Any] | None = getattr(how, "model_validate_json", None)
    if from_model is not None:
        return from_model
    if callable(how):
        return how
    raise TypeError(f"the app let {how!r} through")


def _unchanged(value: bytes) -> bytes:
    return value


def _text(value: bytes) -> str:
    return value.decode("utf-8")
