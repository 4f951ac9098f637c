"""
A drain from its plan to its report. This file is the order of the steps; `steps` is what they do.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import cached_property

from fanout.errors import FanoutError, ProofError

from . import steps
from .finished_mark import FinishedMarks
from .plan import Plan, make_plan
from .ports import Doors, Progress, Silent
from .report import Report
from .settings import DrainSettings
from .state import Run

__all__ = ["Drain"]


class Drain:
    """One drain. `plan` only looks; `run` does it; `stop`, from any thread, ends it cleanly at the next occasion."""

    def __init__(self, settings: DrainSettings, doors: Doors, progress: Progress | None = None) -> None:
        self._settings = settings
        self._doors = doors
        self._progress = progress or Silent()
        self._stop = threading.Event()

    @cached_property
    def plan(self) -> Plan:
        """What would be done. Raises ConfigError or RefusedError for what is in the way."""
        return make_plan(self._settings, self._doors, datetime.now(UTC))

    def stop(self) -> None:
        """Ends the run before its next wait; lanes and workers finish what they have in hand."""
        self._stop.set()

    def run(self) -> Report:
        """Drains, proves and hands back. An error that ends it early carries what stands in its notes."""
        plan = self.plan
        run = Run(plan, self._doors, self._progress, self._stop)
        try:
            return self._flow(run)
        except BaseException as error:
            _leave_in_order(run, error)
            for line in run.standing.lines(plan, error):
                error.add_note(line)
            raise

    def _flow(self, run: Run) -> Report:
        plan = run.plan
        steps.check_the_group(run)
        steps.make_temp_topic(run)
        steps.commit_the_start(run)
        marks = run.marks = FinishedMarks(self._doors.marks, plan.names, plan.start, plan.allotments)
        with steps.lanes_and_workers(run):
            steps.follow_until_caught_up(run, marks)
            cut_at = steps.cut(run)
            steps.wait_until_finished(run, marks, cut_at)
        witnesses = steps.prove(run)
        steps.hand_back(run, cut_at)
        steps.clear(run)
        return Report(
            plan=plan,
            witnesses=witnesses,
            home=dict(run.standing.written),
            elapsed_s=run.elapsed_s,
            restarts=run.restarts,
            steps=tuple(run.steps),
            left=tuple(run.standing.trouble),
        )


def _leave_in_order(run: Run, error: BaseException) -> None:
    """After an early end, when lanes and workers are gone.

    Before anything was forwarded, what was made is removed. Later the marks are at their highest: the old group is
    moved up once more, for the fewer repeats. Not when the proof or the group itself is in doubt, nor after an error
    nobody foresaw: then nothing is touched.
    """
    if isinstance(error, ProofError) or not isinstance(error, FanoutError) or run.standing.home:
        return
    try:
        if not run.standing.forwarded:
            steps.take_back(run)
        elif run.marks is not None:
            run.old_group.move_up_to(run.marks.read())
    except FanoutError as failed:
        run.standing.trouble.append(f"and this was not done: {failed}")
