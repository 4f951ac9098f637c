"""All handlers of one process, from start to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import confluent_kafka

from fanout._fanout import Cluster, Intake
from fanout.config.tokens import with_token_function

from .attempt import attempt_of
from .board import Board, Row, row
from .call import Means
from .claiming import claims_parts
from .dead_letter import DeadLetters, Guard
from .feed import Feed, Reading
from .letter import Scribe
from .link import Link
from .parking import Parking
from .post import Post
from .process import Suspect
from .properties import is_cooperative, member_properties, producer_properties, where_new
from .quarantine import Quarantine
from .retry_topic import Retries, at_its_time, returned
from .runtime import Parts, Runtime
from .start import Starts

if TYPE_CHECKING:
    from fanout.app import Handler
    from fanout.config.work import WorkSettings

__all__ = ["Worker", "group_of", "inlets", "of_retry_topic", "with_parking"]

KAFKA_LOG = logging.getLogger("fanout.kafka")


@dataclass(frozen=True, slots=True)
class Station:
    """One handler with its consumer."""

    topic: str
    runtime: Runtime
    feed: Feed
    intake: Intake


@dataclass(frozen=True, slots=True)
class Inlet:
    """A topic whose records a handler gets: its own, or its retry topic. The guard counts over both."""

    handler: Handler
    topic: str
    guard: Guard
    is_retry: bool = False


class Worker:
    """Runs handlers until `stop` is called or one of them cannot go on. Made on the loop it runs on."""

    def __init__(self, settings: WorkSettings, handlers: list[Handler], group: str, board: int | None = None) -> None:
        """`board` is an open file for `Board`."""
        self._stop = asyncio.Event()
        self._settings = settings
        chosen = [inlet for handler in handlers for inlet in inlets(settings, handler)]
        slots = [settings.concurrency or inlet.handler.concurrency for inlet in chosen]
        rows = map(row, slots) if board is None else Board(board, slots).rows
        self._stations = [station(settings, inlet, group, places) for inlet, places in zip(chosen, rows, strict=True)]

    def stop(self) -> None:
        """Lets running handlers finish as long as they may, commits, and ends `run`. From the loop's own thread."""
        self._stop.set()

    async def run(self) -> None:
        """Works until the stop; raises what made it stop otherwise."""
        if self._stop.is_set():
            return  # to join the group now would only move the others' partitions
        for each in self._stations:
            each.runtime.start()
            each.feed.start(each.runtime)
        failures = [each.runtime.failed for each in self._stations]
        stopped = asyncio.create_task(self._stop.wait())
        either: list[asyncio.Future[Any]] = [stopped, *failures]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await asyncio.gather(*(each.feed.stop() for each in self._stations))
        await asyncio.gather(*(each.runtime.leave() for each in self._stations))
        for each in self._stations:
            each.runtime.stop()
        for failure in failures:
            if failure.done():
                raise failure.result()

    def suspect(self, suspects: Sequence[Suspect]) -> None:
        """Has these records run alone from now on."""
        for each in self._stations:
            mine = {(partition, offset): deaths for topic, partition, offset, deaths in suspects if topic == each.topic}
            each.runtime.suspect(mine)

    def tell_members(self, joined: Callable[[str], object]) -> None:
        """Has `joined` told what each group knows this process by, as soon as it does; from any thread."""
        for each in self._stations:
            each.feed.joined = joined

    def rows(self) -> list[tuple[str, int]]:
        """The topic and the number of slots of each handler, in the order of the board."""
        return [(each.topic, each.runtime.slots) for each in self._stations]

    def culprit(self, task: asyncio.Task[Any] | None) -> str:
        """Names what `task` runs: a record, if it is a slot. From any thread."""
        names = [name for each in self._stations if (name := each.runtime.run_by(task)) is not None]
        return f"the handler of {names[0]}" if names else f"{task.get_name() if task else 'a callback'}"

    def stats(self) -> dict[str, dict[str, Any]]:
        """Figures of each handler, by its topic, as values that JSON knows."""
        return {each.topic: _stats(each) for each in self._stations}


def group_of(settings: WorkSettings, app_name: str) -> str:
    """The consumer group: the one that was named, else the app's name."""
    return settings.group or app_name


def inlets(settings: WorkSettings, handler: Handler) -> list[Inlet]:
    """What is read for one handler."""
    if settings.run is not None and handler.on_dead_letter == "park_key":
        # Behind a dead letter the key would wait in another topic, and the run would end without it: here it waits.
        handler = replace(handler, dead_letters=None, on_dead_letter="go_on")
    guard = Guard(settings.dead_letter_share, settings.dead_letter_window)
    own = Inlet(handler, handler.topic, guard)
    return [own] if handler.retry_topic is None else [own, Inlet(handler, handler.retry_topic, guard, is_retry=True)]


