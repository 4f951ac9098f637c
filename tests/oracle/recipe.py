"""
Known records: what serial number N looks like, byte for byte.

A recipe is a pure function from a serial number to a record. Nothing of a million records is kept in memory to be
compared with later: the generator and the checker each make record N when they need it, and a comparison is one of
whole bytes, not of digests.

Every record says who it is in its own bytes: `<run>.<serial>.<sequence>.<crc>.` opens the value, and stands in
`oracle.id` headers where the value is null or empty (twice, so that one lost header does not make it nameless). The
checksum covers the key, so bytes that went to another record's key name nobody.
"""

from __future__ import annotations

import random
import uuid
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ID_HEADER", "Content", "Headers", "Recipe"]

Headers = tuple[tuple[str, bytes | None], ...]

ID_HEADER = "oracle.id"
_NOISE_BYTES = 1 << 16
_BACK_MS = 90_000
_KINDS = 32


class Content(NamedTuple):
    """What a record carries, apart from its place."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Record `serial` of one run.

    `keys` keys take turns: each round of `keys` serials names every key once, in an order of its own, so the round is
    the per-key sequence. `varied` mixes in null and empty keys, tombstones, empty values, headers with duplicates and
    nulls, keys and values that are no text, timestamps that run backwards or are missing (−1). Null keys, which a
    compacted topic refuses, begin at `null_keys_from`.
    """

    keys: int = 997
    value_bytes: int = 100
    varied: bool = False
    null_keys_from: int = 0
    base_ms: int = 1_750_000_000_000
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _noise: bytes = field(init=False, repr=False)
    _prefix: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        noise = random.Random(self.run).randbytes(_NOISE_BYTES)
        object.__setattr__(self, "_noise", noise)
        object.__setattr__(self, "_prefix", self.run.encode() + b".")

    def sequence(self, serial: int) -> int:
        """The number of `serial` among the records of its key."""
        return serial // self.keys

    def key_name(self, serial: int) -> bytes:
        """The key whose turn `serial` is, before kinds without a name of their own replace it."""
        turn, position = divmod(serial, self.keys)
        return b"key-%d" % ((position + turn * 7919) % self.keys)

    def content(self, serial: int) -> Content:
        """The whole record: the same bytes at every call."""
        key = self.key_name(serial)
        timestamp = self.base_ms + serial
        if self.varied:
            return self._varied(serial, key, timestamp)
        return Content(key, self._value(serial, key, self.value_bytes), (), timestamp)

    def identify(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int | None:
        """The serial a record names in its value, else in a header; None when neither names one of this run."""
        if value and (serial := self._read_id(value)) is not None:
            return serial
        for name, text in headers:
            if name == ID_HEADER and text and (serial := self._read_id(text)) is not None:
                return serial
        return None

    def claim(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int | None:
        """The serial a record seems to name. Cheap and unchecked: believe it only if the whole content agrees."""
        if not value:
            return self.identify(value, headers)
        parts = value.split(b".", 2)
        return _number(parts[1]) if len(parts) == 3 else None

    def _read_id(self, text: bytes) -> int | None:
        if not text.startswith(self._prefix):
            return None
        serial = _number(text.split(b".", 2)[1])
        if serial is None:
            return None
        key = self.content(serial).key if self.varied else self.key_name(serial)
        return serial if text.startswith(self._identity(serial, key)) else None

    def _identity(self, serial: int, key: bytes | None) -> bytes:
        text = b"%s%d.%d" % (self._prefix, serial, serial // self.keys)
        return b"%s.%08x." % (text, zlib.crc32(text if key is None else text + key))

    def _value(self, serial: int, key: bytes | None, size: int) -> bytes:
        identity = self._identity(serial, key)
        start = serial * 61 % (_NOISE_BYTES - size) if size < _NOISE_BYTES else 0
        return identity + self._noise[start : start + size - len(identity)]

    def _varied(self, serial: int, key: bytes, timestamp: int) -> Content:
        kind = (serial * 2_654_435_761 >> 13) % _KINDS
        maker = _MAKERS.get(kind)
        made = maker(self, serial, key, timestamp) if maker else self._with_text_headers(serial, key, timestamp)
        if made.key is None and serial < self.null_keys_from:
            return Content(key, self._value(serial, key, self.value_bytes), (), timestamp)
        return made

    def _with_text_headers(self, serial: int, key: bytes, timestamp: int) -> Content:
        headers = (("trace", b"%x" % serial), ("kind", b"order")) if serial & 1 else ()
        return Content(key, self._value(serial, key, self.value_bytes), headers, timestamp)

    def _signed(self, serial: int, key: bytes | None) -> Headers:
        """Headers that name the record although its value cannot."""
        identity = self._identity(serial, key)
        return ((ID_HEADER, identity), ("none", None), (ID_HEADER, identity), ("empty", b""))

    def _tombstone(self, serial: int, key: bytes, timestamp: int) -> Content:
        return Content(key, None, self._signed(serial, key), timestamp)

    def _empty_value(self, serial: int, key: bytes, timestamp: int) -> Content:
        return Content(key, b"", self._signed(serial, key), timestamp)

    def _null_key(self, serial: int, _key: bytes, timestamp: int) -> Content:
        return Content(None, self._value(serial, None, self.value_bytes), (("trace", b"\x00"),), timestamp)

    def _nothing_but_headers(self, serial: int, _key: bytes, timestamp: int) -> Content:
        return Content(None, None, self._signed(serial, None), timestamp)

    def _empty_key(self, serial: int, _key: bytes, timestamp: int) -> Content:
        return Content(b"", self._value(serial, b"", self.value_bytes), (), timestamp)

    def _doubled_headers(self, serial: int, key: bytes, timestamp: int) -> Content:
        headers = (("a", b"1"), ("b", None), ("a", b"2"), ("a", b"1"), ("b", b""), ("überschrift ✓", b"\xff\x00"))
        return Content(key, self._value(serial, key, self.value_bytes), headers, timestamp)

    def _many_headers(self, serial: int, key: bytes, timestamp: int) -> Content:
        headers = tuple((f"h{index % 40}", b"%d" % (serial + index)) for index in range(100))
        return Content(key, self._value(serial, key, self.value_bytes), headers, timestamp)

    def _large_value(self, serial: int, key: bytes, timestamp: int) -> Content:
        return Content(key, self._value(serial, key, 2_000 + serial % 18_000), (), timestamp)

    def _compressible(self, serial: int, key: bytes, timestamp: int) -> Content:
        return Content(key, self._identity(serial, key) + b"abcd" * (serial % 1_000), (), timestamp)

    def _binary_key(self, serial: int, key: bytes, timestamp: int) -> Content:
        binary = b"\xff\xfe\x00" + key
        return Content(binary, self._value(serial, binary, self.value_bytes), (), timestamp)

    def _earlier(self, serial: int, key: bytes, timestamp: int) -> Content:
        return Content(key, self._value(serial, key, self.value_bytes), (), timestamp - serial * 31 % _BACK_MS)

    def _without_time(self, serial: int, key: bytes, _timestamp: int) -> Content:
        return Content(key, self._value(serial, key, self.value_bytes), (), -1)


def _number(digits: bytes) -> int | None:
    """A serial, if `digits` can be one: more than 18 of them is damage, not a number."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None


_MAKERS: dict[int, Callable[[Recipe, int, bytes, int], Content]] = {
    0: Recipe._tombstone,
    1: Recipe._empty_value,
    2: Recipe._null_key,
    3: Recipe._nothing_but_headers,
    4: Recipe._empty_key,
    5: Recipe._doubled_headers,
    6: Recipe._many_headers,
    7: Recipe._large_value,
    8: Recipe._compressible,
    9: Recipe._binary_key,
    10: Recipe._earlier,
    11: Recipe._without_time,
    12: Recipe._null_key,
    13: Recipe._earlier,
}
