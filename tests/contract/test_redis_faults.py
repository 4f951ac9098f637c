"""What a real server may do to a batch: every fault is told, and the same batch sent again has its answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from broker.working import wait_until
from fanout.dedup.opening import open_store
from fanout.dedup.redis import RedisStore
from fanout.dedup.scripts import KEYS
from fanout.dedup.store import Answer, Claim, Completion, DedupStore, StoreError, claim
from fanout.dedup.wire import OPTIONS, TIMEOUT_S
from redis_server import RedisServer

from .front import Front

RUN, DONE, BUSY = Answer.RUN, Answer.DONE, Answer.BUSY


pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def store(server: RedisServer) -> Iterator[DedupStore]:
    store = open_store(server.url, 600)
    store.renew("a", 60)
    yield store
    store.close()


def of(record: int, owner: str = "a") -> Claim:
    return Claim(b"key-%d" % record, f"{owner}:{record}".encode())


def test_killed_and_started_without_its_data_it_forgets_and_serves_again(
    server: RedisServer, store: DedupStore
) -> None:
    assert claim(store, [of(1), of(2)]) == [RUN, RUN]
    store.complete([of(1)])
    server.kill()
    with pytest.raises(StoreError):
        claim(store, [of(1)])
    server.start()
    assert store.complete([of(2)]) == [Completion.OK]
    assert claim(store, [of(1), of(2)]) == [RUN, DONE]


def test_killed_and_started_with_its_log_it_remembers() -> None:
    server = RedisServer(appendonly="yes", appendfsync="always")
    server.start()
    store = open_store(server.url, 600)
    store.complete([of(1)])
    server.kill()
    server.start()
    with contextlib.suppress(StoreError):  # the first word on the old connection
        store.owners()
    assert claim(store, [of(1)]) == [DONE]
    store.close()
    server.remove()


def test_stopped_it_is_given_up_in_time_and_a_late_answer_is_nobody_s(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS, "socket_timeout", TIMEOUT_S)
    store = open_store(server.url, 600)
    wait_until(lambda: is_done(store), "a moment in which it answers in time")
    server.pause()
    began = time.monotonic()
    with pytest.raises(StoreError):
        claim(store, [of(2)])
    assert time.monotonic() - began < 30
    server.resume()
    answers: list[Answer] = []

    def is_answered() -> bool:
        with contextlib.suppress(StoreError):
            answers[:] = claim(store, [of(1), of(2)])
        return bool(answers)

    wait_until(is_answered, "another such moment")
    assert answers == [DONE, RUN]
    store.close()


def is_done(store: DedupStore) -> bool:
    """Whether the first record could be marked."""
    with contextlib.suppress(StoreError):
        store.complete([of(1)])
        return True
    return False


def test_flushed_it_has_forgotten_claims_and_a_completion_marks_its_record_all_the_same(
    server: RedisServer, store: DedupStore
) -> None:
    assert claim(store, [of(1)]) == [RUN]
    server.tell("FLUSHALL")
    assert store.complete([of(1)]) == [Completion.OK]
    assert claim(store, [of(1)]) == [DONE]


def test_scripts_that_were_flushed_are_loaded_again_within_the_call(server: RedisServer, store: DedupStore) -> None:
    assert claim(store, [of(1)]) == [RUN]
    server.tell("SCRIPT", "FLUSH")
    assert claim(store, [of(1), of(2)]) == [RUN, RUN]
    server.tell("SCRIPT", "FLUSH")
    assert store.complete([of(1)]) == [Completion.OK]


def test_out_of_memory_is_told_and_over_when_there_is_room(server: RedisServer, store: DedupStore) -> None:
    assert claim(store, [of(1)]) == [RUN]
    server.tell("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreError, match="OOM"):
        claim(store, [of(2)])
    with pytest.raises(StoreError, match="OOM"):
        store.complete([of(1)])
    server.tell("CONFIG", "SET", "maxmemory", "0")
    assert store.complete([of(1)]) == [Completion.OK]


def test_a_server_that_became_a_replica_is_told_and_served_by_once_it_is_none(
    server: RedisServer, store: DedupStore
) -> None:
    server.tell("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreError, match="READONLY"):
        claim(store, [of(1)])
    server.tell("REPLICAOF", "NO", "ONE")
    assert claim(store, [of(1)]) == [RUN]


def test_a_password_that_is_asked_for_is_told_and_never_shown(server: RedisServer) -> None:
    server.tell("CONFIG", "SET", "requirepass", "CANARY-right")
    for url in (server.url, server.url.replace("//", "//:CANARY-wrong@")):
        store = open_store(url, 600)
        with pytest.raises(StoreError) as refused:
            store.owners()
        assert "CANARY" not in str(refused.value) + repr(refused.value.__cause__) + repr(store)
        store.close()
    store = open_store(server.url.replace("//", "//:CANARY-right@"), 600)
    assert store.owners() == []
    store.close()


def test_a_key_that_holds_something_else_waits_alone(server: RedisServer, store: DedupStore) -> None:
    server.tell("LPUSH", (KEYS + b"key-1").decode(), "not ours")
    server.tell("SET", (KEYS + b"key-2").decode(), "not ours either")
    assert claim(store, [of(1), of(2), of(3)]) == [BUSY, BUSY, RUN]
    assert store.complete([of(1)]) == [Completion.LOST]
    server.tell("DEL", (KEYS + b"key-1").decode(), (KEYS + b"key-2").decode())
    assert claim(store, [of(1), of(2)]) == [RUN, RUN]


def test_an_answer_lost_after_its_script_ran_is_given_again(server: RedisServer) -> None:
    with Cut(server.port) as cut:
        store = open_store(f"redis://127.0.0.1:{cut.port}/0", 600)
        store.renew("a", 60)
        assert isinstance(store, RedisStore)
        assert claim(store, [of(0)]) == [RUN]
        cut.drops_answers.set()
        with pytest.raises(StoreError):
            claim(store, [of(1)])
        assert server.tell("GET", (KEYS + b"key-1").decode()) is not None
        cut.drops_answers.clear()
        assert claim(store, [of(1)]) == [RUN]
        cut.drops_answers.set()
        with pytest.raises(StoreError):
            store.complete([of(1)])
        cut.drops_answers.clear()
        assert store.complete([of(1)]) == [Completion.ALREADY]
        store.close()


class Cut(Front):
    """Passes bytes on to a server; while `drops_answers` is set it hangs up instead of passing an answer back."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.drops_answers = threading.Event()

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        while asked := client.recv(65536):
            server.sendall(asked)
            answer = server.recv(65536)
            if self.drops_answers.is_set() and b"OK" not in answer[:4]:
                return
            client.sendall(answer)
