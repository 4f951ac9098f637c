"""Ports of throw-away servers: chosen before anybody listens on them, and kept while their server is down."""

from __future__ import annotations

import socket
from contextlib import suppress

from fanout.demo.node import PORTS, free_port


def test_a_port_is_not_given_twice_though_nobody_listens_on_it_yet() -> None:
    given = [free_port() for _ in range(1_000)]
    assert len(set(given)) == len(given)
    assert set(given) <= set(PORTS)


def test_a_port_that_is_taken_is_passed_over() -> None:
    given = free_port()
    following = PORTS[(given - PORTS.start + 1) % len(PORTS)]
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: that is as good
            taken.bind(("127.0.0.1", following))
        assert free_port() != following
