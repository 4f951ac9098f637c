"""Importing an application in a process of its own, and what is said when that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from broker.working import is_alive, wait_until
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import RunWork, WorkSettings
from fanout.errors import ConfigError, RefusedError
from fanout.work import ask
from fanout.work.ask import ask_about_app
from fanout.work.check import check_work

SHOP = """
    from fanout import App
    print("a line on standard output is no report")
    app = App("shop")
    other = 5
    empty = App("empty")

    @app.handler("orders")
    async def charge(order): ...

    @app.handler("clicks", order_by="partition", dlq=None)
    def count(click): ...

    def make():
        return app

    def fail():
        raise LookupError("no settings")
"""


def settings_for(folder: Path, app: str = "shop:app", **more: object) -> WorkSettings:
    clients = Clients(common=Properties({"bootstrap.servers": "127.0.0.1:9"}))
    return WorkSettings(clients=clients, app=app, app_dir=str(folder), **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(dedent(SHOP), encoding="utf-8")
    (tmp_path / "broken.py").write_text("import shop\n\nvalue = {}['no such key']\n", encoding="utf-8")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "needs.py").write_text("import no_such_module\n", encoding="utf-8")
    return tmp_path


class Cluster:
    """Knows which topics exist."""

    def __init__(self, *topics: str) -> None:
        self.topics = topics

    def partitions(self, topic: str) -> int:
        if topic not in self.topics:
            raise RefusedError(f"topic {topic} does not exist", "create it")
        return 1


def test_an_app_is_described_whatever_it_prints(folder: Path) -> None:
    assert ask_about_app(settings_for(folder)) == {
        "kind": "app",
        "name": "shop",
        "handlers": [
            {
                "topic": "orders",
                "dead_letters": "dlq.orders",
                "retry_topic": None,
                "order_by": "key",
                "ack": "on_success",
                "names_key": False,
            },
            {
                "topic": "clicks",
                "dead_letters": None,
                "retry_topic": None,
                "order_by": "partition",
                "ack": "on_success",
                "names_key": False,
            },
        ],
    }


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("shop", "an application is named `package.module:variable`"),
        ("shop:app.x", "an application is named"),
        ("nowhere:app", "no module `nowhere` in .*--app-dir"),
        ("shop:nothing", "has no `nothing`"),
        ("shop:other", "`other` is a int, not a fanout.App"),
        ("shop:empty", "the app has no handler"),
        ("shop:make", "`make` is a function: with --factory it is called for the app"),
        ("broken:app", "does not import: KeyError: 'no such key' at .*broken.py:3"),
        ("leaves:app", "does not import: SystemExit: 3 at .*leaves.py:1"),
        ("needs:app", "does not import: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_path_that_does_not_lead_to_an_app_is_told_apart(folder: Path, app: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        ask_about_app(settings_for(folder, app))
    assert refused.value.setting == app


def test_an_import_that_ends_its_process_is_named_with_how_it_ended(folder: Path) -> None:
    (folder / "quits.py").write_text("import os\nif os.fork() == 0:\n    import time\n    time.sleep(3)\nos._exit(3)\n")
    with pytest.raises(ConfigError) as refused:
        ask_about_app(settings_for(folder, "quits:app"))
    assert str(refused.value).startswith(f"quits:app: importing it in {folder} ended the process (exit 3): `python -c")


def test_an_import_that_does_not_end_is_named_with_where_it_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hangs.py").write_text("import threading\n\nthreading.Event().wait()\n")
    for given_s in (2, 8, 32):  # a slow machine may not have come to the import by then
        monkeypatch.setattr(ask, "DESCRIBE_S", given_s)
        with pytest.raises(ConfigError) as refused:
            ask_about_app(settings_for(folder, "hangs:app"))
        said = f"hangs:app: importing it in {folder} took longer than {given_s} s, it stands at "
        if str(refused.value).startswith(f"{said}{folder / 'hangs.py'}:3: what"):
            break
    else:
        pytest.fail(str(refused.value))


def test_an_import_does_not_outlive_the_command_that_asked_for_it(folder: Path) -> None:
    pid = folder / "pid"
    (folder / "hangs.py").write_text(
        f"import os, time\nopen({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)\n"
    )
    program = (
        "import sys\nfrom fanout.config.work import WorkSettings\nfrom fanout.work.ask import ask_about_app\n"
        "ask_about_app(WorkSettings.from_json(sys.stdin.buffer.read()))\n"
    )
    asker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    assert asker.stdin is not None
    with asker.stdin as told:
        told.write(settings_for(folder, "hangs:app").to_json())
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the import")
    asker.kill()
    asker.wait()
    wait_until(lambda: not is_alive(int(pid.read_text())), "the end of the import")


def test_a_factory_is_called_for_the_app(folder: Path) -> None:
    assert ask_about_app(settings_for(folder, "shop:make", named="factory"))["name"] == "shop"


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("shop:fail", r"could not be made: LookupError: no settings at .*shop.py:\d+"),
        ("shop:other", "--factory calls what the path names, and a int cannot be called"),
        ("shop:dict", "has no `dict`"),
        ("shop:App", "could not be made: TypeError"),
    ],
)
def test_what_makes_no_app_is_told_apart(folder: Path, app: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask_about_app(settings_for(folder, app, named="factory"))


def test_a_handler_that_may_lose_records_is_named_at_the_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "risky.py").write_text(
        "from fanout import App\napp = App('risky')\n"
        "@app.handler('clicks', dlq=None, ack='on_receive')\nasync def count(click): ...\n",
        encoding="utf-8",
    )
    check_work(settings_for(folder, "risky:app"), Cluster("clicks"))
    assert "the handler of clicks settles records before it runs" in caplog.text


def test_a_check_names_group_topics_and_dead_letters(folder: Path) -> None:
    checked = check_work(settings_for(folder), Cluster("orders", "clicks", "dlq.orders"))
    assert (checked.group, checked.topics, checked.dead_letters) == ("shop", ("clicks", "orders"), ("dlq.orders",))
    chosen = check_work(settings_for(folder, topics=("clicks",), group="g"), Cluster("clicks"))
    assert (chosen.group, chosen.topics, chosen.dead_letters) == ("g", ("clicks",), ())


def test_a_missing_topic_refuses_the_start(folder: Path) -> None:
    with pytest.raises(RefusedError, match=r"the dead-letter topic dlq\.orders does not exist"):
        check_work(settings_for(folder), Cluster("orders", "clicks"))
    with pytest.raises(RefusedError, match="topic clicks does not exist"):
        check_work(settings_for(folder), Cluster("orders", "dlq.orders"))


def test_a_topic_without_a_handler_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="shop:app handles clicks, orders, not payments"):
        check_work(settings_for(folder, topics=("payments",)), Cluster("payments"))


def test_a_run_needs_the_handler_of_its_source_topic_and_the_order_of_keys(folder: Path) -> None:
    run = RunWork(run="r", source="orders", topic="temp", sources={0: 0})
    assert check_work(settings_for(folder, run=run, group="g"), Cluster("temp", "dlq.orders")).topics == ("temp",)
    other = RunWork(run="r", source="payments", topic="temp", sources={0: 0})
    with pytest.raises(ConfigError, match="handles clicks, orders, not payments"):
        check_work(settings_for(folder, run=other, group="g"), Cluster("temp"))
    partitions = RunWork(run="r", source="clicks", topic="temp", sources={0: 0})
    with pytest.raises(ConfigError, match='use order_by="key"'):
        check_work(settings_for(folder, run=partitions, group="g"), Cluster("temp"))
