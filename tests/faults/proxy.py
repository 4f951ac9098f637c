"""A TCP proxy that reads Kafka's frames, so that one answer can be lost and the next one not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from .frames import Frame, read_frame
from .rules import Cut, Delay, Drop, Late, Rules, Slow, Twice

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .frames import Way

__all__ = ["Proxy"]

BOTH: tuple[Way, Way] = ("request", "response")
LATE_ANSWER_S = 60.0


class Proxy:
    """Listens on `port` and passes frames to and from `target`, those apart that meet a fault of `rules`."""

    def __init__(self, target: int, rules: Rules | None = None, late: LateRequests | None = None) -> None:
        self.rules = rules or Rules()
        self.late = late or LateRequests()
        self.passed = 0
        """Bytes carried so far, both ways."""
        self.target = target
        self._flowing = {way: threading.Event() for way in BOTH}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[Link] = []
        self._threads: list[threading.Thread] = []
        self.flow()

    def __enter__(self) -> Self:
        self.run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flow()
        _close(self._listener)
        self._threads[0].join()  # who comes until then is cut off too
        self.cut()
        self.late.close()
        for thread in self._threads:
            thread.join()

    def stall(self, *ways: Way) -> None:
        """Lets nothing more through in these directions, or either; connections stay open and are still taken."""
        for way in ways or BOTH:
            self._flowing[way].clear()

    def flow(self) -> None:
        """Passes on what was held back, and all that follows."""
        for way in BOTH:
            self._flowing[way].set()

    def cut(self) -> None:
        """Closes every connection there is."""
        for link in list(self._links):
            link.close()

    def pass_on(self, frame: Frame, sink: socket.socket) -> None:
        """Sends a frame when its direction flows."""
        self._flowing[frame.way].wait()
        sink.sendall(frame.data)
        self.passed += len(frame.data)

    def run(self, work: Callable[[], None]) -> None:
        """Does `work` on a thread that the end of the proxy waits for."""
        thread = threading.Thread(target=work, name=f"proxy-{self.port}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed: the end of the proxy
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # nobody listens there: the client shall see the same
                near.close()
                continue
            link = Link(self, near, far)
            self._links.append(link)
            self.run(link.pump_requests)
            self.run(link.pump_responses)


class Link:
    """One connection of a client, and the one to the broker behind it."""

    def __init__(self, proxy: Proxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._asked: deque[tuple[Frame, bool]] = deque()
        """Requests the broker has yet to answer, in order, and whether the client shall see the answer."""

    def close(self) -> None:
        """Both ends see the connection go."""
        _close(self._near)
        _close(self._far)

    def pump_requests(self) -> None:
        """Until either end is gone."""
        with contextlib.suppress(OSError):  # either end is gone: the other shall see it
            while (data := read_frame(self._near)) is not None:
                frame = Frame.request(data)
                fault = self._proxy.rules.fault_for(frame)
                if isinstance(fault, Late):
                    self._proxy.late.hold(frame, fault.behind, self._proxy.target)
                    break
                if isinstance(fault, Drop):
                    continue
                if isinstance(fault, Cut):
                    self._far.sendall(frame.data[: fault.at])
                    break
                if isinstance(fault, Slow):
                    self._wait_for_hang_up()
                if isinstance(fault, Delay | Slow):
                    time.sleep(fault.seconds)
                self._ask(frame)
                if isinstance(fault, Twice):
                    self._ask_again(frame, fault.behind)
        self.close()

    def _wait_for_hang_up(self) -> None:
        with contextlib.suppress(ConnectionError):  # a way to hang up
            while self._near.recv(1, socket.MSG_PEEK):
                time.sleep(0.01)

    def _ask(self, frame: Frame, *, shown: bool = True) -> None:
        self._asked.append((frame, shown))
        self._proxy.pass_on(frame, self._far)

    def _ask_again(self, frame: Frame, behind: int | None) -> None:
        if behind is None:
            self._ask(frame, shown=False)
        else:
            self._proxy.late.hold(frame, behind, self._proxy.target)

    def pump_responses(self) -> None:
        """Until either end is gone."""
        with contextlib.suppress(OSError):
            while (data := read_frame(self._far)) is not None:
                request, shown = self._asked.popleft()
                frame = request.answered_by(data)
                self._proxy.late.deliver(frame)
                fault = self._proxy.rules.fault_for(frame) if shown else Drop()
                if isinstance(fault, Drop):
                    continue
                if isinstance(fault, Cut):
                    self._near.sendall(frame.data[: fault.at])
                    break
                if isinstance(fault, Delay):
                    time.sleep(fault.seconds)
                self._proxy.pass_on(frame, self._near)
        self.close()


class LateRequests:
    """Requests whose client has gone on without them, each waiting for its moment. Thread-safe."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        """What the broker answered to each: the error code behind correlation id, tag and throttle time."""
        self._held: list[tuple[Frame, int, socket.socket]] = []
        self._lock = threading.Lock()

    def hold(self, frame: Frame, behind: int, target: int) -> None:
        """Keeps a request back, on a connection of its own to the broker it was meant for."""
        far = socket.create_connection(("127.0.0.1", target), timeout=LATE_ANSWER_S)
        with self._lock:
            self._held.append((frame, behind, far))

    def deliver(self, answer: Frame) -> None:
        """Sends what waited for an answer like this one, and returns when the broker has dealt with it."""
        with self._lock:
            due = [one for one in self._held if one[1] == answer.api]
            self._held = [one for one in self._held if one[1] != answer.api]
        for frame, _, far in due:
            with far:
                far.sendall(frame.data)
                told = read_frame(far)
            if told is not None:
                self.codes.append(int.from_bytes(told[13:15], "big", signed=True))

    def close(self) -> None:
        """Forgets what was never sent."""
        with self._lock:
            for _, _, far in self._held:
                far.close()
            self._held = []


def _close(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its peer has closed it already
        stream.shutdown(socket.SHUT_RDWR)
    stream.close()
