"""Real worker processes: how they end, and what they say; no broker is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.working import is_alive, wait_until
from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.errors import ConfigError
from fanout.work import process as process_module
from fanout.work.process import WorkerProcess
from fanout.work.report import read_report

CLIENTS = Clients(common=Properties({"bootstrap.servers": "b:9092"}))


def test_a_process_that_is_told_to_stop_does_not_finish_its_import_first(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    process = WorkerProcess(WorkSettings(clients=CLIENTS, app="slow:app", app_dir=str(tmp_path)))
    process.stop()
    assert process.wait(60) == 0


def test_the_library_runs_no_worker_of_a_parent_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from fanout import App\napp = App('shop')\n@app.handler('orders', dlq=None)\nasync def handle(order): ...\n"
    )
    program = (
        "import os, sys\n"
        "from fanout.config.work import WorkSettings\n"
        "from fanout.work.process import WorkerProcess\n"
        "process = WorkerProcess(WorkSettings.from_json(sys.stdin.buffer.read()))\n"
        "process.ready.wait(60)\n"
        "print(process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    made = WorkSettings(
        clients=Clients(common=Properties({"bootstrap.servers": "127.0.0.1:9"})),
        app="shop:app",
        app_dir=str(tmp_path),
        stop_s=0.2,
    )
    parent = subprocess.run([sys.executable, "-c", program], input=made.to_json(), stdout=subprocess.PIPE, check=False)
    pid = int(parent.stdout)
    wait_until(lambda: not is_alive(pid), f"the end of worker {pid}, whose supervisor is gone")
    assert parent.returncode == -9
    assert os.getpid() != pid


APP = """
import logging
from fanout import App
app = App("shop")
logging.getLogger("shop").warning("said while it was imported")
print("printed by the app")
@app.handler("orders", dlq=None)
async def handle(order): ...
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A real process that is ready; no broker is there."""
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    clients = Clients(common=Properties({"bootstrap.servers": "127.0.0.1:9"}))
    process = WorkerProcess(WorkSettings(clients=clients, app="shop:app", app_dir=str(tmp_path), stop_s=0.2))
    assert process.ready.wait(60)
    yield process
    process.kill()
    process.wait(5)


def test_a_worker_ends_cleanly_at_sigterm(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0


def test_an_order_beside_a_sigterm_is_not_taken_for_impatience(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGTERM)
    worker.stop()
    assert worker.wait(60) == 0


@pytest.mark.usefixtures("worker")
def test_what_a_worker_logs_is_told_by_its_supervisor(caplog: pytest.LogCaptureFixture) -> None:
    told = [record for record in caplog.get_records("setup") if record.name == "shop"]
    assert [record.levelname for record in told] == ["WARNING"]
    assert told[0].getMessage().endswith(": said while it was imported")


def test_last_words_are_heard_however_late_the_reader_has_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text("app = 5\n", encoding="utf-8")

    def read_late(line: bytes) -> dict[str, Any]:
        time.sleep(1)
        return read_report(line)

    monkeypatch.setattr(process_module, "read_report", read_late)
    monkeypatch.setattr(process_module, "READ_S", 0.01)
    process = WorkerProcess(WorkSettings(clients=CLIENTS, app="shop:app", app_dir=str(tmp_path)))
    assert process.wait(60) == ConfigError.exit_code
    assert isinstance(process.error, ConfigError)


def test_what_a_handler_forked_holds_up_nobody_who_waits_for_its_worker(tmp_path: Path) -> None:
    """The fork holds the pipe of reports open for longer than anybody would wait."""
    (tmp_path / "forks.py").write_text(
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\nos._exit(3)\n"
    )
    process = WorkerProcess(WorkSettings(clients=CLIENTS, app="forks:app", app_dir=str(tmp_path)))
    began = time.monotonic()
    assert process.wait(45) == 3
    assert time.monotonic() - began < 45
