"""
Which records are the same: the key of each, and a hash of its content where the key alone does not say it all.

A record without the id it should have is known by its origin instead: a repeat of it is still recognised, and it is
never taken for another one that lacks its id, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from fanout.message import KafkaMessage, Message, origin_of

from .store import NO_HASH

if TYPE_CHECKING:
    from fanout.app import DedupKey

__all__ = ["Identify", "Keyed", "content_key", "id_key", "identify", "key_prefix", "origin_key", "pointed_at"]

logger = logging.getLogger("fanout.dedup")

LONGEST_ID = 128
"""Bytes. A longer id is known by its hash: the store must not hold whatever a producer writes."""

HASH_BYTES = 16

Identify = Callable[[KafkaMessage], tuple[bytes, bytes]]
"""Key and content hash of a record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyed:
    """Whose records, and how they are told apart.

    prefix: of `key_prefix`.   topic_id: of the source topic: one made again under its name must not meet old markers.
    source: the topic of the run, None outside of one.   decode: for a `key` that is a function of the `Message`.
    """

    key: DedupKey
    prefix: bytes
    topic_id: str
    source: str | None
    decode: Callable[[bytes], Any]


def identify(keyed: Keyed) -> Identify:
    """The function that names a record."""
    origin = _by_origin(keyed)
    key, prefix = keyed.key, keyed.prefix
    if key == "origin":
        return origin
    if key == "content":
        return lambda raw: (content_key(prefix, raw.key(), raw.value()), NO_HASH)
    find, told = _finder(keyed), False

    def by_id(raw: KafkaMessage) -> tuple[bytes, bytes]:
        nonlocal told
        try:
            found = find(raw)
        except Exception as error:  # noqa: BLE001  a function of the application, or a value that is no JSON
            found, why = None, f"{type(error).__name__}"
        else:
            why = "there is none"
        if not found:
            if not told:
                told = True
                logger.warning("records of %s lack the id they are known by (%s): their origin stands in", prefix, why)
            return origin(raw)
        return id_key(prefix, found), blake2b(raw.value() or b"", digest_size=HASH_BYTES).hexdigest().encode()

    return by_id


def key_prefix(namespace: str, topic: str) -> bytes:
    """What the keys of one handler begin with."""
    return f"{namespace}/{topic}/".encode()


def id_key(prefix: bytes, found: bytes) -> bytes:
    """The key of a business id."""
    if len(found) <= LONGEST_ID:
        return b"%bi:%b" % (prefix, found)
    return b"%bh:%b" % (prefix, blake2b(found, digest_size=32).hexdigest().encode())


def content_key(prefix: bytes, key: bytes | None, value: bytes | None) -> bytes:
    """The key of a record that is known by its key and value. Tombstones of two keys differ, and null is not empty."""
    held = blake2b(digest_size=32)
    for part in (key, value):
        held.update(b"-" if part is None else b"%d:%b" % (len(part), part))
    return b"%bc:%b" % (prefix, held.hexdigest().encode())


def origin_key(prefix: bytes, topic_id: str, partition: int, offset: int) -> bytes:
    """The key of a record that is known by where it was first written."""
    return b"%bo:%b:%d:%d" % (prefix, topic_id.encode(), partition, offset)


def pointed_at(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) points at; None if there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _by_origin(keyed: Keyed) -> Identify:
    head, source = b"%bo:%b:" % (keyed.prefix, keyed.topic_id.encode()), keyed.source

    def by_place(raw: KafkaMessage) -> tuple[bytes, bytes]:
        return b"%b%d:%d" % (head, raw.partition(), raw.offset()), NO_HASH

    def by_origin(raw: KafkaMessage) -> tuple[bytes, bytes]:
        _, partition, offset, _ = origin_of(raw, source)
        return b"%b%d:%d" % (head, partition, offset), NO_HASH

    return by_place if source is None else by_origin


def _finder(keyed: Keyed) -> Callable[[KafkaMessage], bytes | None]:
    key, decode, source = keyed.key, keyed.decode, keyed.source
    if callable(key):
        return lambda raw: _as_id(key(Message(raw, decode(raw.value() or b""), source=source)))
    kind, _, where = key.partition(":")
    if kind == "json":
        return lambda raw: _as_id(pointed_at(orjson.loads(raw.value() or b"null"), where))
    return lambda raw: dict(raw.headers() or ()).get(where)


def _as_id(found: object) -> bytes | None:
    if isinstance(found, bytes):
        return found
    if isinstance(found, str):
        return found.encode(errors="surrogatepass")
    if isinstance(found, int) and not isinstance(found, bool):
        return b"%d" % found
    return None
