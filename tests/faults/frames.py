"""Kafka's frames on a stream: a length, then an api key, its version and a correlation id; answers repeat the last."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import socket

__all__ = ["Api", "Frame", "Way", "read_frame"]

Way = Literal["request", "response"]


class Api(enum.IntEnum):
    """Requests that a lane makes, by their numbers on the wire."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


@dataclass(frozen=True, slots=True)
class Frame:
    """One request, or the response to it: `api` and `version` are those of the request in both directions."""

    way: Way
    api: int
    version: int
    data: bytes
    """Everything as it was read, the length included."""
    asked: bytes
    """The request's own bytes, in both directions."""

    @classmethod
    def request(cls, data: bytes) -> Frame:
        """Reads what a client asks."""
        api, version = struct.unpack_from(">hh", data, 4)
        return cls("request", api, version, data, data)

    def answered_by(self, data: bytes) -> Frame:
        """The response to this request."""
        return Frame("response", self.api, self.version, data, self.data)

    @property
    def name(self) -> str:
        """The api as people write it, and the direction."""
        known = {int(api): api.name.lower() for api in Api}
        return f"{known.get(self.api, self.api)} {self.way}"


def read_frame(stream: socket.socket) -> bytes | None:
    """The next frame with its length; None where the stream ends, be it inside a frame."""
    head = _read(stream, 4)
    if head is None:
        return None
    body = _read(stream, int.from_bytes(head, "big"))
    return None if body is None else head + body


def _read(stream: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        more = stream.recv(min(size - len(data), 1 << 20))
        if not more:
            return None
        data += more
    return bytes(data)
