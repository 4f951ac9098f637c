"""Handlers with every bad manner over one topic: all other records are done, and each bad one ends as promised."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from broker.working import wait_until
from killing import dead_letters, workers

if TYPE_CHECKING:
    from broker.working import Line
    from conftest import Lay, Topics
    from killing import Job

RECORDS = 600
KEYS = 90
DEAD = {100: "never-returns", 150: "base-exception", 200: "exit"}
"""Dead letters after their attempts."""

DEADLY = {50: "blocks", 300: "os-exit", 450: "segv"}
"""They take a process with them once, and are delivered again."""


def test_every_bad_manner_over_one_topic_costs_nobody_elses_record(topics: Topics, lay: Lay) -> None:
    dead = topics("dead")
    job = lay(
        topics("orders", 4),
        "misbehave",
        (b"key-%d" % (number % KEYS) for number in range(RECORDS)),
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
    ended = job.handled.ended()
    unexplained = repeated_for_nothing(job, alive)
    letters = dead_letters(job, dead)
    print(f"records={RECORDS} done={len(ended)} dead_letters={len(letters)} restarts={dict(restarts)} "
          f"repeats={ended.total() - len(ended)} unexplained={len(unexplained)}")  # fmt: skip
    assert set(letters) == {names[number] for number in DEAD}
    assert [name for name, times in Counter(letters).items() if times > times_taken_up(job, name)] == []
    assert ended.keys() == {name for number, name in names.items() if number not in DEAD}
    assert sum(restarts.values()) == len(DEADLY)
    assert unexplained == []


def times_taken_up(job: Job, name: str) -> int:
    """How often a record was begun anew: by another process, or again by one that had given it up."""
    begun = [line for line in job.handled.lines() if line.id == name and line.kind == "begin"]
    return max(len({line.pid for line in begun}), sum(line.attempt == 1 for line in begun))


def repeated_for_nothing(job: Job, alive: set[int]) -> list[str]:
    """Records that living processes ended twice though the first of them could have committed them when it gave their
    partition up: nothing below them was unfinished. Who waits for a stuck one, or for one of its key, is repeated."""
    lines = job.handled.lines()
    begun_by, ends = defaultdict[str, set[int]](set), defaultdict[str, list[int]](list)
    for number, line in enumerate(lines):
        begun_by[line.id].add(line.pid)
        if line.kind == "end":
            ends[line.id].append(number)
    twice = [name for name, found in ends.items() if len(found) > 1 and begun_by[name] <= alive]
    return [name for name in twice if could_be_committed(name, lines, ends[name][0])]


def could_be_committed(name: str, lines: list[Line], ended_at: int) -> bool:
    """Whether its owner had finished all that it had begun below `name` when the next owner of the partition began."""
    owner, partition = lines[ended_at].pid, partition_of(name)
    moved_at = next(
        number
        for number, line in enumerate(lines)
        if number > ended_at and partition_of(line.id) == partition and (line.pid != owner or line.id == name)
    )
    if lines[moved_at].pid == owner:
        return True  # it did not move at all
    finished: dict[int, bool] = {}
    for line in lines[:moved_at]:
        if line.pid == owner and partition_of(line.id) == partition:
            finished[offset_of(line.id)] = line.kind == "end"
            if line.sequence - KEYS in DEAD:  # of its key: what is dead has no end, and this one waited for it
                dead = next(one for one in lines if one.sequence == line.sequence - KEYS)
                finished[offset_of(dead.id)] = True
    return all(finished.get(offset) for offset in range(min(finished), offset_of(name)))


def partition_of(name: str) -> str:
    return name.rpartition("/")[0]


def offset_of(name: str) -> int:
    return int(name.rpartition("/")[2])
