"""
Partitions that a topic gains while it is carried.

A forwarder goes on with the partitions it began with: those of the source that are new are not carried by it, and
those of the target get nothing, since another count would send keys elsewhere in the middle of a run.
"""

from __future__ import annotations

import logging

from fanout.config.forward import ForwardSettings

from .ports import Cluster

__all__ = ["Growth"]

logger = logging.getLogger("fanout.forward")


class Growth:
    """Looks whether source or target have more partitions than at the start, and tells of it once."""

    def __init__(self, cluster: Cluster, settings: ForwardSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._began_with = {topic: cluster.partitions(topic) for topic in (settings.source, settings.target)}
        self._told: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        """What grew, a sentence each, the source first."""
        topics = (self._settings.source, self._settings.target)
        return [self._told[topic] for topic in topics if topic in self._told]

    def look(self) -> None:
        """Takes one look. Raises FanoutError when the cluster does not answer."""
        for topic, before in self._began_with.items():
            now = self._cluster.partitions(topic)
            if now <= before:
                continue
            line = self._source(before, now) if topic == self._settings.source else self._target(before, now)
            if self._told.get(topic) != line:
                logger.warning("%s", line)
            self._told[topic] = line

    def _source(self, before: int, now: int) -> str:
        new = f"{before}" if now == before + 1 else f"{before} to {now - 1}"
        topic = self._settings.source
        return f"{topic} has {now} partitions since: {new} not carried, start again with -t {topic} --from earliest"

    def _target(self, before: int, now: int) -> str:
        topic = self._settings.target
        return f"{topic} has {now} partitions since: this run goes on over {before}; a new start moves keys over all"
