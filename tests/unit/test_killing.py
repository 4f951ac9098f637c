"""What the log of workers that were killed is held to."""

from __future__ import annotations

from broker.working import Line
from killing import Kill, toll_of


def line(kind: str, pid: int, number: int) -> Line:
    return Line(kind, pid, f"key-{number}", number, f"t/0/{number}", 1)


def test_what_a_worker_told_of_excuses_its_own_repeats_and_nobody_elses() -> None:
    kills = [Kill(pid=1, running=1, in_flight=1, line=3)]
    toll = toll_of([*(line("begin", n, n) for n in (1, 2, 3)), *(line("begin", 4, n) for n in (1, 2, 3))], kills)
    assert toll.unexplained(kills, "") == 2
    assert toll.unexplained(kills, "1 workers ended with handlers that still ran; their records are read again") == 2
    assert (
        toll.unexplained(kills, "worker 2: t: a commit did not get through: x\nworker 9: t: lost partitions [0]") == 1
    )


def test_two_of_a_key_at_once_are_seen_and_one_that_died_unnamed_is_not_taken_for_living() -> None:
    crossed = [line("begin", 1, 7), line("begin", 2, 7), line("end", 1, 7), line("end", 2, 7)]
    assert toll_of(crossed, []).overlapping == ["t/0/7"]
    assert toll_of([crossed[0], crossed[1], crossed[3]], []).overlapping == []
