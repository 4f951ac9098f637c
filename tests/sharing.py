"""Processes that share the lanes of one source, join, leave and are killed at random, while the source is fed."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import Running
from conftest import unique_name
from oracle import Expectation, Recipe
from oracle.generate import Generator
from oracle.placement import java_placement
from oracle.prove import Carried, prove
from oracle.read import Follower

if TYPE_CHECKING:
    from conftest import Kafka, Topics

__all__ = ["Figures", "Plan", "share_and_prove"]

KEPT = {"retention.ms": "-1"}
SOURCES = 6
TARGETS = 4
PROCESSES = 3
START_S = 90.0
END_S = 120.0
MOST_S = 180.0
"""What is planned may take so much longer, where too little has happened by then."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, at how many records a second, and how long it is quiet between two deeds.

    moves, kills: how many there are at least, however long that takes.
    """

    seconds: float
    rate: int
    pause_s: tuple[float, float] = (0.5, 2.0)
    moves: int = 0
    kills: int = 0


@dataclass
class Figures:
    """What happened. moves: how often a process was given lanes. renewals: transactions that were given up."""

    joins: int = 0
    leaves: int = 0
    kills: int = 0
    moves: int = 0
    renewals: int = 0

    def note(self, running: Running) -> None:
        """Adds the last word of one process that was told to leave."""
        document = running.wait(END_S).require().document
        assert all(lane["outcome"] in ("stopped", "moved") for lane in document["lanes"]), document
        self.renewals += sum(lane["renewals"] for lane in document["lanes"])

    def __str__(self) -> str:
        return f"joins={self.joins} leaves={self.leaves} kills={self.kills} moves={self.moves} renewals={self.renewals}"


class Troupe:
    """At most `PROCESSES` forwarders of one group; one of them is never sent away."""

    def __init__(self, bootstrap: str, arguments: tuple[str, ...], stack: ExitStack) -> None:
        self.figures = Figures()
        self._bootstrap = bootstrap
        self._arguments = arguments
        self._stack = stack
        self._dice = random.Random(6)
        self._stays = self._join()
        wait_for("given partitions", self._stays)
        self._others: list[Running] = []

    def act(self, plan: Plan) -> None:
        """One thing happens, and then nothing for a while."""
        deed = self._dice.choices(("join", "leave", "kill"), (4, 3, 2))[0]
        is_full = len(self._others) + 1 == PROCESSES
        if not self._others or (deed == "join" and not is_full):
            self._others.append(self._join())
            wait_for("given partitions", self._others[-1])
        elif deed != "join":
            self._send_away(self._others.pop(self._dice.randrange(len(self._others))), deed)
        time.sleep(self._dice.uniform(*plan.pause_s))

    def has_done(self, plan: Plan) -> bool:
        """Whether enough has happened."""
        moves = self.figures.moves + sum(moves_of(running) for running in [*self._others, self._stays])
        return moves >= plan.moves and self.figures.kills >= plan.kills

    def end(self) -> None:
        """All leave cleanly."""
        for running in [*self._others, self._stays]:
            self.figures.moves += moves_of(running)
            running.signal(signal.SIGTERM)
        for running in [*self._others, self._stays]:
            self.figures.note(running)

    def _join(self) -> Running:
        self.figures.joins += 1
        return self._stack.enter_context(Running(self._bootstrap, *self._arguments))

    def _send_away(self, running: Running, deed: str) -> None:
        assert running.runs, f"a process left by itself:\n{running.said()}"
        self.figures.moves += moves_of(running)
        if deed == "kill":
            self.figures.kills += 1
            running.kill()
            return
        self.figures.leaves += 1
        running.signal(signal.SIGTERM)
        self.figures.note(running)


def moves_of(running: Running) -> int:
    """How often it was given lanes."""
    return running.said().count("given partitions")


def wait_for(words: str, running: Running) -> None:
    """Until the process says so."""
    deadline = time.monotonic() + START_S
    while words not in running.said():
        assert running.runs, running.said()
        assert time.monotonic() < deadline, f"no {words!r} within {START_S:g} s:\n{running.said()}"
        time.sleep(0.05)


def share_and_prove(kafka: Kafka, topics: Topics, plan: Plan) -> Figures:
    """Feeds, lets processes come and go, carries the rest, and proves what arrived."""
    source, target, group = topics("source", SOURCES, KEPT), topics("target", TARGETS, KEPT), unique_name("g")
    generator = Generator(kafka.bootstrap, source, Recipe(value_bytes=100))
    arguments = ("forward", "-t", source, "-g", group, "--to-topic", target, "--from", "earliest", "--share")
    with Follower(kafka.bootstrap, target) as follower, ExitStack() as stack:
        troupe = Troupe(kafka.bootstrap, (*arguments, "-o", "json"), stack)
        with generator.feed(plan.rate):
            until = time.monotonic() + plan.seconds
            while (now := time.monotonic()) < until or (now < until + MOST_S and not troupe.has_done(plan)):
                troupe.act(plan)
        troupe.end()
        # Two of them end by themselves when there is nothing left, whichever carries the last of it.
        lasts = [stack.enter_context(Running(kafka.bootstrap, *arguments, "--until", "end")) for _ in range(2)]
        for last in lasts:
            last.wait(END_S).require()
    prove(
        Carried(bootstrap=kafka.bootstrap, source=source, target=target, group=group),
        Expectation(recipe=generator.recipe, ledger=generator.ledger, placement=java_placement(TARGETS)),
        follower=follower,
    )
    print(troupe.figures)
    return troupe.figures
