"""
What a worker process runs: `python -m fanout.work.child LOG_LEVEL (BOARD | --describe)`; BOARD is an open file.

    standard input    a line of settings, a line with the brief of this process, then more briefs, and an empty line:
                      the order to stop. The end of the input means that the supervisor is gone;
                      with --describe only the settings, and the end once no answer is wanted any more
    standard output   reports, see `report`

Whatever becomes of the supervisor, its end of the input closes with it, so no worker
outlives it. A stop gives running handlers their time, then the process ends, even if
one of them blocks the event loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from fanout.config.work import WorkSettings
from fanout.errors import FanoutError, StartError

from .claiming import with_namespace
from .lifespan import opened
from .loading import chosen_handlers, load_app, place_in
from .process import BLOCKED, FORCED, Brief
from .properties import with_instance
from .pulse import Pulse, Vitals
from .report import ReportedLogs, Reporter, take_stdout
from .retry import words
from .worker import Worker, group_of

if TYPE_CHECKING:
    from fanout.app import App, Handler

__all__ = ["end", "loop_factory", "main"]

LEAVE_S = 2.0
"""What a commit and leaving the group may take on top of the running handlers."""

DESCRIBE = "--describe"

USUAL_COLLECTIONS = gc.get_threshold()
RARER_COLLECTIONS = (20_000, 20, 50)


def main() -> NoReturn:
    """Runs the worker and ends the process, threads of handlers that do not return and all."""
    reporter = take_stdout()
    try:
        logging.basicConfig(level=int(sys.argv[1]), handlers=[ReportedLogs(reporter)])
        told = sys.stdin.buffer.readline()
        if not told:
            end(0)  # whoever started it ended before it could say what for
        settings = WorkSettings.from_json(told)
        brief = None if DESCRIBE in sys.argv else Brief.from_json(sys.stdin.buffer.readline())
        orders = Orders(settings, reporter)
        app = load_app(settings.app, settings.app_dir, settings.named)
        _collect_less_often()
        if brief is None:
            reporter.send("app", name=app.name, handlers=[_described(handler) for handler in app.handlers.values()])
        else:
            with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as runner:
                runner.run(_work((settings, brief), app, orders, reporter))
        code = 0
    except FanoutError as error:
        if isinstance(error, StartError):
            logging.getLogger("fanout.work").exception("the worker cannot begin")
        reporter.failed(error)
        code = error.exit_code
    except Exception as error:
        # Whatever it is, the supervisor starts another process; this one must end, and say why.
        logging.getLogger("fanout.work").exception("the worker broke")
        reporter.send("broke", words=words(error))
        code = 1
    end(code)


async def _work(told: tuple[WorkSettings, Brief], app: App, orders: Orders, reporter: Reporter) -> None:
    settings, brief = told
    run = settings.run
    handlers = chosen_handlers(app, (run.source,) if run else tuple(settings.topics))
    group = group_of(settings, app.name)
    settings = with_instance(with_namespace(settings, app.name), brief.seat)
    worker = Worker(settings, handlers, group, int(sys.argv[2]))
    worker.suspect(brief.suspects)
    worker.tell_members(lambda member: reporter.send("member", id=member))
    _stop_when_told(worker, orders, settings.stop_s + LEAVE_S)
    vitals = Vitals(
        figures=worker.stats,
        report=lambda figures: reporter.send("stats", handlers=figures),
        culprit=worker.culprit,
        end=lambda: end(BLOCKED),
    )
    async with opened(app):
        reporter.send("ready", rows=worker.rows(), group=group)
        beating = asyncio.create_task(Pulse(vitals, settings.most_blocked_s).beat())
        try:
            await worker.run()
        finally:
            beating.cancel()
            reporter.send("stats", handlers=worker.stats())


class Orders:
    """What the supervisor says, heard from the first moment: no import is waited for when nobody wants it any more."""

    def __init__(self, settings: WorkSettings, reporter: Reporter) -> None:
        self._reporter = reporter
        self._app_dir = settings.app_dir
        self._importing = threading.get_ident()
        self._lines = queue.SimpleQueue[bytes]()
        self.has_begun = threading.Event()
        """Until it is set, the order to stop, or the end of the input, ends the process at once."""
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        """Waits for each line, until the input ends."""
        return iter(self._lines.get, b"")

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            if not (line.strip() or self.has_begun.is_set()):
                end(0)
            self._lines.put(line)
        if not self.has_begun.is_set():
            self._reporter.send("stands", place=place_in(self._app_dir, self._importing))
            end(0)
        self._lines.put(b"")


def _collect_less_often() -> None:
    """Spares the garbage collector what never becomes garbage; an application that has set its thresholds keeps them.

    Thousands of records in flight are young and alive: looked through every 700 allocations they cost a handler that
    waits for 5 ms a fifth of all its time.
    """
    if gc.get_threshold() == USUAL_COLLECTIONS:
        gc.set_threshold(*RARER_COLLECTIONS)
    gc.collect()
    gc.freeze()


def _stop_when_told(worker: Worker, orders: Orders, within_s: float) -> None:
    """Stops at the order, at SIGTERM or when the supervisor is gone; ends at once when one of the last two insists."""
    loop = asyncio.get_running_loop()
    asked, signalled = threading.Event(), threading.Event()

    def stop() -> None:
        if asked.is_set():
            return
        asked.set()
        loop.call_soon_threadsafe(worker.stop)
        timer = threading.Timer(within_s, end, [FORCED])
        timer.daemon = True
        timer.start()

    def obey() -> None:
        for line in orders:
            if line.strip():
                loop.call_soon_threadsafe(worker.suspect, Brief.from_json(line).suspects)
            else:
                stop()
        if asked.is_set():
            end(FORCED)
        stop()

    def on_sigterm(_number: int, _frame: object) -> None:
        # An order beside it, before or after, is no impatience: service managers send SIGTERM to every process at once.
        if signalled.is_set():
            end(FORCED)
        signalled.set()
        stop()

    signal.signal(signal.SIGTERM, on_sigterm)
    orders.has_begun.set()
    threading.Thread(target=obey, name="orders", daemon=True).start()


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes the loop that was chosen; None is the usual one."""
    if name == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415  does not exist on every platform
    except ImportError:
        if name == "uvloop":
            raise
        return None
    return uvloop.new_event_loop


def _described(handler: Handler) -> dict[str, object]:
    return {
        "topic": handler.topic,
        "dead_letters": handler.dead_letters,
        "retry_topic": handler.retry_topic,
        "order_by": handler.order_by,
        "ack": handler.ack,
        "names_key": handler.dedup_key != "origin",
    }


def end(code: int) -> NoReturn:
    """Ends this process at once."""
    # Not sys.exit: it waits for threads, and a handler in one of them may never return.
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    main()
