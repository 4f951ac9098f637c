"""Batches and requests as bytes: what no client would write or ask, and what none would show."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from oracle.ends import wait_for_markers
from oracle.transactions import kafka

__all__ = ["Name", "Record", "Stored", "batch", "codecs", "fetch", "limit", "produce", "stored"]

PRODUCE, FETCH, ALTER_CLIENT_QUOTAS = (0, 3), (1, 4), (49, 0)
"""The oldest versions that Kafka 4 speaks: without compact lengths and tagged fields."""
MOST_BYTES = 16 << 20
TIMEOUT_S = 30
CONTROL = 1 << 5
HEADER_BYTES = 61
"""Of a batch, before its records."""

Record = tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Timestamp, key, value, headers."""
Stored = tuple[int, bytes]
"""A timestamp, and all that a record holds from its key on: lengths, bytes, header names."""


class Name(str):
    """A header's name of any bytes: writers ask a string for its UTF-8, and are given these."""

    _name: bytes

    @classmethod
    def of(cls, name: bytes) -> Name:
        """The name that is written as `name`."""
        made = cls(name.decode(errors="replace"))
        made._name = name
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        """The bytes themselves."""
        return self._name


def batch(records: Sequence[Record]) -> bytes:
    """An uncompressed batch of exactly these records."""
    builder: Any = kafka.record.default_records.DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, MOST_BYTES)
    for offset, record in enumerate(records):
        assert builder.append(offset, *record) is not None
    return bytes(builder.build())


def produce(bootstrap: str, topic: str, records: bytes, partition: int = 0) -> None:
    """Writes one batch as it is, to a single broker that leads the partition."""
    body = struct.pack(">hhi", -1, -1, TIMEOUT_S * 1000) + _one(topic) + struct.pack(">ii", 1, partition)
    answer = _ask(bootstrap, PRODUCE, body + struct.pack(">i", len(records)) + records)
    error = struct.unpack_from(">h", answer, len(_one(topic)) + 8)[0]
    assert error == 0, f"Produce: error {error}"


def limit(bootstrap: str, client_id: str, quota: str, most: float) -> None:
    """Gives clients of this name a quota, such as `consumer_byte_rate`; no other client feels it."""
    body = struct.pack(">ii", 1, 1) + _text("client-id") + _text(client_id)
    body += struct.pack(">i", 1) + _text(quota) + struct.pack(">d??", most, False, False)
    answer = _ask(bootstrap, ALTER_CLIENT_QUOTAS, body)
    _, answered, error = struct.unpack_from(">iih", answer)
    assert (answered, error) == (1, 0), f"AlterClientQuotas: error {error}"


def fetch(bootstrap: str, topic: str, partition: int = 0) -> bytes:
    """The batches of a partition as they are stored, to its last stable offset, once ended transactions are marked."""
    wait_for_markers(bootstrap, topic)
    found, offset, stable = b"", 0, 1
    while offset < stable:
        # An answer never reaches over the end of a segment, and strange times make many of them.
        more, stable = _fetch(bootstrap, topic, partition, offset)
        for at, length in _batches(more):
            (base, last) = *struct.unpack_from(">q", more, at), *struct.unpack_from(">i", more, at + 23)
            offset = base + last + 1
            found += more[at : at + length]
    return found


def _fetch(bootstrap: str, topic: str, partition: int, offset: int) -> tuple[bytes, int]:
    """What stands from `offset` on, and the last stable offset."""
    body = struct.pack(">iiiib", -1, 0, 1, MOST_BYTES, 1) + _one(topic)
    answer = _ask(bootstrap, FETCH, body + struct.pack(">iiqi", 1, partition, offset, MOST_BYTES))
    at = 4 + len(_one(topic)) + 4
    _, error, _, stable, aborted = struct.unpack_from(">ihqqi", answer, at)
    assert error == 0, f"Fetch: error {error}"
    at += struct.calcsize(">ihqqi") + 16 * max(aborted, 0)
    (length,) = struct.unpack_from(">i", answer, at)
    return answer[at + 4 : at + 4 + length], stable


def _batches(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each batch begins, and how long it is."""
    at = 0
    while at < len(data):
        length = 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        yield at, length
        at += length


def stored(batches: bytes) -> list[Stored]:
    """What stands in uncompressed batches, control batches apart."""
    found: list[Stored] = []
    for at, _ in _batches(batches):
        attributes, _, base_ms, _, _, _, _, count = struct.unpack_from(">hiqqqhii", batches, at + 21)
        place = at + HEADER_BYTES
        for _ in range(0 if attributes & CONTROL else count):
            size, place = _varint(batches, place)
            end = place + size
            delta_ms, place = _varint(batches, place + 1)
            _, place = _varint(batches, place)
            # As Java adds: what is over 2^63 begins again at -2^63.
            (timestamp,) = struct.unpack(">q", struct.pack(">Q", (base_ms + delta_ms) % (1 << 64)))
            found.append((timestamp, batches[place:end]))
            place = end
    return found


def codecs(batches: bytes) -> list[int]:
    """The codec bits of each batch, control batches apart."""
    attributes = [int.from_bytes(batches[at + 21 : at + 23], "big") for at, _ in _batches(batches)]
    return [bits & 7 for bits in attributes if not bits & CONTROL]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return (value >> 1) ^ -(value & 1), at


def _one(topic: str) -> bytes:
    return struct.pack(">i", 1) + _text(topic)


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _ask(bootstrap: str, asked: tuple[int, int], body: bytes) -> bytes:
    """Sends one request on a connection of its own; the answer behind its correlation id."""
    host, port = bootstrap.rsplit(":", 1)
    client = b"raw"
    request = struct.pack(">hhih", *asked, 1, len(client)) + client + body
    with socket.create_connection((host, int(port)), TIMEOUT_S) as stream, stream.makefile("rwb") as frames:
        frames.write(struct.pack(">i", len(request)) + request)
        frames.flush()
        (length,) = struct.unpack(">i", frames.read(4))
        return frames.read(length)[4:]
