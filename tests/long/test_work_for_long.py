"""Workers that are killed, come and go for minutes: nothing is lost, and no process grows."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from broker.working import wait_until
from killing import kill_every, toll_of, workers
from storm import Deed, Sink, Storm

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from conftest import Lay, Topics

RECORDS = 200_000
KEYS = 5_000
KILLS = 60
DEEDS = 90
FLAT_S = 300.0
SETTLED_S = 60.0
MOST_GROWTH = 1.1


def test_60_kills_over_64_partitions_leave_nothing_unhandled(
    topics: Topics, lay: Lay, caplog: pytest.LogCaptureFixture
) -> None:
    keys = (b"key-%d" % (number % KEYS) for number in range(RECORDS))
    job = lay(topics("orders", 64), "nap", keys, sleep_s=[0.01, 0.15], concurrency=25)
    with workers(job, workers=4) as supervisor:
        kills = kill_every(2.0, job, supervisor, KILLS, KEYS)
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end", 900)
        supervisor.stop()
    toll = toll_of(job.handled.lines(), kills)
    toll.report(kills)
    print(f"kills={len(kills)} repeats={toll.repeats.total()} of_survivors={toll.of_survivors(kills)} "
          f"overlapping={len(toll.overlapping)}")  # fmt: skip
    job.verdict().require()
    assert [kill for kill in kills if toll.repeats[kill.pid] > kill.in_flight] == []
    assert toll.unexplained(kills, caplog.text) == 0
    assert toll.overlapping == []


def test_a_storm_of_90_deeds_repeats_what_was_in_flight_and_a_conditional_sink_takes_it_once(
    topics: Topics, lay: Lay, tmp_path: Path
) -> None:
    sink = Sink(tmp_path / "effects.db")
    job = lay(topics("orders", 24), "sink", [], effects=str(sink.path), sleep_s=[0.02, 0.12], concurrency=20)
    storm = Storm(job, keys=800, least=4_000)
    storm.blow(some_deeds(), random.Random(8))
    toll = storm.toll()
    applied, naive = sink.effects()
    print(f"effects={sum(applied.values())} writes={naive} kept_out={naive - len(job.acknowledged)}")
    job.verdict().require()
    assert len(storm.kills) >= DEEDS // 4, "too few were killed: the run is void"
    assert [kill for kill in storm.kills if toll.repeats[kill.pid] != kill.in_flight] == []
    assert toll.unexplained(storm.kills, storm.said) == 0
    assert toll.overlapping == []
    assert applied == Counter(key for key, _ in job.acknowledged)
    assert naive > len(job.acknowledged), "no repeat reached the sink: the run is void"


def some_deeds() -> Iterator[Deed]:
    """Deeds that leave one to four commands."""
    dice, others = random.Random(7), 0
    for _ in range(DEEDS):
        deed: Deed = dice.choice(("join", "leave", "kill"))
        if (deed == "join" and others == 3) or (deed == "leave" and not others):
            deed = "kill"
        others += {"join": 1, "leave": -1, "kill": 0}[deed]
        yield deed


def test_a_worker_does_not_grow_over_five_minutes_of_work(topics: Topics, lay: Lay) -> None:
    dead = topics("dead")
    job = lay(topics("orders", 8), "cursed", [], dlq=dead, cursed=list(range(0, 1_000_000, 997)), sleep_s=[0, 0.002])
    sizes = list[int]()
    with workers(job, dead_letter_share=0.05) as supervisor:
        job.top_up(KEYS, 20_000)
        wait_until(job.handled.lines, "the first records")
        began = time.monotonic()
        while time.monotonic() < began + FLAT_S:
            job.top_up(KEYS, 20_000)
            if time.monotonic() > began + SETTLED_S:
                sizes.append(resident_kib(supervisor.pids()[0]))
            time.sleep(1)
        restarts = supervisor.stop().restarts
    half = len(sizes) // 2
    early, late = sorted(sizes[:half])[half // 2], sorted(sizes[half:])[half // 2]
    print(f"records={len(job.handled.ended())} resident_early_kib={early} resident_late_kib={late} most={max(sizes)}")
    assert restarts == {}
    assert late < MOST_GROWTH * early


def resident_kib(pid: int) -> int:
    """Memory of a process that is its own."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])
