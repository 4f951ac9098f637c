"""What must hold before a worker is started; nothing is changed by looking."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fanout.dedup.checkup import check_store
from fanout.errors import ConfigError, RefusedError

from .ask import NEVER, ask_about_app
from .properties import consumer_properties

if TYPE_CHECKING:
    import threading

    from fanout.config.work import WorkSettings

__all__ = ["Checked", "Topics", "check_work"]

logger = logging.getLogger("fanout.work")


class Topics(Protocol):
    """What is asked of `fanout._fanout.Cluster`."""

    def partitions(self, topic: str) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What will run: the group, the topics that are read, where dead letters go, and what comes again later."""

    group: str
    topics: tuple[str, ...]
    dead_letters: tuple[str, ...]
    retry_topics: tuple[str, ...] = ()


def check_work(settings: WorkSettings, cluster: Topics, given_up: threading.Event = NEVER) -> Checked:
    """Imports the app in a process of its own and looks at every topic it needs.

    Raises ConfigError for the app, its handlers or properties, RefusedError for a topic that does not exist,
    NotFinishedError when `given_up` was set before the import ended.
    """
    app = ask_about_app(settings, given_up)
    group = settings.group or app["name"]
    consumer_properties(settings, group)
    handlers = _chosen(app, settings)
    _check_dedup(settings, handlers)
    for handler in handlers:
        _check_order(handler, settings)
        if handler["ack"] == "on_receive":
            logger.warning("the handler of %s settles records before it runs: a crash loses those it runs",
                           handler["topic"])  # fmt: skip
    topics = (settings.run.topic,) if settings.run else tuple(handler["topic"] for handler in handlers)
    for topic in topics:
        cluster.partitions(topic)
    dead_letters = sorted({handler["dead_letters"] for handler in handlers if handler["dead_letters"] is not None})
    for topic in dead_letters:
        _check_dead_letters(topic, cluster)
    retry_topics = [handler["retry_topic"] for handler in handlers if handler["retry_topic"] is not None]
    _check_retry_topics(retry_topics, topics, cluster)
    return Checked(group=group, topics=topics, dead_letters=tuple(dead_letters), retry_topics=tuple(retry_topics))


def _chosen(app: dict[str, Any], settings: WorkSettings) -> list[dict[str, Any]]:
    by_topic = {handler["topic"]: handler for handler in app["handlers"]}
    wanted = [settings.run.source] if settings.run else list(settings.topics) or sorted(by_topic)
    for topic in wanted:
        if topic not in by_topic:
            known = ", ".join(sorted(by_topic))
            raise ConfigError("--topic", f"{settings.app} handles {known}, not {topic}")
    return [by_topic[topic] for topic in wanted]


def _check_dedup(settings: WorkSettings, handlers: list[dict[str, Any]]) -> None:
    if settings.dedup is None:
        for topic in (handler["topic"] for handler in handlers if handler["names_key"]):
            logger.warning("the handler of %s has a key=, and no store is named: repeats run; see [dedup] url", topic)
        return
    if settings.dedup.url.startswith("memory:") and settings.workers > 1:
        raise ConfigError("dedup.url", "each worker has a memory of its own: use sqlite:///… or redis://…")
    for remark in check_store(settings.dedup):
        logger.warning("dedup: %s", remark)


def _check_order(handler: dict[str, Any], settings: WorkSettings) -> None:
    if settings.run is not None and handler["order_by"] == "partition":
        raise ConfigError(
            f"order_by of the handler of {handler['topic']}",
            'a run spreads each partition over several: only the order of keys is kept, use order_by="key"',
        )
    if settings.run is not None and handler["retry_topic"] is not None:
        raise ConfigError(
            f"retry_topic of the handler of {handler['topic']}",
            "in a run records are tried again in place, else it could not be proven that all of them were finished",
        )


def _check_retry_topics(retry_topics: list[str], topics: tuple[str, ...], cluster: Topics) -> None:
    for topic in retry_topics:
        if topic in topics or retry_topics.count(topic) > 1:
            raise ConfigError("retry_topic", f"{topic} is read by another handler: retries need a topic of their own")
        try:
            cluster.partitions(topic)
        except RefusedError as error:
            raise RefusedError(
                f"the retry topic {topic} does not exist",
                f"create it, name another with retry_topic=..., or leave that out to retry in place ({error})",
            ) from error


def _check_dead_letters(topic: str, cluster: Topics) -> None:
    try:
        cluster.partitions(topic)
    except RefusedError as error:
        raise RefusedError(
            f"the dead-letter topic {topic} does not exist",
            f"create it, name another with dlq=..., or keep failed records in their place with dlq=None ({error})",
        ) from error
