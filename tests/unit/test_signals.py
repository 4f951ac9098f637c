"""SIGTERM and SIGINT: the first stops cleanly, the second ends the process at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

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
    out, _ = child.communicate(timeout=20)
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
    _, err = child.communicate(timeout=20)
    assert child.returncode == code
    assert "ending at once" in err
    assert time.monotonic() - began < 5
