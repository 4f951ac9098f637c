"""Handlers with every bad manner over one topic: all other records are done, and each bad one ends as promised."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from broker.working import wait_until
from killing import dead_letters, workers

if TYPE_CHECKING:
    from conftest import Lay, Topics

RECORDS = 600
DEAD = {100: "never-returns", 150: "base-exception", 200: "exit"}
"""Dead letters after their attempts."""

DEADLY = {50: "blocks", 300: "os-exit", 450: "segv"}
"""They take a process with them once, and are delivered again."""


def test_every_bad_manner_over_one_topic_costs_nobody_elses_record(topics: Topics, lay: Lay) -> None:
    dead = topics("dead")
    job = lay(
        topics("orders", 4),
        "misbehave",
        (b"key-%d" % (number % 90) for number in range(RECORDS)),
        faults={str(number): fault for number, fault in {**DEAD, **DEADLY}.items()},
        dlq=dead,
        sleep_s=[0.02, 0.05],
        timeout=2,
        concurrency=10,
    )
    with workers(job, workers=2, most_blocked_s=3) as supervisor:
        wait_until(lambda: supervisor.poll() and job.is_finished(), "the end", 120)
        alive = set(supervisor.pids())
        restarts = supervisor.stop().restarts
    names = {number: f"{job.topic}/{p}/{offset}" for (_, number), (p, offset) in job.acknowledged.items()}
    begun_by = defaultdict[str, set[int]](set)
    for line in job.handled.lines():
        begun_by[line.id].add(line.pid)
    ended = job.handled.ended()
    unexplained = [name for name, times in ended.items() if times > 1 and begun_by[name] <= alive]
    letters = dead_letters(job, dead)
    print(f"records={RECORDS} done={len(ended)} dead_letters={len(letters)} restarts={dict(restarts)} "
          f"repeats={ended.total() - len(ended)} unexplained={len(unexplained)}")  # fmt: skip
    assert sorted(letters) == sorted(names[number] for number in DEAD)
    assert ended.keys() == {name for number, name in names.items() if number not in DEAD}
    assert sum(restarts.values()) == len(DEADLY)
    assert unexplained == []
