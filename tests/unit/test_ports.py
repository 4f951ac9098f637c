"""Ports of throw-away servers: chosen before anybody listens on them, and kept while their server is down."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress

from fanout.demo.ports import PORTS, free_port

MANY = 400
CHOOSE = f"from fanout.demo.ports import free_port\nprint(*(free_port() for _ in range({MANY})), flush=True)\ninput()\n"


def test_a_port_is_not_given_twice_though_nobody_listens_on_it_yet() -> None:
    given = [free_port() for _ in range(MANY)]
    assert len(set(given)) == len(given)
    assert set(given) <= set(PORTS)


def test_no_port_is_given_to_two_processes() -> None:
    command = [sys.executable, "-c", CHOOSE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = {free_port() for _ in range(MANY)}
        other.communicate("\n")
    print(f"ports: here={len(ours)} there={len(theirs)} in_common={len(ours & theirs)}")
    assert (len(ours), len(theirs)) == (MANY, MANY)
    assert ours & theirs == set()


def test_a_port_that_is_taken_is_passed_over() -> None:
    given = free_port()
    following = PORTS[(given - PORTS.start + 1) % len(PORTS)]
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: that is as good
            taken.bind(("127.0.0.1", following))
        assert free_port() != following
