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

from .working import HERE, committed, ends, is_alive, wait_until, write

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
import os
from fanout import App, Message
app = App("reloaded")
@app.handler({topic!r}, dlq=None)
async def handle(value: bytes) -> None:
    with open({log!r}, "a") as log:
        log.write(f"{version} {{value.decode()}}\\n")
"""


def test_a_changed_application_takes_over_and_one_that_does_not_import_leaves_the_workers_alone(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    topic, log, source = topics("orders"), tmp_path / "log", tmp_path / "reloaded.py"
    log.touch()

    def change(version: str) -> None:
        source.write_text(RELOADED.format(topic=topic, log=str(log), version=version), encoding="utf-8")

    def handled(line: str) -> bool:
        return line in log.read_text(encoding="utf-8").splitlines()

    change("one")
    work = ("work", "reloaded:app", "--app-dir", str(tmp_path), "-g", unique_name("workers"), "--reload")
    with Running(kafka.bootstrap, *work) as running:
        write(kafka.bootstrap, topic, [(b"k", 1)])
        wait_until(lambda: handled("one 1"), "the first version handles")
        source.write_text("this is no Python\n", encoding="utf-8")
        wait_until(lambda: "the workers go on with the source as it was" in running.said(), "the fault is told")
        write(kafka.bootstrap, topic, [(b"k", 2)])
        wait_until(lambda: handled("one 2"), "the first version goes on")
        change("two")
        wait_until(lambda: "the workers are replaced" in running.said(), "the change is told")
        write(kafka.bootstrap, topic, [(b"k", 3)])
        wait_until(lambda: handled("two 3"), "the second version handles")
        running.signal(signal.SIGTERM)
        running.wait().require(0)
    lines = log.read_text(encoding="utf-8").splitlines()
    print(f"records=3 lost=0 duplicated={len(lines) - 3} versions={lines}")
    assert lines == ["one 1", "one 2", "two 3"]


HANGING = """
import ctypes, os
with open({log!r}, "a") as log:
    log.write(f"hangs {{os.getpid()}}\\n")
ctypes.PyDLL(None).sleep(600)  # no other thread of its process runs meanwhile
"""

SLOW = """
import asyncio
from fanout import App
app = App("slow")
@app.handler({topic!r}, dlq=None)
async def handle(value: bytes) -> None:
    with open({log!r}, "a") as log:
        print("begin", value.decode(), file=log, flush=True)
        await asyncio.sleep(0 if value == b"1" else 2)
        print("end", value.decode(), file=log)
"""


def test_a_stop_while_a_change_hangs_in_its_import_waits_for_what_is_handled_and_not_for_the_import(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    topic, log, source, group = topics("orders"), tmp_path / "log", tmp_path / "slow.py", unique_name("workers")
    log.touch()

    def logged() -> list[str]:
        return log.read_text(encoding="utf-8").splitlines()

    source.write_text(SLOW.format(topic=topic, log=str(log)), encoding="utf-8")
    with Running(kafka.bootstrap, "work", "slow:app", "--app-dir", str(tmp_path), "-g", group, "--reload") as running:
        write(kafka.bootstrap, topic, [(b"k", 1)])
        wait_until(lambda: logged() == ["begin 1", "end 1"], "the workers are there")
        source.write_text(HANGING.format(log=str(log)), encoding="utf-8")
        wait_until(lambda: "hangs" in logged()[-1], "the import hangs")
        write(kafka.bootstrap, topic, [(b"k", 2)])
        wait_until(lambda: logged()[-1] == "begin 2", "the workers go on meanwhile")
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        running.wait(40).require(0)
        took_s = time.monotonic() - began
    *first, hangs, begun, ended = logged()
    left = ends(kafka.bootstrap, topic)[0] - committed(kafka.bootstrap, group, topic)[0]
    print(f"records=2 lost={left} duplicated=0 stopped_s={took_s:.1f}")
    assert (first, begun, ended, left) == (["begin 1", "end 1"], "begin 2", "end 2", 0)
    assert not is_alive(int(hangs.removeprefix("hangs ")))
