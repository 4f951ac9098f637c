"""Who handles: fanout, and everything it is measured beside."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from peers.environments import python_of

__all__ = [
    "AIOKAFKA",
    "ARROYO",
    "CONFLUENT",
    "CONFLUENT_GATHER",
    "FANOUT",
    "FASTSTREAM_AIOKAFKA",
    "FASTSTREAM_AIOKAFKA_1",
    "FASTSTREAM_CONFLUENT",
    "FASTSTREAM_CONFLUENT_1",
    "FAUST",
    "FLOOR",
    "PYRALLEL",
    "QUIX",
    "Runtime",
]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One way to handle records: a module that is run, and reads its order from the environment.

    lock: which peers' interpreter runs it; empty is ours.
    environment: what its process finds besides.
    """

    name: str
    module: str
    lock: str = "peers"
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    def command(self) -> list[str]:
        """What starts it. Raises MissingError if it cannot be installed here."""
        return [str(python_of(self.lock)) if self.lock else sys.executable, "-m", self.module]


def _peer(name: str, module: str, lock: str = "peers", **environment: str) -> Runtime:
    return Runtime(name=name, module=f"peers.workers.{module}", lock=lock, environment=environment)


FANOUT = Runtime(name="fanout", module="work.engine", lock="")
FLOOR = Runtime(name="no Kafka: tasks alone", module="work.floor", lock="")
CONFLUENT = _peer("confluent-kafka, one by one", "confluent_sequential")
CONFLUENT_GATHER = _peer("confluent-kafka, gather", "confluent_gather")
AIOKAFKA = _peer("aiokafka, gather", "aiokafka_gather")
FASTSTREAM_CONFLUENT = _peer("FastStream confluent, 500", "faststream_confluent", FASTSTREAM_WORKERS="500")
FASTSTREAM_CONFLUENT_1 = _peer("FastStream confluent", "faststream_confluent", FASTSTREAM_WORKERS="1")
FASTSTREAM_AIOKAFKA = _peer("FastStream aiokafka, 500", "faststream_aiokafka", FASTSTREAM_WORKERS="500")
FASTSTREAM_AIOKAFKA_1 = _peer("FastStream aiokafka", "faststream_aiokafka", FASTSTREAM_WORKERS="1")
PYRALLEL = _peer("pyrallel-consumer", "pyrallel")
QUIX = _peer("quixstreams", "quix", lock="quix")
ARROYO = _peer("sentry-arroyo", "arroyo_tasks")
FAUST = _peer("faust-streaming", "faust_agent")
