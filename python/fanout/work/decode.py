"""From the bytes of a record to what its handler takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

from fanout.signature import is_shape

if TYPE_CHECKING:
    from fanout.app import Decode

__all__ = ["decoder"]


def decoder(how: Decode) -> Callable[[bytes], Any]:
    """The function that decodes as a handler asked; what it raises makes the record undecodable."""
    if how == "json":
        return orjson.loads
    plain = PLAIN.get(how) if isinstance(how, type) else None
    if plain is not None:
        return plain
    from_model: Callable[[bytes], Any] | None = getattr(how, "model_validate_json", None)
    if from_model is not None:
        return from_model
    if isinstance(how, type) and hasattr(how, "__struct_fields__"):
        return _struct(how)
    if is_shape(how):
        shape: Any = how
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        return adapter.validate_json
    if callable(how):
        return how
    raise TypeError(f"the app let {how!r} through")


def _struct(how: type) -> Callable[[bytes], Any]:
    """By msgspec, which is there if one of its structs is."""
    decode: Callable[[bytes], Any] = importlib.import_module("msgspec.json").Decoder(how).decode
    return decode


def _unchanged(value: bytes) -> bytes:
    return value


def _text(value: bytes) -> str:
    return value.decode("utf-8")


PLAIN: dict[type, Callable[[bytes], Any]] = {bytes: _unchanged, str: _text}
