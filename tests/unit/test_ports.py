"""Ports of throw-away servers: chosen before anybody listens on them, and kept while their server is down."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

from fanout.demo.ports import PORTS, free_port

MANY = 400
CHOOSE = f"""
import random
from fanout.demo.ports import free_port
random.seed(34)
print(*(free_port() for _ in range({MANY})), flush=True)
input()
"""


def test_a_port_is_not_given_twice_though_nobody_listens_on_it_yet() -> None:
    given = [free_port() for _ in range(MANY)]
    assert len(set(given)) == len(given)
    assert set(given) <= set(PORTS)


def test_no_port_is_given_to_two_processes_that_draw_alike() -> None:
    with ExitStack() as stack:
        both = [stack.enter_context(choosing()) for _ in range(2)]
        here, there = ([int(port) for port in told_by(process).split()] for process in both)
        for process in both:
            process.communicate("\n")
    print(f"ports: here={len(here)} there={len(there)} in_common={len(set(here) & set(there))}")
    assert (len(here), len(there)) == (MANY, MANY)
    assert set(here).isdisjoint(there)


def choosing() -> subprocess.Popen[str]:
    """A process that tells its ports, and lives until it is told something."""
    return subprocess.Popen([sys.executable, "-c", CHOOSE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_port_that_is_taken_is_passed_over() -> None:
    given = free_port()
    following = PORTS[(given - PORTS.start + 1) % len(PORTS)]
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: that is as good
            taken.bind(("127.0.0.1", following))
        assert free_port() != following
