"""What every store of claims must do: the same tests for memory, SQLite, a real Redis, and one in cluster mode."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.working import wait_until
from fanout.dedup.opening import open_store
from fanout.dedup.store import Answer, Claim, Completion, DedupStore, claim
from redis_server import RedisServer

RUN, DONE, MISMATCH, BUSY = Answer.RUN, Answer.DONE, Answer.MISMATCH, Answer.BUSY
OK, ALREADY, LOST = Completion.OK, Completion.ALREADY, Completion.LOST

WINDOW_S = 60.0

Open = Callable[..., DedupStore]

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """One node that holds every slot: it refuses a script whose keys lie in two."""
    server = RedisServer(cluster_enabled="yes")
    server.start()
    server.tell("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_until(lambda: b"cluster_state:ok" in server.tell("CLUSTER", "INFO"), "a cluster that serves")
    yield server
    server.remove()


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again, as so many processes would."""
    stores: list[DedupStore] = []
    kind: str = request.param
    if kind == "memory":
        url = f"memory://{uuid.uuid4().hex}"
    elif kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'claims.db'}"
    else:
        server = request.getfixturevalue("server" if kind == "redis" else "cluster")
        server.tell("FLUSHALL")
        url = server.url

    def opened(window_s: float = WINDOW_S) -> DedupStore:
        stores.append(open_store(url, window_s))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def of(owner: str, record: int, key: bytes = b"k", content: bytes = b"-") -> Claim:
    return Claim(key, f"{owner}:{record}".encode(), content)


