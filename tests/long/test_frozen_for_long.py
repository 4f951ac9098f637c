"""A forwarder frozen for longer than its transactions may stay open: alone it goes on, replaced it ends."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from commands import Running, fanout
from faults.world import Road

if TYPE_CHECKING:
    from conftest import Kafka, Topics

FROZEN_S = 40.0
"""Ten seconds more than the coordinator waits before it aborts what nobody ends."""

FENCED = 6


@pytest.mark.parametrize("replaced", [False, True], ids=["alone", "replaced"])
def test_a_forwarder_frozen_past_its_transactions_timeout(kafka: Kafka, topics: Topics, replaced: bool) -> None:
    road = Road.laid(kafka.bootstrap, topics)
    with road.generator.feed(5_000), Running(kafka.bootstrap, *road.arguments) as frozen:
        road.wait_for_more(than=0)
        frozen.signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        if not replaced:
            frozen.signal(signal.SIGCONT)
            road.wait_for_more(than=road.visible())
            assert frozen.runs, frozen.said()
            frozen.signal(signal.SIGTERM)
            frozen.wait().require()
        else:
            with Running(kafka.bootstrap, *road.arguments):
                road.wait_for_more(than=road.visible())
                frozen.signal(signal.SIGCONT)
                woken = time.monotonic()
                ran = frozen.wait()
                print(f"exit_code={ran.code} exit_s={time.monotonic() - woken:.2f}")
                ran.require(FENCED)
    fanout(kafka.bootstrap, *road.arguments, "--until", "end").require()
    road.prove()
