"""Processes of one host over one file: of all that claim a key at once, one runs it, whoever is killed meanwhile."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from fanout.dedup.opening import open_store
from fanout.dedup.store import Answer, Claim, claim

KEYS, AT_ONCE, PROCESSES = 2_000, 50, 3

CLAIMANT = """
import sys
import pytest

from fanout.dedup.opening import open_store
from fanout.dedup.store import Answer, Claim, claim
url, owner, count, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = open_store(url, 600)
store.renew(owner, 600)
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, count, at_once):
    claims = [Claim(b"key-%d" % n, f"{owner}:{n}".encode()) for n in range(start, start + at_once)]
    answers = claim(store, claims)
    mine = [one for one, answer in zip(claims, answers) if answer is Answer.RUN]
    store.complete(mine)
    for one in mine:
        print(one.key.decode(), flush=True)
"""


def test_of_processes_that_claim_at_once_one_runs_each_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'claims.db'}"
    with ExitStack() as ended:
        claimants = [ended.enter_context(claimant(url, f"owner-{number}")) for number in range(PROCESSES)]
        for one in claimants:
            wait_ready(one)
        for one in claimants:
            tell(one)
        ran = Counter(line for one in claimants for line in one.communicate(timeout=120)[0].split())
    print(f"keys={KEYS} processes={PROCESSES} ran={ran.total()} twice={ran.total() - len(ran)}")
    assert [one.returncode for one in claimants] == [0] * PROCESSES
    assert len(ran) == ran.total() == KEYS


def test_a_process_that_is_killed_in_the_middle_leaves_a_store_that_works(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'claims.db'}"
    with claimant(url, "victim", count=1_000_000) as victim:
        wait_ready(victim)
        tell(victim)
        assert victim.stdout is not None
        first = victim.stdout.readline().strip()
        victim.kill()
    store = open_store(url, 600)
    store.retire("victim")
    keys = [first.encode(), b"key-999999"]
    assert claim(store, [Claim(key, b"heir:%d" % number) for number, key in enumerate(keys)]) == [
        Answer.DONE,
        Answer.RUN,
    ]
    store.close()


def test_looking_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'claims.db'}"
    store = open_store(url, 600)
    store.renew("here", 600)
    assert claim(store, [Claim(b"key", b"here:1")]) == [Answer.RUN]
    with closing(sqlite3.connect(tmp_path / "claims.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        fresh = open_store(url, 600)
        for looks in (store, fresh):
            seen = looks.look([b"key"])[0]
            assert seen is not None
            assert (seen.owner, seen.is_owner_alive) == ("here", True)
            assert (looks.alive([b"here", b"gone"]), looks.owners()) == ({b"here"}, ["here"])
            assert list(looks.keys(b"k")) == [b"key"]
        writer.execute("ROLLBACK")
    fresh.close()
    store.close()


@pytest.mark.usefixtures("patient")
def test_a_new_file_that_another_process_is_setting_up_is_waited_for(tmp_path: Path) -> None:
    file, over = tmp_path / "claims.db", threading.Event()
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite itself, asked for a log, does not wait for this one

    def end_it() -> None:
        time.sleep(0.3)
        over.set()
        other.execute("ROLLBACK")

    with closing(other), ThreadPoolExecutor() as aside:
        ended = aside.submit(end_it)
        store = open_store(f"sqlite:///{file}", 600)
        store.renew("here", 600)
        assert over.is_set()
        assert store.owners() == ["here"]
        store.close()
        ended.result()


@pytest.mark.usefixtures("patient")
def test_of_many_that_open_a_new_file_at_once_none_is_turned_away(tmp_path: Path) -> None:
    def open_new(number: int, at_once: threading.Barrier, path: Path) -> None:
        store = open_store(f"sqlite:///{path}", 600)
        at_once.wait()
        store.renew(f"owner-{number}", 600)
        store.close()

    many = 8
    with ThreadPoolExecutor(many) as threads:
        for number in range(50):
            path, at_once = tmp_path / f"claims-{number}.db", threading.Barrier(many)
            list(threads.map(open_new, range(many), [at_once] * many, [path] * many))
            store = open_store(f"sqlite:///{path}", 600)
            assert len(store.owners()) == many
            store.close()


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def claimant(url: str, owner: str, count: int = KEYS) -> subprocess.Popen[str]:
    """A process that waits for a line, then claims and completes every key."""
    return subprocess.Popen(
        [sys.executable, "-c", CLAIMANT, url, owner, str(count), str(AT_ONCE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
