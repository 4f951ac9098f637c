"""The ways to a server: Sentinels and the failover they order, TLS and whom it trusts, a socket of this host."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.working import wait_until
from certificates import Authority, Issued
from fanout.dedup.opening import open_store
from fanout.dedup.store import Answer, Claim, Completion, StoreError, claim
from redis_server import RedisServer, Sentinel

from .front import Front

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as ended:
        yield ended


def running(stack: ExitStack, **options: str) -> RedisServer:
    server = RedisServer(**options)
    stack.callback(server.remove)
    server.start()
    return server


def of(record: int) -> Claim:
    return Claim(b"key-%d" % record, b"a:%d" % record)


def test_sentinels_name_the_master_also_the_one_that_took_its_place(stack: ExitStack) -> None:
    master = running(stack)
    replica = running(stack, replicaof=f"127.0.0.1 {master.port}")
    sentinel = Sentinel(master.port)
    stack.callback(sentinel.remove)
    sentinel.start()
    wait_until(lambda: sentinel.replicas() == 1, "the replica is known")
    store = open_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0", 600)
    store.renew("a", 60)
    assert store.complete([of(1)]) == [Completion.OK]
    wait_until(lambda: replica.tell("GET", "fanout:d:key-1") is not None, "replicated")
    master.kill()
    began = time.monotonic()
    answers: list[Answer] = []

    def is_served() -> bool:
        try:
            answers[:] = claim(store, [of(1), of(2)])
        except StoreError:
            return False
        return True

    # Sentinels that notice a standstill of the machine do nothing for 30 s.
    wait_until(is_served, "failed over", 180)
    print(f"failed_over_s={time.monotonic() - began:.1f}")
    assert answers == [Answer.DONE, Answer.RUN]
    store.close()


def test_tls_is_spoken_to_whom_the_authority_vouches_for_and_to_nobody_else(stack: ExitStack, tmp_path: Path) -> None:
    server = running(stack)
    authority, stranger = Authority("ours", tmp_path), Authority("theirs", tmp_path)
    front = stack.enter_context(TlsFront(server.port, authority.issue("redis"), tmp_path))
    url = f"rediss://localhost:{front.port}/0?ssl_ca_certs={{}}"
    store = open_store(url.format(authority.bundle), 600)
    store.renew("a", 60)
    assert claim(store, [of(number) for number in range(3_000)]) == [Answer.RUN] * 3_000
    store.close()
    with pytest.raises(StoreError, match="certificate"):
        open_store(url.format(stranger.bundle), 600).owners()


def test_a_socket_of_this_host_is_an_address(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    running(stack, unixsocket=str(path))
    store = open_store(f"unix://{path}?db=1", 600)
    store.renew("a", 60)
    assert store.owners() == ["a"]
    store.close()


class TlsFront(Front):
    """Speaks TLS before a server that does not."""

    def __init__(self, port: int, shown: Issued, folder: Path) -> None:
        super().__init__(port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*shown.write(folder, "front"))

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        try:
            told = self._context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, ConnectionError):
            return  # the other side does not trust us
        with told:
            self._pass_on(told, server)

    @staticmethod
    def _pass_on(told: ssl.SSLSocket, server: socket.socket) -> None:
        """Both ways on one thread: an SSL socket is not for two."""
        while True:
            ready = [told] if told.pending() else select.select([told, server], [], [])[0]
            for source, target in ((told, server), (server, told)):
                if source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    target.sendall(data)
