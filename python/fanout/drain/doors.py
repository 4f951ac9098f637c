"""The real doors of a drain: Kafka, the compiled core and worker processes."""

from __future__ import annotations

from fanout._fanout import Cluster, Forwarder
from fanout.kafka.admin import Admin

from .crew import Crew, check_app
from .ports import Doors
from .settings import DrainSettings

__all__ = ["open_doors"]

MARKS_TIMEOUT_S = 3.0
"""A round without an answer keeps the old mark, so waiting longer than a round or two gains nothing."""


def open_doors(settings: DrainSettings) -> Doors:
    """Connects to what `settings` name. Nothing is dialled before the first question."""
    core = dict(settings.clients.of("core", "drain"))
    admin = Admin(settings.clients.of("admin", "drain"))
    return Doors(
        cluster=Cluster(core),
        marks=Cluster(core, timeout_s=MARKS_TIMEOUT_S),
        topics=admin.topics,
        groups=admin.groups,
        forwarder=Forwarder,
        workers=Crew,
        check_app=check_app,
    )
