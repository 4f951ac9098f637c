"""What is said of a store before work begins, by real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.dedup.checkup import check_store
from fanout.errors import ConfigError, RefusedError
from fanout.work.check import check_work
from redis_server import RedisServer

Start = Callable[..., RedisServer]

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as ended:

        def started(**options: str) -> RedisServer:
            server = RedisServer(**options)
            ended.callback(server.remove)
            server.start()
            return server

        yield started


def test_a_server_that_forgets_is_told_of_and_one_that_does_not_is_not(start: Start) -> None:
    forgets = start(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    remarks = check_store(DedupSettings(url=forgets.url))
    assert [remark.partition(":")[0] for remark in remarks] == [
        "maxmemory-policy is allkeys-lru",
        "appendonly is off",
    ]
    assert check_store(DedupSettings(url=start(appendonly="yes").url)) == []


def test_a_replica_is_refused(start: Start) -> None:
    server = start()
    server.tell("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(RefusedError, match="replica"):
        check_store(DedupSettings(url=server.url))


def test_a_store_that_is_down_is_refused_unless_work_goes_on_without_it() -> None:
    url = "redis://127.0.0.1:1/0"
    with pytest.raises(RefusedError, match="on_store_down"):
        check_store(DedupSettings(url=url))
    assert "until it answers" in check_store(DedupSettings(url=url, on_store_down="process"))[0]


def test_a_file_that_cannot_be_opened_is_refused_and_another_is_fine(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="cannot be opened"):
        check_store(DedupSettings(url=f"sqlite:///{tmp_path / 'none' / 'claims.db'}"))
    assert check_store(DedupSettings(url=f"sqlite:///{tmp_path / 'claims.db'}")) == []


def test_memory_that_workers_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout.work.check.ask_about_app", lambda *_: {"name": "a", "handlers": []})
    settings = WorkSettings(
        clients=Clients(common=Properties({"bootstrap.servers": "b:1"})),
        app="m:a",
        workers=2,
        dedup=DedupSettings(url="memory://"),
    )
    with pytest.raises(ConfigError, match="a memory of its own"):
        check_work(settings, Twin())


class Twin:
    """A cluster that is not asked."""

    def partitions(self, topic: str) -> int:
        raise AssertionError(topic)


def test_a_handler_that_names_a_key_where_nothing_is_remembered_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler = {"dead_letters": None, "retry_topic": None, "order_by": "key", "ack": "on_success"}
    handlers = [{**handler, "topic": "orders", "names_key": True}, {**handler, "topic": "clicks", "names_key": False}]
    monkeypatch.setattr("fanout.work.check.ask_about_app", lambda *_: {"name": "a", "handlers": handlers})
    monkeypatch.setattr(Twin, "partitions", lambda *_: 1)
    clients = Clients(common=Properties({"bootstrap.servers": "b:1"}))
    check_work(WorkSettings(clients=clients, app="m:a"), Twin())
    assert [record.getMessage() for record in caplog.records] == [
        "the handler of orders has a key=, and no store is named: repeats run; see [dedup] url"
    ]