def test_a_new_key_runs_and_is_done_afterwards(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    assert claim(store, [of("a", 1)]) == [RUN]
    assert store.complete([of("a", 1)]) == [OK]
    assert claim(store, [of("a", 2), of("b", 1)]) == [DONE, DONE]


def test_a_claim_whose_answer_was_lost_is_answered_the_same_again(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    assert claim(store, [of("a", 1)]) == claim(store, [of("a", 1)]) == [RUN]
    assert store.complete([of("a", 1)]) == [OK]
    assert store.complete([of("a", 1)]) == [ALREADY]


def test_a_key_held_by_a_living_owner_is_busy_and_not_done(opened: Open) -> None:
    first, second = opened(), opened()
    first.renew("a", 10)
    second.renew("b", 10)
    assert claim(first, [of("a", 1)]) == [RUN]
    assert claim(second, [of("b", 1)]) == [BUSY]
    assert second.complete([of("b", 1)]) == [LOST]
    assert first.complete([of("a", 1)]) == [OK]


def test_two_records_of_one_key_in_one_batch_do_not_both_run(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    assert claim(store, [of("a", 1), of("a", 2), of("a", 3)]) == [RUN, BUSY, BUSY]


def test_the_claim_of_an_owner_that_is_gone_is_taken_over_and_its_completion_refused(opened: Open) -> None:
    first, second = opened(), opened()
    first.renew("a", 0.1)
    second.renew("b", 10)
    assert claim(first, [of("a", 1)]) == [RUN]
    wait_until(lambda: first.owners() == ["b"], "the end of an owner")
    assert claim(second, [of("b", 7)]) == [RUN]
    first.renew("a", 10)
    assert claim(first, [of("a", 1)]) == [BUSY]
    assert first.complete([of("a", 1)]) == [LOST]
    assert second.complete([of("b", 7)]) == [OK]


def test_of_two_heirs_one_takes_the_claim_over(opened: Open) -> None:
    store = opened()
    store.renew("b", 10)
    store.renew("c", 10)
    assert claim(store, [of("a", 1)]) == [RUN]
    held = store.ask([of("b", 1), of("c", 1)], [b"", b""])
    assert held == [b"a:1", b"a:1"]
    assert store.ask([of("b", 1), of("c", 1)], [b"a:1", b"a:1"]) == [RUN, b"b:1"]


def test_an_owner_that_retires_leaves_its_claims_at_once(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    store.renew("b", 10)
    assert claim(store, [of("a", 1)]) == [RUN]
    store.retire("a")
    assert (store.owners(), store.alive([b"a", b"b"])) == (["b"], {b"b"})
    assert claim(store, [of("b", 1)]) == [RUN]


def test_a_released_claim_is_free_and_another_ones_is_not_touched(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    assert claim(store, [of("a", 1)]) == [RUN]
    store.release([of("a", 2), of("b", 1)])
    assert claim(store, [of("b", 1)]) == [BUSY]
    store.release([of("a", 1)])
    assert claim(store, [of("b", 1)]) == [RUN]
    store.complete([of("b", 1)])
    store.release([of("b", 1)])
    assert claim(store, [of("a", 1)]) == [DONE]


def test_a_completion_without_a_claim_marks_the_key_done(opened: Open) -> None:
    store = opened()
    assert store.complete([of("a", 1)]) == [OK]
    assert claim(store, [of("b", 1)]) == [DONE]


def test_one_id_with_other_content_is_a_mismatch(opened: Open) -> None:
    store = opened()
    store.complete([of("a", 1, content=b"one")])
    assert claim(store, [of("a", 2, content=b"two"), of("a", 3, content=b"one")]) == [MISMATCH, DONE]


def test_markers_and_claims_end_with_the_window(opened: Open) -> None:
    store = opened(0.2)
    store.renew("a", 60)
    assert claim(store, [of("a", 1, b"claimed")]) == [RUN]
    assert store.complete([of("a", 2, b"done")]) == [OK]
    wait_until(lambda: list(store.keys(b"")) == [], "the end of the window")
    store.renew("a", 60)
    assert claim(store, [of("b", 1, b"claimed"), of("b", 2, b"done")]) == [RUN, RUN]


def test_a_batch_of_thousands_is_answered_in_order(opened: Open) -> None:
    store, count = opened(), 3_000
    store.renew("a", 10)
    claims = [of("a", number, b"key-%d" % number) for number in range(count)]
    store.complete(claims[::2])
    assert claim(store, claims) == [DONE, RUN] * (count // 2)
    assert store.complete(claims) == [ALREADY, OK] * (count // 2)


def test_nothing_asked_is_nothing_answered(opened: Open) -> None:
    store = opened()
    store.release([])
    assert (claim(store, []), store.complete([]), store.look([]), store.forget([])) == ([], [], [], [])


def test_keys_and_contents_may_be_any_bytes(opened: Open) -> None:
    store, odd = opened(), bytes(range(256))
    store.renew("a", 10)
    assert claim(store, [of("a", 1, odd, b"\r\n$5"), of("a", 2, b"", b"x")]) == [RUN, RUN]
    assert store.complete([of("a", 1, odd, b"\r\n$5")]) == [OK]
    assert claim(store, [of("a", 3, odd, b"\r\n$5")]) == [DONE]


def test_what_is_known_of_a_key_can_be_seen_and_forgotten(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    claim(store, [of("a", 1, b"n/held", b"h1"), of("b", 1, b"n/left", b"h2")])
    store.complete([of("a", 2, b"n/done", b"h3")])
    held, left, done, none = store.look([b"n/held", b"n/left", b"n/done", b"n/none"])
    assert held is not None
    assert left is not None
    assert done is not None
    assert none is None
    assert (held.state, held.owner, held.is_owner_alive, held.hash) == ("claimed", "a", True, b"h1")
    assert (left.state, left.owner, left.is_owner_alive, left.hash) == ("claimed", "b", False, b"h2")
    assert (done.state, done.owner, done.is_owner_alive, done.hash) == ("done", None, False, b"h3")
    assert 0 < done.expires_s <= WINDOW_S
    assert sorted(store.keys(b"n/")) == [b"n/done", b"n/held", b"n/left"]
    assert list(store.keys(b"m")) == list(store.keys(b"n*")) == []
    assert store.forget([left, done]) == [True, True]
    assert claim(store, [of("a", 3, b"n/done"), of("a", 4, b"n/left")]) == [RUN, RUN]


def test_what_is_not_as_it_was_seen_is_not_forgotten(opened: Open) -> None:
    store = opened()
    store.renew("a", 10)
    claim(store, [of("gone", 1, b"left")])
    store.complete([of("a", 1, b"done", b"one"), of("a", 2, b"over", b"one")])
    seen = [entry for entry in store.look([b"left", b"done", b"over"]) if entry is not None]
    assert claim(store, [of("a", 3, b"left")]) == [RUN]
    assert store.forget(seen) == [False, True, True]
    assert claim(store, [of("a", 4, b"done", b"one")]) == [RUN]
    store.complete([of("a", 5, b"over", b"two")])
    assert store.forget(seen) == [False, False, False]
    assert [entry is None for entry in store.look([b"left", b"done", b"over"])] == [False, False, False]


def test_of_many_that_claim_at_once_one_runs(opened: Open) -> None:
    keys = [b"key-%d" % number for number in range(200)]
    ran: list[bytes] = []
    stores = [opened() for _ in range(4)]

    def claim_all(number: int) -> None:
        store = stores[number]
        store.renew(f"owner-{number}", 30)
        for start in range(0, len(keys), 20):
            part = [of(f"owner-{number}", at, keys[at]) for at in range(start, start + 20)]
            answers = claim(store, part)
            assert set(answers) <= {RUN, BUSY}
            ran.extend(one.key for one, answer in zip(part, answers, strict=True) if answer is RUN)

    threads = [threading.Thread(target=claim_all, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == sorted(keys)
