"""Workers join, leave and are killed: nothing is lost, and a conditional sink has the effect of each record once."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from storm import Deed, Sink, Storm

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Lay, Topics

KEYS = 400
OPEN = 2_000
DEEDS: tuple[Deed, ...] = ("join", "kill", "join", "leave", "kill", "kill", "leave")


def test_workers_that_come_and_go_repeat_what_was_in_flight_and_a_conditional_sink_takes_it_once(
    topics: Topics, lay: Lay, tmp_path: Path
) -> None:
    sink = Sink(tmp_path / "effects.db")
    job = lay(topics("orders", 12), "sink", [], effects=str(sink.path), sleep_s=[0.02, 0.12], concurrency=20)
    storm = Storm(job, keys=KEYS, least=OPEN)
    storm.blow(DEEDS, random.Random(5))
    toll = storm.toll()
    applied, naive = sink.effects()
    print(f"effects={sum(applied.values())} writes={naive} kept_out={naive - len(job.acknowledged)}")
    job.verdict().require()
    assert [kill for kill in storm.kills if toll.repeats[kill.pid] != kill.in_flight] == []
    assert toll.unexplained(storm.kills, storm.said) == 0
    assert toll.overlapping == []
    assert applied == Counter(key for key, _ in job.acknowledged)
    assert naive > len(job.acknowledged), "no repeat reached the sink: the run is void"
