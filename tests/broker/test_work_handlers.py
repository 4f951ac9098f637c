"""Batches, acknowledging by hand, lifespans and a factory, in the processes that `fanout work` starts."""

from __future__ import annotations

import json
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from commands import Running, fanout
from conftest import unique_name

from .working import HERE, children_of, committed, ends, is_alive, wait_until, write

if TYPE_CHECKING:
    from conftest import Kafka, Topics


def test_every_record_of_every_kind_of_handler_is_settled_once_and_its_marked_ones_are_dead_letters(
    kafka: Kafka, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks, orders, dead, group, log = (
        topics("clicks", 2),
        topics("orders", 2),
        topics("dead"),
        unique_name("g"),
        tmp_path / "log",
    )
    count, marked = 3_000, range(0, 3_000, 500)
    write(kafka.bootstrap, clicks, ((b"key-%d" % (i % 400), i) for i in range(count)))
    write(kafka.bootstrap, orders, ((b"key-%d" % (i % 7), i) for i in range(count)))
    told = {"clicks": clicks, "orders": orders, "dead": dead, "log": str(log)}
    monkeypatch.setenv("FANOUT_TEST_APP", json.dumps(told))
    work = ("work", "handlers_app:make", "--factory", "--app-dir", str(HERE), "-g", group)
    ran = fanout(kafka.bootstrap, *work, "--until", "end", "-o", "json")
    counts = ran.require().document["handlers"]

    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    batches = [words[2:] for words in lines if words[0] == "batch"]
    loaded = Counter(int(value) for values in batches for value in values)
    taken = [(words[2], int(words[3])) for words in lines if words[0] == "order"]
    last: dict[str, int] = {}
    out_of_order = sum(value <= last.get(key, -1) or bool(last.update({key: value})) for key, value in taken)
    lost = 2 * count - len(marked) - len(loaded) - len(set(taken))
    duplicated = loaded.total() - len(loaded) + len(taken) - len(set(taken))
    size = statistics.mean(map(len, batches))
    print(f"records={2 * count} lost={lost} duplicated={duplicated} out_of_order={out_of_order} mean_batch={size:.0f}")
    assert (lost, duplicated, out_of_order) == (0, 0, 0)
    assert size > 20
    assert (counts[clicks]["done"], counts[clicks]["failed"], counts[orders]["done"]) == (count - 6, len(marked), count)
    assert counts[clicks]["retried"] == len(marked)
    assert committed(kafka.bootstrap, group, clicks) == ends(kafka.bootstrap, clicks)
    assert committed(kafka.bootstrap, group, orders) == ends(kafka.bootstrap, orders)
    assert sum(ends(kafka.bootstrap, dead).values()) == len(marked)
    assert [words[0] for words in lines if words[0] in ("opened", "closed")] == ["opened", "closed"]
    assert (lines[0][0], lines[-1][0]) == ("opened", "closed")


RELOADED = """
import asyncio
from fanout import App, Message
app = App("reloaded")
@app.handler({topic!r}, dlq=None)
async def handle(value: bytes) -> None:
    with open({log!r}, "a") as log:
        if value == b"4":
            print("begins 4", file=log, flush=True)
            await asyncio.sleep(2)
        log.write(f"{version} {{value.decode()}}\\n")
"""

HANGING = """
import ctypes, os
with open({log!r}, "a") as log:
    log.write(f"hangs {{os.getpid()}}\\n")
ctypes.PyDLL(None).sleep(600)  # no other thread of its process runs meanwhile
"""


def test_a_change_takes_over_if_it_imports_and_a_stop_waits_for_what_is_handled_but_for_no_import(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    topic, log, source = topics("orders"), tmp_path / "log", tmp_path / "reloaded.py"
    log.touch()

    def change(version: str) -> None:
        source.write_text(RELOADED.format(topic=topic, log=str(log), version=version), encoding="utf-8")

    def lines() -> list[str]:
        return log.read_text(encoding="utf-8").splitlines()

    change("one")
    work = ("work", "reloaded:app", "--app-dir", str(tmp_path), "-g", unique_name("workers"), "--reload")
    with Running(kafka.bootstrap, *work) as running:
        write(kafka.bootstrap, topic, [(b"k", 1)])
        wait_until(lambda: "one 1" in lines(), "the first version handles")
        source.write_text("this is no Python\n", encoding="utf-8")
        wait_until(lambda: "the workers go on with the source as it was" in running.said(), "the fault is told")
        write(kafka.bootstrap, topic, [(b"k", 2)])
        wait_until(lambda: "one 2" in lines(), "the first version goes on")
        first = children_of(running.pid)
        change("two")
        wait_until(lambda: "the workers are replaced" in running.said(), "the change is told")
        wait_until(lambda: set(first).isdisjoint(children_of(running.pid)), "the end of the first version")
        write(kafka.bootstrap, topic, [(b"k", 3)])
        wait_until(lambda: "two 3" in lines(), "the second version handles")
        source.write_text(HANGING.format(log=str(log)), encoding="utf-8")
        wait_until(lambda: "hangs" in lines()[-1], "the import hangs")
        write(kafka.bootstrap, topic, [(b"k", 4)])
        wait_until(lambda: lines()[-1] == "begins 4", "the second version goes on")
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        running.wait(40).require(0)
        took_s = time.monotonic() - began
    handled = [line for line in lines() if line[:3] in ("one", "two")]
    print(f"records=4 lost=0 duplicated={len(handled) - 4} versions={handled} stopped_s={took_s:.1f}")
    assert handled == ["one 1", "one 2", "two 3", "two 4"]
    assert not is_alive(next(int(line.split()[1]) for line in lines() if "hangs" in line))
