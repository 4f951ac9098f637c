"""`fanout dlq`: dead letters after the fact. `redrive` is a dry run unless it is told --execute."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .output import SCHEMA_VERSION, Answer
from .parse import rate_per_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanout._fanout import Pattern
    from fanout.dlq.census import Census
    from fanout.dlq.reader import Reader, Spans
    from fanout.dlq.redrive import Redrive, Score
    from fanout.message import KafkaMessage

    from .frame import Frame, Session

__all__ = ["dlq"]

dlq = typer.Typer(
    help="Count, look at, export and put back dead letters.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TopicOption = Annotated[
    str, typer.Option("-t", "--topic", metavar="T[:0,3-7]", help="Dead-letter topic and partitions.")
]
ErrorOption = Annotated[
    str | None,
    typer.Option("--error", metavar="REGEX", help="Only letters in whose error it is found; no look-around."),
]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", metavar="DUR", help="Give up when it takes longer (exit 4).")
]


@dlq.command("ls")
def ls(context: typer.Context, topic: TopicOption, error: ErrorOption = None, timeout: TimeoutOption = None) -> None:
    """Count letters by where they came from, outcome and error, with their ages."""
    from fanout.dlq.census import Census

    session, letters = _letters(context.obj, topic, error, timeout)
    census = Census()
    census.count(letters)
    session.show(_counted(topic, census))


def _counted(topic: str, census: Census) -> Answer:
    import time

    from fanout.config.durations import duration_text
    from fanout.dlq.shown import shown

    now_ms = time.time_ns() // 1_000_000
    kinds = census.sorted()

    def age(at_ms: int) -> str:
        return duration_text(max(0, now_ms - at_ms) / 1000)

    told = [
        {**kind._asdict(), "letters": tally.letters, "oldest": tally.oldest, "newest": tally.newest}
        for kind, tally in kinds
    ]
    rows = [
        (
            shown(kind.topic) or "?",
            kind.partition,
            shown(kind.outcome) or "?",
            shown(kind.error) or "?",
            tally.letters,
            age(tally.oldest),
            age(tally.newest),
        )
        for kind, tally in kinds
    ]
    return Answer(
        document={"topic": topic, "letters": census.letters, "kinds": told},
        columns=("source", "partition", "outcome", "error", "letters", "oldest", "newest"),
        rows=rows,
        after=[f"{census.letters:,} letters in {topic}"],
    )


@dlq.command("show")
def show(
    context: typer.Context,
    topic: Annotated[
        str, typer.Option("-t", "--topic", metavar="T[:P@OFFSET]", help="Dead-letter topic, or one letter of it.")
    ],
    error: ErrorOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many letters at most.")] = 10,
    most: Annotated[int, typer.Option("--bytes", metavar="N", min=0, help="So much of key and value.")] = 1_000,
    timeout: TimeoutOption = None,
) -> None:
    """Show single letters with their headers. Whatever a terminal could take for a command is escaped."""
    from itertools import islice

    from fanout.dlq.page import document, lines

    session, letters = _letters(context.obj, topic, error, timeout)
    chosen = islice(letters, limit)
    form = session.settings.output
    if form == "table":
        for letter in chosen:
            sys.stdout.write("\n".join(lines(letter, most)) + "\n")
    elif form == "json":
        session.show(Answer(document={"letters": [document(letter) for letter in chosen]}))
    else:
        _write_lines(chosen)


@dlq.command("export")
def export(
    context: typer.Context, topic: TopicOption, error: ErrorOption = None, timeout: TimeoutOption = None
) -> None:
    """Write letters as JSON lines, whole, with key, value and header values in base64."""
    _, letters = _letters(context.obj, topic, error, timeout)
    _write_lines(letters)


@dlq.command("redrive")
def redrive(
    context: typer.Context,
    topic: TopicOption,
    error: ErrorOption = None,
    to_topic: Annotated[
        str | None,
        typer.Option("--to-topic", metavar="T", help="Where to; else each letter's own source and partition."),
    ] = None,
    rate: Annotated[str | None, typer.Option("--rate", metavar="N/s", help="Letters a second at most.")] = None,
    max_cycles: Annotated[
        int, typer.Option("--max-cycles", metavar="N", min=1, help="Leave what was put back so often already.")
    ] = 3,
    timeout: TimeoutOption = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without, only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask before --execute begins.")] = False,
) -> None:
    """Put letters back, each once: letters and progress are written in one transaction.

    What went back is remembered by the group fanout.T.redrive: a second redrive leaves it alone, whatever interrupted
    the first. Deleting that group forgets it.
    """
    from fanout.dlq.choice import Rules
    from fanout.dlq.redrive import Job, Redrive
    from fanout.errors import ConfigError

    if to_topic == topic.partition(":")[0]:
        raise ConfigError("--to-topic", f"{to_topic} is the dead-letter topic itself: letters would go round for ever")
    session, reader, spans = _open(context.obj, topic, timeout)
    if to_topic is not None:
        session.cluster.partitions(to_topic)
    rules = Rules(topic=reader.topic, to_topic=to_topic, error=_pattern(error), max_cycles=max_cycles)
    job = Job(rules=rules, spans=spans, rate=rate_per_s(rate, "--rate") if rate else None)
    raise typer.Exit(_redrive(session, Redrive(job, reader, session.cluster), execute=execute, ask=not yes))


def _redrive(session: Session, work: Redrive, *, execute: bool, ask: bool) -> int:
    from .progress import Meter, Tick, open_progress
    from .signals import Stoppable

    planned = work.plan()
    if not execute:
        session.show(_answer(planned, done=False))
        return 0
    if ask and sys.stdin.isatty():
        typer.echo("\n".join(_summary(planned, done=False)), err=True)
        typer.confirm("Put them back?", abort=True, err=True)
    total, meter = sum(planned.going.values()), Meter()
    progress = open_progress("redrive", quiet=session.is_quiet)

    def glance() -> None:
        done = sum(work.score.going.values())
        meter.add(done)
        progress.show(Tick(done=done, total=total, rate=meter.rate, eta_s=meter.eta_s(total - done)))

    running = Stoppable(work.run, work.stop, glance)
    try:
        score = running.run()
    finally:
        progress.close()
    session.show(_answer(score, done=True))
    return running.exit_code


def _answer(score: Score, *, done: bool) -> Answer:
    return Answer(
        document={
            "executed": done,
            "put_back": dict(score.going),
            "back_already": score.back,
            "staying": dict(score.staying),
            "staying_named": score.named,
        },
        columns=("target", "letters"),
        rows=sorted(score.going.items()),
        after=_summary(score, done=done),
    )


def _summary(score: Score, *, done: bool) -> list[str]:
    """What becomes of the letters, for people."""
    going = sum(score.going.values())
    targets = ", ".join(f"{count:,} to {target}" for target, count in sorted(score.going.items())) or "none"
    why = {
        "unmatched": "stay, whose error is another",
        "cycles": "stay, which were put back too often (--max-cycles)",
        "homeless": "stay, whose source or its partition is unknown or gone (--to-topic)",
    }
    lines = [f"{going:,} letters {'went' if done else 'would go'} back: {targets}"]
    if score.back:
        lines.append(f"{score.back:,} went back before")
    for reason, count in sorted(score.staying.items()):
        named = "" if reason == "unmatched" else f": {', '.join(score.named[reason])}"
        lines.append(f"{count:,} {why[reason]}{named}")
    return lines if done else [*lines, "This was a dry run: nothing was changed. --execute does it."]


def _letters(
    frame: Frame, topic: str, error: str | None, timeout: str | None
) -> tuple[Session, Iterator[KafkaMessage]]:
    from fanout.dlq.story import story_of

    session, reader, spans = _open(frame, topic, timeout)
    pattern = _pattern(error)
    letters = reader.letters(spans)
    if pattern is not None:
        return session, (letter for letter in letters if pattern.is_in(story_of(letter).message))
    return session, letters


def _open(frame: Frame, topic: str, timeout: str | None) -> tuple[Session, Reader, Spans]:
    """Looks where the letters lie. `T:P@OFFSET` is one letter."""
    from fanout.config.durations import duration_s
    from fanout.config.selection import parse_place, parse_selection
    from fanout.dlq.reader import Reader, spans_of

    place = parse_place(topic, "--topic") if "@" in topic else None
    selection = parse_selection(f"{place.topic}:{place.partition}" if place else topic, "--topic")
    timeout_s = duration_s(timeout, "--timeout") if timeout else None
    session = frame.open("dlq")
    spans = spans_of(session.cluster, selection)
    if place is not None:
        first, last = spans[place.partition]
        spans = {place.partition: (max(first, place.offset), min(last, place.offset + 1))}
    return session, Reader(clients=session.clients, topic=selection.topic, timeout_s=timeout_s), spans


def _pattern(error: str | None) -> Pattern | None:
    if error is None:
        return None
    from fanout._fanout import Pattern

    return Pattern(error, "--error")


def _write_lines(letters: Iterator[KafkaMessage]) -> None:
    """One at a time: the letters need not fit into memory."""
    import orjson

    from fanout.dlq.page import document

    for letter in letters:
        sys.stdout.write(orjson.dumps({"schema_version": SCHEMA_VERSION, **document(letter)}).decode() + "\n")
    sys.stdout.flush()
