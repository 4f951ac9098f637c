"""SIGTERM and SIGINT: the first stops cleanly, the second ends the process at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.working import is_alive, wait_until
from commands import Running

CHILD = """
import sys, threading, time
from fanout.cli.signals import Stoppable

told = threading.Event()

def work():
    print("working", flush=True)
    told.wait()
    print("told", flush=True)
    time.sleep({linger})
    return "done"

running = Stoppable(work, told.set, lambda: None)
print(running.run(), flush=True)
sys.exit(running.exit_code)
"""


def start(linger: float) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(linger=linger)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "working\n"
    return child


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_first_signal_lets_the_work_end(number: signal.Signals, code: int) -> None:
    child = start(linger=0.2)
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert out == "told\ndone\n"
    assert child.returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_second_signal_does_not_wait(number: signal.Signals, code: int) -> None:
    child = start(linger=600)
    child.send_signal(number)
    assert child.stdout is not None
    assert child.stdout.readline() == "told\n"
    began = time.monotonic()
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert "ending at once" in err
    assert time.monotonic() - began < 60


CODES = [(signal.SIGTERM, 0), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_while_the_application_is_imported_ends_the_command_and_the_import(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "shop.py").write_text(
        f"import os, time\nopen({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)\n"
    )
    with Running("127.0.0.1:9", "work", "shop:app", "--app-dir", str(tmp_path)) as running:
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the import")
        running.signal(number)
        ended = running.wait(60).require(code)
    assert ended.err == f"fanout: {number.name}: nothing is under way, ending at once\n"
    wait_until(lambda: not is_alive(int(pid.read_text())), "the end of the import")


@contextmanager
def silent() -> Iterator[tuple[str, socket.socket]]:
    """An address at which connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield f"127.0.0.1:{server.getsockname()[1]}", server


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_while_no_broker_answers_does_not_wait_for_an_answer(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(
        "from fanout import App\napp = App('shop')\n@app.handler('orders')\nasync def handle(order): ...\n"
    )
    with silent() as (address, server), Running(address, "work", "shop:app", "--app-dir", str(tmp_path)) as running:
        connection, _ = server.accept()
        with connection:
            running.signal(number)
            running.wait(60).require(code)


def test_a_command_that_answers_a_question_does_not_end_well_without_an_answer() -> None:
    with silent() as (address, server), Running(address, "doctor") as running:
        connection, _ = server.accept()
        with connection:
            running.signal(signal.SIGTERM)
            running.wait(60).require(-signal.SIGTERM)


EARLY = """
import os, signal, time
import fanout.cli.verbs

def build():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)

fanout.cli.verbs.build = build
fanout.cli.main(["work"])
"""


def test_a_signal_before_it_is_known_what_is_to_be_done_ends_well() -> None:
    assert subprocess.run([sys.executable, "-c", EARLY], check=False, timeout=60).returncode == 0


BETWEEN = """
import os, signal, threading
from fanout.cli import signals

asked, begun = threading.Event(), threading.Event()
ask = signals._watch

def late(told):    # the thread that has no turn until the command is under way
    begun.wait()
    ask(told)

signals._watch = late

def work():
    begun.set()
    asked.wait()

with signals.at_once():
    os.kill(os.getpid(), signal.SIGTERM)
    signals.Stoppable(work, asked.set, lambda: None).run()
    print("begun in spite of the signal")
"""


def test_a_signal_just_before_the_command_is_under_way_is_not_lost() -> None:
    ended = subprocess.run([sys.executable, "-c", BETWEEN], check=False, timeout=60, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "fanout: SIGTERM: nothing is under way, ending at once\n"
