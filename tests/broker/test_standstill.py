"""A daemon held up by a transaction that nobody ends says by whom, and since when."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fanout._fanout import Cluster, Forwarder
from fanout.kafka.standstill import STILL_S, Standstill
from oracle import Recipe
from oracle.generate import Chunk, Generator

from .lanes import forwarding, settings
from .working import wait_until

if TYPE_CHECKING:
    from conftest import Kafka, Topics

SECOND = timedelta(seconds=1)


def test_a_lane_held_by_an_open_transaction_names_its_holder_once(
    kafka: Kafka, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = topics("source", 1, {"retention.ms": "-1"}), topics("target", 2)
    generator = Generator(kafka.bootstrap, source, Recipe(keys=20))
    generator.write(Chunk(records=10))
    before = datetime.now(UTC)
    held = generator.open(5)
    after = datetime.now(UTC)
    now = 0.0
    control = Cluster({"bootstrap.servers": kafka.bootstrap})

    with forwarding(settings(kafka.bootstrap, source, target, end=None)) as (forwarder, _):
        standstill = Standstill(control, source, forwarder.stats, lambda: now)
        wait_until(lambda: stands_at(forwarder) == [10], "the lane reaches the open transaction")
        standstill.look()
        assert standstill.note == "", "it has not stood for long"
        now = STILL_S
        with caplog.at_level(logging.WARNING, "fanout.forward"):
            standstill.look()
            standstill.look()
        said = [record.getMessage() for record in caplog.records if record.name == "fanout.forward"]
        print(f"held: {standstill.note}")

        held.commit()
        wait_until(lambda: forwarder.stats()[0].position > 10, "the lane goes on")
        standstill.look()
        assert standstill.note == ""

    assert len(said) == 1
    pattern = (
        rf"{source}/0 stands still below the high watermark 15: held at 10 by producer \d+ epoch 0 since offset 10 "
        rf"\(transactional id oracle-{source}-\S+, open since (\S+)Z\)"
    )
    found = re.fullmatch(pattern, said[0])
    assert found is not None, said[0]
    began = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    assert before - SECOND <= began <= after, "told in whole seconds"


def stands_at(forwarder: Forwarder) -> list[int]:
    """Where each lane waits that has nothing to carry."""
    return [lane.position for lane in forwarder.stats() if lane.state == "waiting"]
