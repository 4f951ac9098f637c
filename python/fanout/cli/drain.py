"""`fanout drain`: one reversible run through a temporary topic. Without --execute it only says what it would do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Answer, last_word
from .parse import one_of, positive, rate_per_s

if TYPE_CHECKING:
    from fanout.drain.flow import Drain
    from fanout.drain.settings import DrainSettings
    from fanout.errors import FanoutError

    from .drain_progress import DrainProgress
    from .frame import Frame, Session

__all__ = ["drain"]


def drain(
    context: typer.Context,
    app: Annotated[str, typer.Argument(metavar="APP", help="Handlers, as pkg.mod:app.")],
    topic: Annotated[str, typer.Option("-t", "--topic", metavar="T", help="The topic with the backlog.")],
    group: Annotated[str, typer.Option("-g", "--group", metavar="G", help="Its consumer group; must be Empty.")],
    partitions: Annotated[
        str, typer.Option("--partitions", metavar="N|auto", help="Of the temp topic; auto is three for each worker.")
    ] = "auto",
    workers: Annotated[int, typer.Option("-w", "--workers", metavar="N", help="Worker processes.")] = 4,
    route: Annotated[
        str, typer.Option("--route", metavar="ROUTE", help="key (keeps the order of each key), round-robin or batch.")
    ] = "key",
    start: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="Where to begin in partitions without a commit.")
    ] = None,
    cutover: Annotated[
        str, typer.Option("--cutover", metavar="DUR", help="Cut when the workers finish what is left in this time.")
    ] = "5s",
    handler_rate: Annotated[
        str | None, typer.Option("--handler-rate", metavar="N/s", help="Of one worker, for the ETA of the dry run.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DUR", help="Stop cleanly when it takes longer (exit 4).")
    ] = None,
    app_dir: Annotated[
        Path | None, typer.Option("--app-dir", metavar="DIR", help="Where APP is imported from; here by default.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without, only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask before --execute begins.")] = False,
) -> None:
    """Drain a backlog through a temporary topic, prove it, and bring the old structure back.

    The group's consumers must be stopped, those too that assign partitions to themselves and so show as no members.
    Its offsets follow what is finished, so an early end loses nothing.
    """
    import time

    from fanout.config.durations import duration_s
    from fanout.config.forward import ROUTES
    from fanout.config.when import parse_when
    from fanout.drain.settings import DrainSettings

    frame: Frame = context.obj
    session = frame.open("drain")
    settings = DrainSettings(
        clients=session.clients,
        app=app,
        app_dir=app_dir,
        topic=topic,
        group=group,
        workers=positive(str(workers), "--workers"),
        partitions=None if partitions == "auto" else positive(partitions, "--partitions"),
        route=one_of(route, ROUTES, "--route"),
        start=parse_when(start, "--from", time.time_ns() // 1_000_000) if start else None,
        handler_rate=rate_per_s(handler_rate, "--handler-rate") if handler_rate else None,
        cutover_s=duration_s(cutover, "--cutover"),
        timeout_s=duration_s(timeout, "--timeout") if timeout else None,
        dedup=session.settings.dedup.settings(),
    )
    raise typer.Exit(_drain(session, settings, execute=execute, ask=not yes))


def _drain(session: Session, settings: DrainSettings, *, execute: bool, ask: bool) -> int:
    from fanout.drain.doors import open_doors
    from fanout.drain.flow import Drain
    from fanout.drain.prose import COLUMNS, plan_document, plan_lines, plan_rows

    from .drain_progress import DrainProgress

    session.knock()
    progress = DrainProgress(quiet=session.is_quiet)
    drain = Drain(settings, open_doors(settings), progress)
    plan = drain.plan
    lines, rows = plan_lines(plan), plan_rows(plan)
    if not execute:
        dry = "This was a dry run: nothing was changed. --execute does it."
        answer = Answer(document=plan_document(plan), columns=COLUMNS, rows=rows, before=lines, after=(dry,))
        session.show(answer)
        return 0
    if ask and sys.stdin.isatty():
        typer.echo("\n".join(lines), err=True)
        typer.confirm("Drain?", abort=True, err=True)
    return _execute(session, drain, progress)


def _execute(session: Session, drain: Drain, progress: DrainProgress) -> int:
    from fanout.errors import FanoutError, NotFinishedError

    from .signals import Stoppable

    running = Stoppable(drain.run, drain.stop, progress.glance)
    try:
        report = running.run()
    except FanoutError as error:
        if session.settings.output != "table":  # people read the same on stderr
            session.show(_early_end(drain, error))
        if isinstance(error, NotFinishedError) and running.was_stopped:
            last_word(error)
            return running.exit_code
        raise
    finally:
        progress.close()
    columns = ("partition", "from", "cut", "records", "settled", "dead", "source", "sum")
    rows = [
        (
            one.partition,
            one.start,
            one.end,
            one.lanes.count,
            one.settled.count,
            one.dead.count,
            one.source.count if one.source else None,
            f"{one.lanes.sum:016x}",
        )
        for one in report.witnesses
    ]
    session.show(Answer(document=report.document(), columns=columns, rows=rows, after=report.lines()))
    return 0


def _early_end(drain: Drain, error: FanoutError) -> Answer:
    """What stands, on stdout for programs too: the notes of an error are for people."""
    notes = list(getattr(error, "__notes__", ()))
    document = {
        "outcome": "stopped",
        "run": drain.plan.names.run,
        "error": type(error).__name__,
        "message": str(error),
        "standing": notes,
    }
    columns = ("outcome", "error", "message")
    return Answer(document=document, columns=columns, rows=[("stopped", type(error).__name__, str(error))], after=notes)
