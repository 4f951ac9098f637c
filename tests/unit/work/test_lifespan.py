"""What an application opens around its work: in order, closed whatever happens, and named when it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fanout import App
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.errors import StartError, WorkError
from fanout.work import lifespan
from fanout.work import supervisor as supervisor_module
from fanout.work.lifespan import opened
from fanout.work.supervisor import Supervisor


class Shop:
    """An app with two things to open; `broken` names the step that fails."""

    def __init__(self, broken: str = "") -> None:
        self.app = App("shop")
        self.said: list[str] = []
        self._broken = broken
        self.app.lifespan(self.database)
        self.app.lifespan(asynccontextmanager(self.gateway))

    async def database(self, app: App) -> AsyncIterator[None]:
        self._say("database opens")
        app.state.database = "a pool"
        yield
        self._say("database closes")

    async def gateway(self, app: App) -> AsyncIterator[None]:
        self._say(f"gateway opens with {app.state.database}")
        yield
        self._say("gateway closes")

    def _say(self, step: str) -> None:
        self.said.append(step)
        if self._broken and step.startswith(self._broken):
            raise ConnectionError(f"while {step}")


async def test_lifespans_open_in_order_and_close_the_other_way_round() -> None:
    shop = Shop()
    async with opened(shop.app):
        shop.said.append("work")
    assert shop.said == [
        "database opens",
        "gateway opens with a pool",
        "work",
        "gateway closes",
        "database closes",
    ]


async def test_one_that_cannot_be_opened_is_named_and_those_before_it_are_closed() -> None:
    shop = Shop(broken="gateway opens")
    with pytest.raises(StartError, match=r"gateway could not be opened: ConnectionError: while gateway") as refused:
        async with opened(shop.app):
            raise AssertionError("must not run")
    assert isinstance(refused.value.__cause__, ConnectionError)
    assert refused.value.retriable
    assert shop.said[-1] == "database closes"


async def test_what_stopped_the_work_is_not_hidden_by_what_fails_in_closing(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(broken="gateway closes")
    with caplog.at_level(logging.ERROR), pytest.raises(WorkError, match="out of disk"):
        async with opened(shop.app):
            raise WorkError("out of disk", "make room")
    assert "ConnectionError: while gateway closes" in caplog.text
    assert shop.said[-1] == "database closes"


async def test_what_fails_in_closing_is_raised_where_nothing_else_was() -> None:
    shop = Shop(broken="database closes")
    with pytest.raises(ConnectionError, match="while database closes"):
        async with opened(shop.app):
            pass


async def test_closing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "CLOSE_S", 0.02)
    app = App("shop")

    @app.lifespan
    async def hangs(_app: App) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError, match=r"took longer than 0.02 s"):
        async with opened(app):
            pass


def test_workers_whose_app_cannot_be_opened_are_started_again_and_then_given_up_by_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(supervisor_module, "STARTS_WITHOUT_READY", 2)
    (tmp_path / "shop.py").write_text(NOT_OPENED, encoding="utf-8")
    clients = Clients(common=Properties({"bootstrap.servers": "127.0.0.1:9"}))
    supervisor = Supervisor(WorkSettings(clients=clients, app="shop:app", app_dir=str(tmp_path)))
    supervisor.start()
    try:
        with pytest.raises(WorkError, match=r"2 worker .* \(lifespan database could not be opened: .*: refused\)"):
            watch(supervisor)
    finally:
        supervisor.abort()
    assert supervisor.stats().restarts == {"StartError": 1}


NOT_OPENED = """
from fanout import App
app = App("shop")
@app.lifespan
async def database(app):
    raise ConnectionError("refused")
    yield
@app.handler("orders", dlq=None)
async def handle(order): ...
"""


def watch(supervisor: Supervisor) -> None:
    """Until something is raised."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        supervisor.poll()
        time.sleep(0.02)


async def test_what_is_no_lifespan_is_refused() -> None:
    app = App("shop")
    app.lifespan(lambda _app: None)  # type: ignore[type-var]
    with pytest.raises(StartError, match=r"is an `async def` of the app that yields once"):
        async with opened(app):
            pass
