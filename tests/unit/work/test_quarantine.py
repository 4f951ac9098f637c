"""Suspects run alone, in real processes; no broker is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fanout import App, Reject
from fanout._fanout import Intake
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.errors import ConfigError, WorkError
from fanout.work.carried import Carried, from_line, to_line, verdict_of, verdict_to_json
from fanout.work.dead_letter import Guard
from fanout.work.parking import Parking
from fanout.work.quarantine import Quarantine
from fanout.work.retry import Again, Dead, Passed, Verdict
from fanout.work.runtime import Parts
from fanout.work.worker import with_parking

from .records import message

APP = """
import os, signal, time
from fanout import App, Backoff, Message
app = App("shop")
@app.handler("orders", dlq="dead", retry=Backoff(base=7, max=7, attempts=99))
async def handle(value: bytes, msg: Message) -> None:
    print("printed by the handler")
    if value == b"kill":
        os.kill(os.getpid(), signal.SIGSEGV)
    if value == b"leave":
        os._exit(3)
    if value == b"block":
        time.sleep(600)
    if value == b"fail":
        raise ValueError(f"{msg.id} {msg.key!r} {msg.headers} {msg.timestamp} attempt {msg.attempt}")
def make():
    return app
"""


class Ward:
    """A quarantine whose usual attempts are noted."""

    def __init__(self, folder: Path, dead_letters: str | None = "dead", most_blocked_s: float = 60) -> None:
        (folder / "shop.py").write_text(APP, encoding="utf-8")
        app = App("shop")
        app.handler("orders", dlq=dead_letters)(self.handle)
        clients = Clients(common=Properties({"bootstrap.servers": "127.0.0.1:9"}))
        settings = WorkSettings(
            clients=clients, app="shop:make", named="factory", app_dir=str(folder), most_blocked_s=most_blocked_s
        )
        self.handler = app.handlers["orders"]
        self.usual: list[Any] = []
        self.quarantine = Quarantine(settings, app.handlers["orders"], self._run)

    async def handle(self, _value: bytes) -> None:
        """Never called: attempts stand in for it."""

    async def _run(self, raw: Any, _number: int) -> None:
        self.usual.append(raw.value())

    async def verdict(self, offset: int, value: bytes, *, deaths: int = 2) -> Verdict | None:
        self.quarantine.suspect({(0, offset): deaths})
        return await self.quarantine.attempt(message(offset, partition=0, key=b"k", value=value), 1)


Open = Callable[..., Ward]


@pytest.fixture
def open_ward(tmp_path: Path) -> Open:
    return lambda **options: Ward(tmp_path, **options)


async def test_who_kills_its_process_alone_is_dead_and_who_was_there_by_chance_is_done(open_ward: Open) -> None:
    ward = open_ward()
    ward.quarantine.suspect({(0, 1): 2, (0, 2): 2, (0, 3): 2, (0, 4): 2})
    values = [b"usual", b"innocent", b"kill", b"innocent", b"leave"]
    records = [message(offset, partition=0, key=b"k", value=value) for offset, value in enumerate(values)]
    usual, first, killer, second, leaver = await asyncio.gather(*(ward.quarantine.attempt(one, 1) for one in records))
    assert (usual, first, second) == (None, None, None)
    assert ward.usual == [b"usual"]
    assert isinstance(killer, Dead)
    assert isinstance(leaver, Dead)
    assert (killer.why, killer.attempts) == ("killed-worker", 3)
    assert killer.message == "its process died 3 times while it ran, the last time alone (SIGSEGV)"
    assert "(exit 3)" in leaver.message
    assert ward.quarantine._process is None, "nobody is suspected any more"


async def test_who_fails_alone_is_tried_again_alone_and_sees_its_whole_record(open_ward: Open) -> None:
    ward = open_ward()
    again = await ward.verdict(5, b"fail")
    assert isinstance(again, Again)
    assert again.delay_s <= 7
    assert "ValueError: orders/0/5 b'k'" in str(again.cause)
    assert "attempt 3" in str(again.cause)
    assert await ward.quarantine.attempt(message(5, partition=0, key=b"k", value=b"fail"), 4)
    assert ward.usual == []
    await ward.quarantine._end()


async def test_who_blocks_alone_is_dead(open_ward: Open) -> None:
    dead = await open_ward(most_blocked_s=2).verdict(5, b"block")
    assert isinstance(dead, Dead)
    assert "alone (exit 70)" in dead.message


async def test_without_a_place_for_dead_letters_the_work_stops_and_says_where(open_ward: Open) -> None:
    with pytest.raises(WorkError, match=r"orders/0/5: its process died 3 times .* it has no dead-letter topic"):
        await open_ward(dead_letters=None).verdict(5, b"kill")


async def test_a_process_that_cannot_begin_blames_no_record(open_ward: Open, tmp_path: Path) -> None:
    ward = open_ward()
    (tmp_path / "shop.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="does not import: SystemExit: 9"):
        await ward.verdict(5, b"innocent")


def test_a_record_crosses_whole() -> None:
    raw = message(41, partition=2, key=b"\xff\x00", value=None)
    carried, attempt = from_line(to_line(raw, 3))
    assert attempt == 3
    assert isinstance(carried, Carried)
    for ask in ("topic", "partition", "offset", "key", "value", "headers", "timestamp"):
        assert getattr(carried, ask)() == getattr(raw, ask)(), ask


def test_verdicts_cross_and_errors_become_their_words() -> None:
    assert verdict_of(verdict_to_json(None)) is None
    assert verdict_of(verdict_to_json(Passed("skipped"))) == Passed("skipped")
    dead = verdict_of(verdict_to_json(Dead("rejected", "no", Reject("no"))))
    assert isinstance(dead, Dead)
    assert (dead.why, dead.message, dead.attempts, str(dead.cause)) == ("rejected", "no", None, "Reject: no")


async def test_a_key_is_parked_behind_its_dead_letter_while_others_are_suspected_too(open_ward: Open) -> None:
    ward = open_ward()
    parking = Parking("orders")
    parking.begin(0, "")
    dead = message(1, key=b"k")
    parking.admit(dead)
    parking.buried(dead, Dead("failed", "ValueError: x", ValueError("x")))
    parts = Parts(
        handler=ward.handler,
        intake=Intake("orders", "key", limits=(16, 1 << 20)),
        attempt=ward.quarantine.attempt,
        dead_letters=None,
        guard=Guard(1, 1),
        concurrency=1,
        quarantine=ward.quarantine,
    )
    with_parking(parts, parking)
    ward.quarantine.suspect({(0, 99): 2})
    verdict = await ward.quarantine.attempt(message(2, key=b"k", value=b"behind"), 1)
    assert isinstance(verdict, Dead)
    assert verdict.why == "parked"
    assert ward.usual == []
