"""`fanout demo`: the whole story in a minute or two, on a real Kafka of which nothing stays."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Answer

if TYPE_CHECKING:
    from fanout.demo.result import Result
    from fanout.demo.stage import DemoSettings

    from .frame import Frame, Session

__all__ = ["demo"]

REFUTED = 3
"""Exit code when an order was lost, handled twice or out of order."""


def demo(
    context: typer.Context,
    messages: Annotated[int, typer.Option("--messages", metavar="N", help="Orders in the backlog.")] = 60_000,
    partitions: Annotated[
        int, typer.Option("--partitions", metavar="N", help="Of the topic, with an old consumer for each.")
    ] = 3,
    targets: Annotated[
        int, typer.Option("--targets", metavar="N", help="Partitions of the temp topic, for 10 workers.")
    ] = 30,
    handler_ms: Annotated[
        float, typer.Option("--handler-ms", metavar="MS", help="What one order takes, one at a time.")
    ] = 5.0,
    kill: Annotated[bool, typer.Option("--kill", help="Kill workers (SIGKILL) in the middle of the drain.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep Kafka running at the end, until Ctrl-C.")] = False,
) -> None:
    """See it work: a backlog that 3 consumers cannot drain, on a throw-away Kafka, before and after.

    Starts a real Apache Kafka of its own and touches no other. Exits with 3 if an order was lost or handled twice.
    """
    from fanout.demo.stage import DemoSettings

    frame: Frame = context.obj
    session = frame.open("demo")
    if session.settings.log_format == "auto":
        # A story is for people, wherever stderr goes.
        session = replace(frame, options={**frame.options, "log_format": "console"}).open("demo")
    settings = DemoSettings(
        messages=messages, partitions=partitions, targets=targets, handler_ms=handler_ms, kill=kill, keep=keep
    )
    with _quiet_workers() if session.settings.log_level == "info" else nullcontext():
        code = _demo(session, settings)
    raise typer.Exit(code)


@contextmanager
def _quiet_workers() -> Iterator[None]:
    """Workers that come and go are the story itself; only what breaks may interrupt it."""
    workers = logging.getLogger("fanout.work")
    before = workers.level
    workers.setLevel(logging.ERROR)
    try:
        yield
    finally:
        workers.setLevel(before)


def _demo(session: Session, settings: DemoSettings) -> int:
    from fanout.demo.scenario import Demo
    from fanout.errors import NotFinishedError

    from .demo_story import open_story
    from .signals import Stoppable

    story = open_story(lambda result: _show(session, result))
    play = Demo(settings, story)
    running = Stoppable(play.run, play.stop, lambda: story.glance(play.gauge))
    try:
        result = running.run()
    except NotFinishedError:
        if not running.was_stopped:
            raise
        return running.exit_code
    finally:
        story.close()
    return 0 if result.verdict.holds else REFUTED


def _show(session: Session, result: Result) -> None:
    from fanout.demo.result import COLUMNS

    session.show(Answer(document=result.document(), columns=COLUMNS, rows=result.rows(), after=result.lines()))
