"""
What runs suspects: `python -m fanout.work.alone LOG_LEVEL`, one record at a time, in a process of its own.

    standard input    a line of settings, a line with the handler's topic, then a line for each record
    standard output   reports: "ready", "alive" while the loop runs, "verdict" for each record, "log", "failed"

A record that ends this process ends nothing else. The end of the input ends it, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

from fanout.config.work import WorkSettings
from fanout.errors import FanoutError

from .attempt import attempt_of
from .call import Means
from .carried import from_line, verdict_to_json
from .child import end, loop_factory
from .lifespan import opened
from .link import Link
from .loading import load_app
from .process import BLOCKED
from .pulse import Pulse, Vitals
from .report import ReportedLogs, Reporter, take_stdout

if TYPE_CHECKING:
    from fanout.app import App

__all__ = ["main"]

RECORD = 1


class Host:
    """Stands in for the runtime: there is one record, and nothing waits beside it."""

    def __init__(self) -> None:
        self.has_acknowledged = False

    def own_record(self) -> int:
        """The only one."""
        return RECORD

    def acknowledge(self, record: int) -> None:
        """Keeps it for the verdict."""
        self.has_acknowledged = record == RECORD

    def holds_back(self) -> bool:
        """A batch of one is whole."""
        return True


def main() -> NoReturn:
    """Runs records until the input ends."""
    reporter = take_stdout()
    try:
        logging.basicConfig(level=int(sys.argv[1]), handlers=[ReportedLogs(reporter)])
        told = sys.stdin.buffer.readline()
        if not told:
            end(0)  # its worker was killed before it could say what is to be done
        settings = WorkSettings.from_json(told)
        topic = json.loads(sys.stdin.buffer.readline())
        app = load_app(settings.app, settings.app_dir, settings.named)
        with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as runner:
            runner.run(_serve(settings, app, topic, reporter))
        code = 0
    except FanoutError as error:
        reporter.failed(error)
        code = error.exit_code
    end(code)


async def _serve(settings: WorkSettings, app: App, topic: str, reporter: Reporter) -> None:
    handler, host, link = app.handlers[topic], Host(), Link()
    link.host = host
    source = settings.run.source if settings.run else None
    attempt = attempt_of(handler, source, Means(threads=ThreadPoolExecutor(1), link=link))
    lines = _listen()
    vitals = Vitals(
        figures=dict,
        report=lambda _figures: reporter.send("alive"),
        culprit=lambda _task: f"a record of {topic} that runs alone",
        end=lambda: end(BLOCKED),
    )
    async with opened(app):
        beating = asyncio.create_task(Pulse(vitals, settings.most_blocked_s).beat())
        reporter.send("ready")
        while True:
            record, number = from_line(await lines.get())
            host.has_acknowledged = False
            verdict = await attempt(record, number)
            if beating.done():
                beating.result()
            reporter.send("verdict", verdict=None if host.has_acknowledged else verdict_to_json(verdict))


def _listen() -> asyncio.Queue[bytes]:
    """Lines of the input as they come; its end means that nobody wants an answer any more."""
    lines, loop = asyncio.Queue[bytes](), asyncio.get_running_loop()

    def listen() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        end(0)

    threading.Thread(target=listen, name="worker", daemon=True).start()
    return lines


if __name__ == "__main__":
    main()
