"""`fanout work`: run an application's handlers over their topics, in as many processes as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .output import Answer
from .parse import one_of, positive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanout.config.work import WorkSettings
    from fanout.work.check import Checked
    from fanout.work.reload import Crew
    from fanout.work.supervisor import WorkStats

    from .frame import Frame, Session
    from .progress import Meter, Tick

__all__ = ["work"]

GLANCE_S = 0.2

OUTCOMES = ("done", "skipped", "tombstone", "repeated", "retried", "dead")

Ends = dict[str, dict[int, int]]


def work(
    context: typer.Context,
    app: Annotated[str, typer.Argument(metavar="PKG.MOD:APP", help="The application: a fanout.App in a module.")],
    topic: Annotated[
        list[str] | None, typer.Option("-t", "--topic", metavar="T", help="Only its handler; repeatable.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("-g", "--group", metavar="G", help="Consumer group; else the app's name.")
    ] = None,
    workers: Annotated[
        str, typer.Option("-w", "--workers", metavar="N|auto", help="Processes; auto: one a core.")
    ] = "1",
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", metavar="N", help="Records at once in each process.")
    ] = None,
    app_dir: Annotated[
        str, typer.Option("--app-dir", metavar="DIR", help="Where the application is imported from.")
    ] = ".",
    factory: Annotated[
        bool, typer.Option("--factory", help="PKG.MOD:APP is a function without arguments that makes the app.")
    ] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Replace the workers when the source of the application changes.")
    ] = False,
    loop: Annotated[str, typer.Option("--loop", metavar="LOOP", help="auto, asyncio or uvloop.")] = "auto",
    max_tasks: Annotated[
        int | None,
        typer.Option("--max-tasks-per-worker", metavar="N", help="Records after which a process is replaced."),
    ] = None,
    max_blocked: Annotated[
        float,
        typer.Option("--max-blocked", metavar="S", help="A process whose event loop stands for longer is replaced."),
    ] = 60.0,
    dead_letter_share: Annotated[
        float,
        typer.Option("--dead-letter-share", metavar="F", help="More dead letters among 1,000 records stop the work."),
    ] = 0.01,
    until: Annotated[
        str | None, typer.Option("--until", metavar="end", help="Stop at the last stable offsets as they are now.")
    ] = None,
) -> None:
    """Run handlers over their topics.

    Runs until it is stopped, or to an end. A stop lets running handlers finish, commits, and takes under ten seconds.
    """
    from fanout.config.work import WorkSettings
    from fanout.errors import ConfigError
    from fanout.work.reload import Changes, Reloading
    from fanout.work.supervisor import Supervisor

    frame: Frame = context.obj
    session = frame.open("work")
    if until not in (None, "end"):
        raise ConfigError("--until", f"{until!r} is not known here: write --until end")
    settings = WorkSettings(
        clients=session.clients,
        app=app,
        named="factory" if factory else "app",
        app_dir=app_dir,
        group=group,
        topics=tuple(topic or ()),
        workers=_count(workers),
        dedup=session.settings.dedup.settings(),
        concurrency=concurrency,
        max_tasks=max_tasks,
        most_blocked_s=max_blocked,
        dead_letter_share=dead_letter_share,
        loop=one_of(loop, ("auto", "asyncio", "uvloop"), "--loop"),  # type: ignore[arg-type]
    )
    supervisor: Crew = Reloading(lambda: Supervisor(settings), Changes(app_dir)) if reload else Supervisor(settings)
    checked = supervisor.check()
    ends = {name: session.cluster.offsets(name, "stable") for name in checked.topics} if until else None

    def retries() -> Ends:
        return {name: session.cluster.offsets(name, "stable") for name in checked.retry_topics}

    raise typer.Exit(_work(session, settings, supervisor, Errand(checked, ends, retries)))


class Errand:
    """What was asked for: the topics, where each partition ends, if anywhere, and where the retry topics end now."""

    def __init__(self, checked: Checked, ends: Ends | None, retries: Callable[[], Ends]) -> None:
        self.checked = checked
        self.ends = ends
        self._retries = retries

    def is_over(self, stats: WorkStats) -> bool:
        """Whether every partition is committed up to its end, and so is all that came of it to be tried again.

        The retry topics are asked after `stats` were taken: what was committed by then has left its next attempt there.
        """
        return self.ends is not None and _is_past(self.ends, stats) and _is_past(self._retries(), stats)

    @property
    def title(self) -> str:
        """For the progress line."""
        return f"{self.checked.group} on {', '.join(self.checked.topics)}"


def _is_past(ends: Ends, stats: WorkStats) -> bool:
    return all(
        stats.committed.get(topic, {}).get(partition, -1) >= end
        for topic, partitions in ends.items()
        for partition, end in partitions.items()
    )


def _work(session: Session, settings: WorkSettings, supervisor: Crew, errand: Errand) -> int:
    """Runs the workers to their end or a signal, and shows what they did."""
    import threading

    from .progress import Meter, open_progress
    from .signals import Stoppable

    told = threading.Event()
    meter = Meter()
    progress = open_progress(errand.title, quiet=session.is_quiet)

    def run() -> WorkStats:
        supervisor.start()
        try:
            while not (told.wait(GLANCE_S) or errand.is_over(supervisor.poll())):
                """The supervisor works meanwhile."""
        finally:
            stats = supervisor.stop()
        return stats

    running = Stoppable(run, told.set, lambda: progress.show(_tick(supervisor, meter)))
    try:
        stats = running.run()
    finally:
        progress.close()
    session.show(_answer(settings, errand, stats))
    return running.exit_code


def _tick(supervisor: Crew, meter: Meter) -> Tick:
    from .progress import Tick

    stats = supervisor.stats()
    done = sum(_settled(counts) for counts in stats.processed.values())
    meter.add(done)
    notes = [f"{stats.workers} workers", f"{stats.in_flight:,} in flight", *stats.parked[:1]]
    if stats.dead_letters:
        notes.append(f"{stats.dead_letters:,} dead letters")
    return Tick(done=done, total=None, rate=meter.rate, eta_s=None, note=" · ".join(notes))


def _settled(counts: Mapping[str, int]) -> int:
    return sum(counts.get(outcome, 0) for outcome in OUTCOMES if outcome != "retried")


def _answer(settings: WorkSettings, errand: Errand, stats: WorkStats) -> Answer:
    return Answer(
        document={
            "app": settings.app,
            "group": errand.checked.group,
            "handlers": {topic: dict(counts) for topic, counts in stats.processed.items()},
            "committed": stats.committed,
            "dead_letter_topics": errand.checked.dead_letters,
            "retry_topics": errand.checked.retry_topics,
            "restarts": stats.restarts,
            "parked": stats.parked,
        },
        columns=("topic", *OUTCOMES),
        rows=[(topic, *(counts.get(one, 0) for one in OUTCOMES)) for topic, counts in sorted(stats.processed.items())],
        after=[f"restarted after {reason}: {count}" for reason, count in sorted(stats.restarts.items())],
    )


def _count(workers: str) -> int:
    import os

    return os.cpu_count() or 1 if workers == "auto" else positive(workers, "--workers")
