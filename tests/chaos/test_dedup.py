"""Workers that share a store of claims, killed and stopped: who takes over, how soon, and what runs twice."""

from __future__ import annotations

import os
import signal
import time

import pytest

from broker.working import wait_until
from chaos.once_stage import Stage, stage
from fanout.dedup.store import OWNER_LIFE_S
from fanout.work.supervisor import Supervisor
from killing import freeze

__all__ = ["stage"]

NAP_S = "4"
"""Of a handler: so long after the first of many has begun, none has ended."""


def test_what_a_killed_worker_had_in_hand_is_taken_over_once_its_owner_key_has_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3_000
    monkeypatch.setenv("ONCE_NAP_S", NAP_S)
    stage.fill(count)
    with stage.working(2) as supervisor:
        victim = frozen_with(900, stage, supervisor)
        in_hand = stage.in_hand(victim)
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        wait_until(lambda: in_hand <= begun_by_others(stage, victim), "taken over")
        took_over_s = time.monotonic() - killed_at
        wait_until(stage.is_finished, "finished")
        stats = supervisor.poll().processed[stage.topic]
    ended = stage.ended()
    twice = {name for name, times in ended.items() if times > 1}
    mine = {line.id for line in stage.lines() if line.pid == victim}
    print(
        f"records={count} lost={count - len(ended)} in_hand={len(in_hand)} taken_over_s={took_over_s:.1f} "
        f"ended_twice={len(twice)} repeats_suppressed={stats.get('repeated', 0)} in_sink={stage.in_sink()}"
    )
    assert len(in_hand) >= 900, "the kill came too late to tell anything"
    assert len(ended) == stage.in_sink() == count
    assert twice <= mine, "only the killed one may have left effects that were not marked"
    assert took_over_s < 45


def frozen_with(least: int, stage: Stage, supervisor: Supervisor) -> int:
    """A worker that has so many records in hand, and is stopped (SIGSTOP) with them."""
    found: list[int] = []

    def is_caught() -> bool:
        for pid in supervisor.pids():
            if len(stage.in_hand(pid)) >= least:
                freeze(pid)
                if len(stage.in_hand(pid)) >= least:
                    found.append(pid)
                    return True
                os.kill(pid, signal.SIGCONT)  # it has ended some before it stopped
        return False

    wait_until(is_caught, f"{least} in hand")
    return found[0]


def begun_by_others(stage: Stage, pid: int) -> set[str]:
    return {line.id for line in stage.lines() if line.pid != pid and line.kind == "begin"}


def test_a_worker_stopped_for_longer_than_its_owner_key_lives_is_refused_and_the_sink_has_each_effect_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 400
    monkeypatch.setenv("ONCE_NAP_S", NAP_S)
    stage.fill(count)
    with stage.working(2) as supervisor:
        victim = frozen_with(100, stage, supervisor)
        try:
            stopped_at = time.monotonic()
            in_hand = stage.in_hand(victim)
            wait_until(lambda: in_hand <= begun_by_others(stage, victim), "taken over")
            wait_until(lambda: stage.ended().keys() >= in_hand, "handled by its heirs")
            away_s = time.monotonic() - stopped_at
        finally:
            os.kill(victim, signal.SIGCONT)
        wait_until(lambda: not stage.in_hand(victim), "the stopped one went on")
        wait_until(stage.is_finished, "finished")
        lost = wait_for_lost(supervisor, stage.topic)
    ended = stage.ended()
    print(
        f"records={count} lost={count - len(ended)} in_hand={len(in_hand)} away_s={away_s:.1f} refused={lost} "
        f"most_effects={max(ended.values())} in_sink={stage.in_sink()}"
    )
    assert away_s > OWNER_LIFE_S / 2
    assert len(in_hand) >= 100
    assert len(ended) == stage.in_sink() == count
    assert max(ended.values()) == 2


def wait_for_lost(supervisor: Supervisor, topic: str) -> int:
    """Completions that were refused or came after another one's, as reported."""

    def refused() -> int:
        counts = supervisor.poll().processed[topic]
        return counts.get("dedup.lost", 0) + counts.get("dedup.already", 0)

    wait_until(refused, "a completion that comes too late is refused")
    return refused()
