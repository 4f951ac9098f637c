"""
One connection to Redis over which a whole batch goes in one piece.

redis-py makes the connection: address, TLS, login, Sentinel. Then the socket is written and read here, through hiredis'
reader: redis-py's own pipeline costs more a command than the whole of the rest of a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from .store import StoreError

__all__ = ["Line", "connector", "packed"]

TIMEOUT_S = 2.0
"""How long one answer may take. A batch that got none is sent again, and does no harm."""

AT_ONCE = 1_000
"""Commands a piece: their answers fit into the socket's buffers, so neither side waits for the other to read."""

READ_BYTES = 1 << 16

OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),  # who asks knows better when to try again
    "socket_connect_timeout": TIMEOUT_S,
    "socket_timeout": TIMEOUT_S,
}

SENTINEL_PORT = 26379

packed: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
"""A command as it goes over the wire; the types of hiredis know only commands of one word."""

FAILURES = (redis.RedisError, hiredis.HiredisError, OSError)


class _Batches:
    """Beside one of redis-py's connections: the same socket, a batch at a time."""

    _sock: Any

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Sends packed commands and returns as many answers, errors among them as values."""
        reader = hiredis.Reader()
        answers: list[Any] = []
        self._sock.sendall(packed)
        while len(answers) < count:
            received = self._sock.recv(READ_BYTES)
            if not received:
                raise ConnectionResetError("the server closed the connection")
            reader.feed(received)
            while (answer := reader.gets()) is not False:
                answers.append(answer)
        return answers


class _Plain(_Batches, Connection):
    """TCP."""


class _Tls(_Batches, SSLConnection):
    """TLS."""


class _Unix(_Batches, UnixDomainSocketConnection):
    """A socket of this host."""


class _Watched(_Batches, SentinelManagedConnection):
    """The master that Sentinels name."""


class _WatchedTls(_Batches, SentinelManagedSSLConnection):
    """The same over TLS."""


class AnyConnection(Protocol):
    """What all of them are."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def exchange(self, packed: bytes, count: int) -> list[Any]: ...


class Line:
    """Sends batches of commands; connects when it has to. StoreError for whatever keeps a batch from its answers."""

    def __init__(self, make: Callable[[], AnyConnection]) -> None:
        self._make = make
        self._connection: AnyConnection | None = None

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """An answer each. An error in an answer is a value of `hiredis.ReplyError`."""
        if self._connection is not None:
            try:
                return self._exchange(self._connection, commands)
            except ConnectionError:
                # An idle connection says only now that its server was started again. A batch does no harm twice.
                self.close()
            except FAILURES as error:
                self.close()
                raise StoreError(f"Redis: {error}") from error
        try:
            self._connection = self._make()
            self._connection.connect()
            return self._exchange(self._connection, commands)
        except FAILURES as error:
            # Whatever is still on its way would be taken for the answers to the next batch.
            self.close()
            raise StoreError(f"Redis: {error}") from error

    def call(self, *command: str | bytes | int) -> Any:
        """One command; an error in its answer is raised."""
        answer = self.exchange([packed(command)])[0]
        if isinstance(answer, hiredis.ReplyError):
            self.close()
            raise StoreError(f"Redis: {answer}") from answer
        return answer

    def close(self) -> None:
        """Hangs up."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    @staticmethod
    def _exchange(connection: AnyConnection, commands: Sequence[bytes]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(commands), AT_ONCE):
            piece = commands[start : start + AT_ONCE]
            answers += connection.exchange(b"".join(piece), len(piece))
        return answers


def connector(url: str) -> Callable[[], AnyConnection]:
    """What makes connections to `url`; nothing is dialled yet. ValueError or TypeError for one that cannot be meant."""
    make = _watched(url) if urlsplit(url).scheme.endswith("+sentinel") else _direct(url)
    try:
        make()
    except redis.RedisError as error:
        raise ValueError from error
    return make


def _direct(url: str) -> Callable[[], AnyConnection]:
    options = {**OPTIONS, **parse_url(url)}
    options.pop("connection_class", None)
    kind = {"redis": _Plain, "rediss": _Tls, "unix": _Unix}[urlsplit(url).scheme]
    return lambda: kind(**options)


def _watched(url: str) -> Callable[[], AnyConnection]:
    """`redis+sentinel://user:password@host:port,host:port/service/db?option=value`."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not (hosts and service):
        raise ValueError
    sentinels = [
        (host, int(port or SENTINEL_PORT)) for host, _, port in (one.partition(":") for one in hosts.split(","))
    ]
    user, _, password = login.partition(":")
    told = parse_url(f"redis://host?{parts.query}")
    options = {**OPTIONS, **{name: value for name, value in told.items() if name != "host"}, "db": int(db or 0)}
    if password:
        options |= {"password": unquote(password)} | ({"username": unquote(user)} if user else {})
    tls = parts.scheme.startswith("rediss")
    trust = {name: value for name, value in options.items() if name.startswith("ssl_")}
    watch = Sentinel(sentinels, sentinel_kwargs={"socket_timeout": TIMEOUT_S, "ssl": tls, **trust})
    kind = _WatchedTls if tls else _Watched
    pool = SentinelConnectionPool(service, watch, connection_class=kind, ssl=tls, **options)
    return pool.make_connection  # type: ignore[return-value]  # of the class the pool was told
