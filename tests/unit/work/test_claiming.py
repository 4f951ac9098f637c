"""A store that cannot be opened is one that is down: what is done then is what was wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fanout import App
from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.dedup.checkup import check_store
from fanout.dedup.opening import open_store
from fanout.work.claiming import claims_parts

from .test_claims import figures, nothing, until
from .test_runtime import Bench
from .twins import records_of


class Twin:
    """A cluster that knows every topic."""

    def __init__(self, *_: Any) -> None:
        """Dials nobody."""

    def topic_id(self, topic: str) -> str:
        return f"id-of-{topic}"


async def test_work_goes_on_without_a_file_that_cannot_be_opened_and_with_it_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout.work.claiming.Cluster", Twin)
    folder = tmp_path / "mounted later"
    dedup = DedupSettings(url=f"sqlite:///{folder / 'claims.db'}", on_store_down="process", namespace="n")
    settings = WorkSettings(
        clients=Clients(common=Properties({"bootstrap.servers": "b:1"})), app="m:a", workers=1, dedup=dedup
    )
    app = App("workers")
    app.handler("orders")(nothing)
    remarks = check_store(dedup)
    assert "cannot be opened" in remarks[0]
    assert "until it answers" in remarks[0]
    bench = Bench(nothing, claims=claims_parts(settings, app.handlers["orders"], dedup))
    bench.feed(records_of(0, range(3)))
    await bench.settled(3)
    assert figures(bench)["unclaimed"] == 3
    folder.mkdir()
    await until(lambda: figures(bench)["ok"] == 3)
    store = open_store(dedup.url, dedup.window_s)
    assert len(list(store.keys(b"n/orders/"))) == 3
    store.close()
    await bench.runtime.leave()
    bench.runtime.stop()
