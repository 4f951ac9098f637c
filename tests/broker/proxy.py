"""A TCP proxy that can stop passing bytes while every connection stays open."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from fanout.demo.node import free_port

if TYPE_CHECKING:
    from types import TracebackType


class StallingProxy:
    """Listens on `port` and passes bytes to and from `target`; `stall` holds them back until `flow`."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.passed = 0
        """Bytes carried so far, both ways."""
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flow()
        for connection in (self._listener, *self._open):
            with contextlib.suppress(OSError):  # its peer has closed it already
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    def stall(self) -> None:
        """Lets nothing more through, in either direction."""
        self._flowing.clear()

    def flow(self) -> None:
        """Passes on what was held back, and all that follows."""
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed: the end of the proxy
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # nobody listens there yet: the peer shall see the same
                near.close()
                continue
            self._open += [near, far]
            self._run(self._pump, near, far)
            self._run(self._pump, far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either side is gone: the other shall see it
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
                self.passed += len(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
