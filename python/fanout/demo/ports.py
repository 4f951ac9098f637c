"""
Ports of 127.0.0.1 for servers that are started a moment later.

A port that is free when it is chosen may be taken when it is listened on, and while a killed server is started again.
So ports are handed out in blocks: a process claims one by holding the UDP port of the block's first number, which
nobody else is given then and which goes with the process, and hands out each of its ports once.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

__all__ = ["PORTS", "free_port"]

PORTS = range(20_000, 32_000)
"""Below those the kernel takes for the near ends of connections: a client that tries again and again to reach a killed
broker would sooner or later be given the broker's port for its own end and talk to itself."""
BLOCK = 50


def free_port() -> int:
    """A loopback port that nothing listens on, and that no call gave or will give, here or in another process."""
    with _lock:
        for port in _ports:
            if _is_free(port):
                return port
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _claimed() -> Iterator[int]:
    blocks = list(PORTS[::BLOCK])
    random.shuffle(blocks)
    for first in blocks:
        if _claim(first):
            yield from range(first, first + BLOCK)


def _claim(first: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            return False
        claim.detach()  # held until the process ends
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_lock = threading.Lock()
_ports = _claimed()
