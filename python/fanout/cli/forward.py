"""`fanout forward`: carry records from topic to topic, exactly once, as a daemon or until an end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .output import Answer
from .parse import one_of, rate_per_s

if TYPE_CHECKING:
    from fanout._fanout import Forwarder as CoreForwarder
    from fanout.config.selection import Place
    from fanout.config.when import When
    from fanout.kafka.carry import Carry, Errand
    from fanout.kafka.ports import Forwarder, LaneEnd, LaneStats

    from .frame import Frame, Session
    from .progress import Meter, Tick

__all__ = ["forward"]


def forward(
    context: typer.Context,
    topic: Annotated[str, typer.Option("-t", "--topic", metavar="T[:0,3-7]", help="Source topic and partitions.")],
    group: Annotated[str, typer.Option("-g", "--group", metavar="G", help="The forwarder's own group; no members.")],
    to_topic: Annotated[str, typer.Option("--to-topic", metavar="T", help="Target topic.")],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="Where to begin; counts only where the group has no commit."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="end", help="Stop at the last stable offset as it is now.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="WHEN", help="Stop before this place.")] = None,
    route: Annotated[
        str, typer.Option("--route", metavar="ROUTE", help="key, round-robin (record by record) or batch.")
    ] = "key",
    partitioner: Annotated[
        str, typer.Option("--partitioner", metavar="NAME", help="murmur2 (Java), crc32 (librdkafka), fnv1a or xxh3.")
    ] = "murmur2",
    origin_header: Annotated[
        bool, typer.Option("--origin-header/--no-origin-header", help="Add fanout.origin: topic/partition/offset.")
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="T:P@OFFSET", help="Leave out the one broken batch at which this lane halted."),
    ] = None,
    compression: Annotated[
        str, typer.Option("--compression", metavar="CODEC", help="same, none, gzip, snappy, lz4 or zstd.")
    ] = "same",
    delivery: Annotated[
        str, typer.Option("--delivery", metavar="PROMISE", help="exactly-once, or at-least-once: seen at once.")
    ] = "exactly-once",
    share: Annotated[
        bool, typer.Option("--share", help="Share the lanes with other processes that are started with the same -g.")
    ] = False,
    max_rate: Annotated[
        str | None, typer.Option("--max-rate", metavar="N/s", help="Most records a second, over all lanes.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", metavar="N/s", help="Most bytes a second, as they are fetched.")
    ] = None,
    rate_scope: Annotated[
        str,
        typer.Option("--rate-scope", metavar="SCOPE", help="The rates are of this process, or of the whole group."),
    ] = "process",
    commit_interval: Annotated[
        str | None,
        typer.Option("--commit-interval", metavar="DUR", help="How old a transaction gets; readers wait as long."),
    ] = None,
) -> None:
    """Carry records from one topic to another, exactly once or at least once.

    Runs until it is stopped, or to an end. A stop finishes the open transaction; starting again goes on from there.
    """
    from fanout._fanout import Forwarder
    from fanout.config.forward import COMPRESSIONS, DELIVERIES, PARTITIONERS, ROUTES
    from fanout.config.selection import parse_place, parse_selection
    from fanout.kafka.carry import Errand, Pace, commit_start

    frame: Frame = context.obj
    session = frame.open("forward")
    begin, end = _places(start, until, to)
    errand = Errand(
        source=parse_selection(topic, "-t"),
        target=parse_selection(to_topic, "--to-topic").topic,
        group=group,
        start=begin,
        end=end,
        route=one_of(route, ROUTES, "--route"),
        partitioner=one_of(partitioner, PARTITIONERS, "--partitioner"),
        origin="text" if origin_header else "none",
        compression=one_of(compression, COMPRESSIONS, "--compression"),
        delivery=one_of(delivery, DELIVERIES, "--delivery"),
        share=share,
        pace=Pace(
            max_rate=rate_per_s(max_rate, "--max-rate") if max_rate else None,
            max_bytes=rate_per_s(max_bytes, "--max-bytes") if max_bytes else None,
            commit_ms=_commit_ms(commit_interval) if commit_interval else None,
            of_group=_is_of_group(rate_scope, share=share),
        ),
    )
    carry = _prepare(session, errand, [parse_place(place, "--skip") for place in skip or ()])
    forwarder = Forwarder(carry.settings)
    if share:
        raise typer.Exit(_share(session, errand, carry, forwarder))
    commit_start(carry, session.cluster)
    ran = _run(session, carry, forwarder, _Work(forwarder.run, forwarder.stop))
    session.show(_answer(errand, carry, ran, forwarder.stats()))
    raise typer.Exit(_exit_code(ran.ends) or ran.code)


def _prepare(session: Session, errand: Errand, skip: Sequence[Place]) -> Carry:
    """Looks at the cluster; where broken batches are to be left out, that is done and all is looked at again."""
    from fanout.errors import ConfigError
    from fanout.kafka.carry import prepare
    from fanout.kafka.skip import skip_broken

    def look() -> Carry:
        group = session.admin.groups.describe(errand.group)
        return prepare(errand, session.cluster, group, session.clients.of("core", "forward"))

    if skip and errand.share:
        raise ConfigError("--skip", "takes the lane from whoever carries it: run it once without --share")
    carry = look()
    skipped = skip_broken(errand, skip, session.cluster)
    return replace(look(), skipped=skipped) if skipped else carry


def _commit_ms(word: str) -> int:
    from fanout.config.durations import duration_s
    from fanout.errors import ConfigError

    millis = round(1000 * duration_s(word, "--commit-interval"))
    if not 10 <= millis <= 20_000:
        raise ConfigError("--commit-interval", f"{word!r} is not from 10ms to 20s")
    return millis


def _is_of_group(scope: str, *, share: bool) -> bool:
    from fanout.errors import ConfigError

    if one_of(scope, ("process", "group"), "--rate-scope") == "group" and not share:
        raise ConfigError("--rate-scope", "a group's rate is shared by processes that share lanes: add --share")
    return scope == "group"


def _places(start: str | None, until: str | None, to: str | None) -> tuple[When | None, When | None]:
    import time

    from fanout.config.when import When, parse_when
    from fanout.errors import ConfigError

    now_ms = time.time_ns() // 1_000_000
    if until not in (None, "end"):
        raise ConfigError("--until", f"{until!r} is not known here: write --until end, or --to WHEN")
    if until and to:
        raise ConfigError("--to", "--until end names an end already")
    end = parse_when(to, "--to", now_ms) if to else When("latest") if until else None
    if end is not None and end.kind == "committed":
        raise ConfigError("--to", "committed is where it begins")
    return parse_when(start, "--from", now_ms) if start else None, end


class _Work(NamedTuple):
    """What blocks until the lanes are over, and what ends them."""

    run: Callable[[], Sequence[LaneEnd]]
    stop: Callable[[], None]


class _Ran(NamedTuple):
    """How the lanes ended, the exit code of a clean stop, and what grew meanwhile."""

    ends: Sequence[LaneEnd]
    code: int
    grown: Sequence[str]


def _run(session: Session, carry: Carry, forwarder: Forwarder, work: _Work) -> _Ran:
    """Runs the lanes with their progress shown."""
    from fanout.kafka.growth import Growth
    from fanout.kafka.standstill import Standstill
    from fanout.kafka.watch import Watch

    from .progress import Meter, open_progress
    from .signals import Stoppable

    meter = Meter()
    settings = carry.settings
    progress = open_progress(f"{settings.source} to {settings.target}", quiet=session.is_quiet)
    standstill = Standstill(session.cluster, settings.source, forwarder.stats)
    growth = Growth(session.cluster, settings)

    def glance() -> None:
        tick = _tick(carry, forwarder.stats(), meter)
        progress.show(replace(tick, note="; ".join(filter(None, (tick.note, standstill.note)))))

    running = Stoppable(work.run, work.stop, glance)
    try:
        with Watch(standstill.look, growth.look):
            ends = running.run()
        return _Ran(ends, running.exit_code, growth.lines)
    finally:
        progress.close()


def _share(session: Session, errand: Errand, carry: Carry, forwarder: CoreForwarder) -> int:
    """Carries the lanes that a group gives to this process.

    Where a lane begins that has no commit yet is said by the lane itself, once it owns its partition: said here, it
    could undo what another process has carried since we looked.
    """
    from confluent_kafka import Consumer

    from fanout.kafka.carry import is_finished
    from fanout.kafka.share import Sharing, consumer_properties

    properties = consumer_properties(session.clients.of("consumer", "lanes"), errand.group)
    consumer = Consumer(properties, logger=logging.getLogger("fanout.kafka"))
    sharing = Sharing(carry.settings, forwarder, consumer, lambda: is_finished(carry, session.cluster))
    sharing.shares_rate = errand.pace.of_group
    ran = _run(session, carry, forwarder, _Work(sharing.run, sharing.stop))
    session.show(_answer(errand, carry, ran, forwarder.stats(), moves=sharing.moves))
    return _exit_code(ran.ends) or ran.code


def _tick(carry: Carry, lanes: Sequence[LaneStats], meter: Meter) -> Tick:
    from fanout.config.durations import duration_text

    from .progress import Tick

    done = sum(max(0, lane.position - carry.begin.get(lane.partition, lane.position)) for lane in lanes)
    end = carry.settings.end
    total = None if end is None else sum(max(0, end[p] - carry.begin.get(p, end[p])) for p in carry.settings.partitions)
    here = [lane.state for lane in lanes if lane.state not in ("idle", "ended")]
    waiting = here.count("waiting")
    note = f"{len(here)} lanes" + (f", {waiting} waiting for records" if waiting else "")
    throttled_ms = sum(lane.throttled_ms for lane in lanes)
    note += f", held back {duration_text(throttled_ms / 1000)} by quotas" if throttled_ms else ""
    meter.add(done)
    eta_s = meter.eta_s(total - done) if total is not None else None
    return Tick(done=done, total=total, rate=meter.rate, eta_s=eta_s, note=note)


def _exit_code(ends: Sequence[LaneEnd]) -> int:
    """6 when fenced, 75 when only unreachable, else 1; 0 when no lane failed."""
    codes = {end.error.exit_code for end in ends if end.error is not None}
    for code in (6, 75):
        if codes == {code} or (code == 6 and code in codes):
            return code
    return 1 if codes else 0


def _answer(errand: Errand, carry: Carry, ran: _Ran, stats: Sequence[LaneStats], **more: object) -> Answer:
    seen = {lane.partition: lane for lane in stats}
    lanes = [_lane(end, carry, seen) for end in sorted(ran.ends, key=lambda end: end.partition)]
    above = [str(one) for one in carry.above]
    left_out = [str(one) for one in carry.left_out]
    return Answer(
        document={
            "source": errand.source.topic,
            "target": errand.target,
            "group": errand.group,
            "lanes": lanes,
            "above_the_end": above,
            "metrics": _metrics(stats),
            "skipped": [str(one) for one in carry.skipped],
            "left_out": left_out,
            "grown": list(ran.grown),
            **more,
        },
        columns=("partition", "from", "to", "records", "outcome", "batches", "error"),
        rows=[_row(lane) for lane in lanes],
        after=[
            *(f"skipped on your word: {one}" for one in carry.skipped),
            *(f"left out for good: {line}" for line in left_out),
            *(f"left above the end: {line}" for line in above),
            *ran.grown,
            *(
                f"partition {one['partition']}: quotas held it back {one['throttled_ms']} ms"
                for one in lanes
                if one["throttled_ms"]
            ),
        ],
    )


def _row(lane: Mapping[str, Any]) -> Sequence[str | int | float | None]:
    batches = ", ".join(f"{way} {count}" for way, count in sorted(lane["batches"].items()))
    return (*(lane[name] for name in ("partition", "from", "to", "records", "outcome")), batches, lane["error"])


def _metrics(stats: Sequence[LaneStats]) -> dict[str, int]:
    """Counters of the whole process under the names that a metrics page gives them."""
    batches = Counter[str]()
    for lane in stats:
        batches.update(lane.batches)
    ways = {tuple(way.split(":")): count for way, count in sorted(batches.items())}
    return {
        "fanout_forwarded_bytes_total": sum(lane.bytes for lane in stats),
        **{f'fanout_forward_batches_total{{way="{way}",reason="{why}"}}': count for (way, why), count in ways.items()},
    }


def _lane(end: LaneEnd, carry: Carry, seen: Mapping[int, LaneStats]) -> dict[str, Any]:
    lane = seen.get(end.partition)
    return {
        "partition": end.partition,
        "from": end.began if end.began >= 0 else carry.begin.get(end.partition),
        "to": end.position if end.position >= 0 else None,
        "records": end.forwarded,
        "bytes": lane.bytes if lane else 0,
        "commits": lane.commits if lane else 0,
        "renewals": lane.renewals if lane else 0,
        "resends": lane.resends if lane else 0,
        "stripped_headers": lane.stripped if lane else 0,
        "throttled_ms": lane.throttled_ms if lane else 0,
        "batches": dict(lane.batches) if lane else {},
        "outcome": end.outcome,
        "error": str(end.error) if end.error is not None else None,
    }
