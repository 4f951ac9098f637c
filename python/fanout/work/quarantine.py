"""
Runs suspects alone: records that ran when a process died, more than once.

Whoever of them ends a process a third time, now that nothing else runs in it, is what killed the others: it becomes
a dead letter. Whoever does not was there by chance and is done. Their keys and the commit point wait meanwhile, in the
worker that holds them; all else goes on there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fanout.errors import WorkError

from .carried import DistantError, to_line, verdict_of
from .process import ending
from .report import read_report, relay_log, to_error
from .retry import Again, Dead, Held, Verdict

if TYPE_CHECKING:
    from fanout.app import Handler
    from fanout.config.work import WorkSettings
    from fanout.message import KafkaMessage

    from .attempt import Attempt

__all__ = ["Quarantine", "Suspects"]

logger = logging.getLogger("fanout.work")

Suspects = Mapping[tuple[int, int], int]
"""How many processes died while it ran, by partition and offset."""

START_S = 120.0
"""What importing the application and opening what it needs may take."""

SILENCE_S = 10.0
LONGEST_LINE = 1 << 24


class Quarantine:
    """Attempts of one handler: `attempt` runs what is not suspected, a process of its own what is."""

    def __init__(self, settings: WorkSettings, handler: Handler, attempt: Attempt) -> None:
        self._settings = settings
        self._handler = handler
        self._usual: Attempt = attempt
        self._apart: Attempt = self._alone
        self._deaths = 0
        self._suspects: dict[tuple[int, int], int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    def suspect(self, suspects: Suspects) -> None:
        """Adds records that are to run alone."""
        self._suspects.update(suspects)

    def wrap(self, wrapped: Callable[[Attempt], Attempt]) -> None:
        """Puts the same around both ways a record may run."""
        self._usual, self._apart = wrapped(self._usual), wrapped(self._apart)

    async def attempt(self, raw: KafkaMessage, number: int) -> Verdict | None:
        """Runs one record, where it belongs."""
        place = (raw.partition(), raw.offset())
        deaths = self._suspects.get(place)
        if deaths is None:
            return await self._usual(raw, number)
        async with self._one_at_a_time:
            try:
                self._deaths = deaths
                verdict = await self._apart(raw, max(number, deaths + 1))
            except BaseException:
                await self._end()
                raise
            if not isinstance(verdict, Again | Held):
                self._suspects.pop(place, None)  # read again meanwhile, it may have gone already
            if not self._suspects:
                await self._end()
        return verdict

    async def _alone(self, raw: KafkaMessage, number: int) -> Verdict | None:
        name = f"{raw.topic()}/{raw.partition()}/{raw.offset()}"
        logger.warning("%s ran when %d processes died: it runs alone", name, self._deaths)
        process = await self._started()
        stdin = _pipe(process.stdin)
        stdin.write(to_line(raw, number))
        try:
            await stdin.drain()
            report = await self._answer(process, "verdict", self._settings.most_blocked_s + SILENCE_S)
        except ConnectionError:
            report = None
        if report is not None:
            return verdict_of(report["verdict"])
        return self._killer(name, await self._cause(process))

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None:
            return self._process
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fanout.work.alone", str(logger.getEffectiveLevel())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        _pipe(process.stdin).write(self._settings.to_json() + json.dumps(self._handler.topic).encode() + b"\n")
        if await self._answer(process, "ready", START_S) is None:
            problem = f"no process for suspected records of {self._handler.topic} could be started"
            raise WorkError(f"{problem} ({await self._cause(process)})", "its standard error says why")
        return process

    async def _answer(self, process: asyncio.subprocess.Process, wanted: str, silent_s: float) -> dict[str, Any] | None:
        """The report that is waited for; None when the process ends, or says nothing for `silent_s`."""
        stdout = process.stdout
        if stdout is None:
            raise TypeError("the process was started with a pipe")
        while True:
            try:
                async with asyncio.timeout(silent_s):
                    line = await stdout.readline()
            except TimeoutError:
                return None
            if not line.endswith(b"\n"):
                return None
            report = read_report(line)
            if report["kind"] == "failed":
                raise to_error(report)
            if report["kind"] == "log":
                relay_log(report, f"alone {process.pid}")
            if report["kind"] == wanted:
                return report

    async def _cause(self, process: asyncio.subprocess.Process) -> str:
        """How it ended; one that only says nothing is ended first."""
        stands_still = process.stdout is not None and not process.stdout.at_eof()
        code = await self._end()
        if stands_still:
            return "it stood still"
        return ending(code)

    def _killer(self, name: str, cause: str) -> Verdict:
        deaths = self._deaths + 1
        words = f"its process died {deaths} times while it ran, the last time alone ({cause})"
        if self._handler.dead_letters is None:
            raise WorkError(
                f"{name}: {words}", 'it has no dead-letter topic: give its handler one (dlq="..."), or repair it'
            )
        return Dead("killed-worker", words, DistantError(words), attempts=deaths)

    async def _end(self) -> int:
        """Ends the process, if there is one, and returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        _pipe(process.stdin).close()
        if process.stdout is not None and not process.stdout.at_eof():
            # Not one that has ended: asyncio would lose its exit code.
            process.kill()
        await process.communicate()
        return process.returncode or 0


def _pipe(pipe: asyncio.StreamWriter | None) -> asyncio.StreamWriter:
    if pipe is None:
        raise TypeError("the process was started with a pipe")
    return pipe
