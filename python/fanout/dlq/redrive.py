"""
Putting letters back: planned by one reading, done by another.

The letters and the note that they went back are written in one transaction. An interrupted redrive leaves none
half done, the next one goes on behind it, and one that finds nothing more to do writes nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .choice import Choice, Going, Why
from .ground import Ground
from .sender import Sender

if TYPE_CHECKING:
    from fanout._fanout import Cluster
    from fanout.message import KafkaMessage

    from .choice import Rules
    from .reader import Reader, Spans

__all__ = ["Job", "Redrive", "Score"]

MOST_LETTERS = 500
MOST_S = 1.0
"""A transaction ends at whichever comes first: readers of the target wait for its end."""

MOST_NAMED = 5


@dataclass(slots=True)
class Score:
    """Letters by what became of them, or would: put back, by target; back already; staying, by reason."""

    going: Counter[str] = field(default_factory=Counter)
    back: int = 0
    staying: Counter[Why] = field(default_factory=Counter)
    named: dict[Why, list[str]] = field(default_factory=dict)

    def stays(self, letter: KafkaMessage, why: Why) -> None:
        """Counts one that stays, and names the first few."""
        self.staying[why] += 1
        names = self.named.setdefault(why, [])
        if len(names) < MOST_NAMED:
            names.append(f"{letter.topic()}:{letter.partition()}@{letter.offset()}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is put back. `rate`: letters a second at most."""

    rules: Rules
    spans: Spans
    rate: float | None = None


class Redrive:
    """One redrive of one dead-letter topic. `score` may be looked at from any thread while `run` works."""

    def __init__(self, job: Job, reader: Reader, cluster: Cluster) -> None:
        self._job = job
        self._reader = reader
        self._cluster = cluster
        self._choice = Choice(job.rules, cluster.partitions)
        self._stop = threading.Event()
        self._grounds: Mapping[int, Ground] = {}
        self.score = Score()

    def stop(self) -> None:
        """Ends `run` after the transaction it is in. From any thread."""
        self._stop.set()

    def plan(self) -> Score:
        """What `run` would do now. Nothing is written."""
        self._begin()
        score = Score()
        for letter, going in self._walk(score):
            if going is None:
                continue
            score.going[going.topic] += 1
            self._grounds[letter.partition()].walk(letter.offset(), goes_back=True)
        return score

    def run(self) -> Score:
        """Puts the letters back. Raises FencedError when another redrive of this topic begins."""
        with self._reader.consumer() as consumer, Sender(self._reader, consumer) as sender:
            # Only now: whatever an earlier one left open has ended.
            self._begin()
            budget = Budget(self._job.rate)
            self.score = Score()
            for letter, going in self._walk(self.score):
                if self._stop.is_set():
                    break
                if going is None:
                    # Many may stay between two that go: readers of the target must not wait for all of them.
                    if sender.letters and sender.open_s() > MOST_S:
                        sender.commit(self._grounds)
                    continue
                if sender.letters and budget.wait_s() > MOST_S:
                    sender.commit(self._grounds)
                if self._stop.wait(budget.wait_s()):
                    break
                sender.send(letter, going)
                budget.spend()
                self._grounds[letter.partition()].walk(letter.offset(), goes_back=True)
                self.score.going[going.topic] += 1
                if sender.letters >= MOST_LETTERS or sender.open_s() > MOST_S:
                    sender.commit(self._grounds)
            if sender.letters:
                sender.commit(self._grounds)
        return self.score

    def _begin(self) -> None:
        topic, spans = self._job.rules.topic, self._job.spans
        topic_id = self._cluster.topic_id(topic)
        commits = self._cluster.committed(self._reader.group, topic)
        self._grounds = {
            partition: Ground.read(topic_id, start, commits.get(partition)) for partition, (start, _) in spans.items()
        }

    def _walk(self, score: Score) -> Iterator[tuple[KafkaMessage, Going | None]]:
        """Every letter and where it goes; None for one that stays, which is counted and walked over."""
        spans = {p: (min(max(start, self._grounds[p].point), end), end) for p, (start, end) in self._job.spans.items()}
        topic = self._job.rules.topic
        for partition, (start, _) in self._job.spans.items():
            if start < spans[partition][0]:
                score.back += self._cluster.count(topic, partition, start, spans[partition][0])[0]
        for letter in self._reader.letters(spans):
            ground = self._grounds[letter.partition()]
            if ground.is_back(letter.offset()):
                score.back += 1
            elif isinstance(chosen := self._choice.of(letter), Going):
                yield letter, chosen
                continue
            else:
                score.stays(letter, chosen.why)
            ground.walk(letter.offset(), goes_back=False)
            yield letter, None


class Budget:
    """So many letters a second; None is as many as there are."""

    def __init__(self, rate: float | None) -> None:
        self._each_s = 0.0 if rate is None else 1.0 / rate
        self._next = time.monotonic()

    def wait_s(self) -> float:
        """Seconds until the next letter may go."""
        return max(0.0, self._next - time.monotonic())

    def spend(self) -> None:
        """Takes one. What was not used is not saved up."""
        self._next = max(self._next, time.monotonic()) + self._each_s