def station(settings: WorkSettings, inlet: Inlet, group: str, places: Row) -> Station:
    """Puts the parts of one inlet together. Nothing is read yet."""
    run, handler = settings.run, inlet.handler
    topic = run.topic if run else inlet.topic
    limits = (settings.in_flight_records, settings.in_flight_bytes)
    intake = Intake(topic, handler.order_by, limits=limits, run=(run.run, run.sources) if run else None)
    parking = Parking(topic) if handler.on_dead_letter == "park_key" and run is None else None
    properties = member_properties(settings, group, topic)
    starts = Starts(
        cluster=Cluster(dict(settings.clients.of("core", "work"))),
        topic=topic,
        group=group,
        run=run,
        # What stands in a retry topic was written by this group: it begins nowhere but at the start.
        where_new="earliest" if inlet.is_retry else where_new(settings),
    )
    reading = Reading(
        topic=topic,
        group=group,
        cooperative=is_cooperative(properties),
        stop_s=settings.stop_s,
        commit_s=settings.commit_s,
        records=settings.in_flight_records,
        parking=parking,
    )
    told = {**with_token_function(properties), "error_cb": lambda error: feed.note_error(error)}  # noqa: PLW0108  made below
    feed: Feed = Feed(reading, confluent_kafka.Consumer(told, logger=KAFKA_LOG), intake, starts)
    parts = _parts(settings, inlet, group, intake)
    return Station(
        inlet.topic, Runtime(replace(with_parking(parts, parking), places=places), feed.made_room), feed, intake
    )


def _parts(settings: WorkSettings, inlet: Inlet, group: str, intake: Intake) -> Parts:
    handler, source = inlet.handler, settings.run.source if settings.run else None
    concurrency = settings.concurrency or handler.concurrency
    link = Link()
    means = Means(threads=ThreadPoolExecutor(concurrency, f"handler-{inlet.topic}"), link=link)
    post = None if handler.dead_letters is None and handler.retry_topic is None else _post(settings)
    attempt = attempt_of(handler, source, means)
    parts = Parts(
        handler=handler,
        intake=intake,
        attempt=attempt,
        quarantine=Quarantine(settings, handler, attempt),
        dead_letters=_dead_letters(settings, handler, group, post),
        guard=inlet.guard,
        concurrency=concurrency,
        source=source,
        link=link,
        claims=None if settings.dedup is None else claims_parts(settings, handler, settings.dedup),
        retries=None if post is None or handler.retry_topic is None else Retries(handler.retry_topic, post),
    )
    return of_retry_topic(parts) if inlet.is_retry else parts


def with_parking(parts: Parts, parking: Parking | None) -> Parts:
    """The same where keys wait behind their dead letters, if they do."""
    if parking is None:
        return parts
    if parts.quarantine is not None:
        parts.quarantine.wrap(parking.guarded)
    claims = None if parts.claims is None else replace(parts.claims, kept=parking.kept)
    return replace(parts, attempt=parking.guarded(parts.attempt), parking=parking, claims=claims)


def of_retry_topic(parts: Parts) -> Parts:
    """The same for records that come again: they are taken for what they were, at their time."""
    claims = parts.claims
    if claims is not None:
        named = claims.identify
        claims = replace(claims, identify=lambda raw: named(returned(raw)))
    if parts.quarantine is not None:
        parts.quarantine.wrap(at_its_time)
    return replace(parts, attempt=at_its_time(parts.attempt, parts.clock.now_s), view=returned, claims=claims)


def _post(settings: WorkSettings) -> Post:
    return Post(confluent_kafka.Producer(with_token_function(producer_properties(settings)), logger=KAFKA_LOG))


def _dead_letters(settings: WorkSettings, handler: Handler, group: str, post: Post | None) -> DeadLetters | None:
    if post is None or handler.dead_letters is None:
        return None
    run = settings.run
    scribe = Scribe(
        group=group,
        dialect=handler.dialect,
        source=run.source if run else None,
        labels=(("fanout.run", run.run),) if run else (),
    )
    return DeadLetters(handler.dead_letters, post, scribe)


def _stats(each: Station) -> dict[str, Any]:
    records, size = each.intake.in_flight()
    claims = each.runtime.claims
    return {
        "outcomes": {**each.runtime.outcomes, **({} if claims is None else claims.told())},
        "running": each.runtime.running(),
        "in_flight": records,
        "in_flight_bytes": size,
        "parked": each.runtime.parked_count(),
        "parked_named": [*(() if claims is None else claims.troubles()), *each.runtime.parked()],
        "late": each.intake.late(),
        # JSON knows text keys only.
        "committed": {str(partition): offset for partition, offset in each.feed.committed.copy().items()},
    }
