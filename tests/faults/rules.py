"""Which frame meets which fault, how often, and whether it happened: a fault that never fired proves nothing."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .frames import Frame, Way

__all__ = ["Cut", "Delay", "Drop", "Fault", "Late", "Rule", "Rules", "Slow", "Twice", "commits"]


@dataclass(frozen=True, slots=True)
class Drop:
    """The frame goes no further, and its connection stays open."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The frame, and all behind it in its direction, waits so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Slow:
    """The request goes on so long after its client has given it up and hung up."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """So many bytes of the frame go on, then both ends of the connection are closed. 0 loses the whole frame."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class Twice:
    """
    The request reaches the broker twice, and the client sees the first answer.

    The copy comes right behind it, or, with `behind`, as a `Late` request does.
    """

    behind: int | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """
    The client loses its connection; its request reaches the broker when `behind` was answered to anybody next.

    The answer to `behind` is held back until the broker has taken the late request, so that it arrives, for certain,
    after the client went on and before it can know more.
    """

    behind: int


Fault = Drop | Delay | Slow | Cut | Twice | Late


@dataclass(slots=True)
class Rule:
    """A fault for frames of one api in one direction.

    It passes over `after` of them, then hits each of the following with probability `chance`, `times` times in all.
    """

    api: int
    way: Way
    fault: Fault
    times: int = 1
    after: int = 0
    chance: float = 1.0
    seed: int = 7
    only: Callable[[bytes], bool] = field(default=lambda _: True, repr=False)
    """Which requests, by their bytes."""
    fired: int = 0
    _dice: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def meets(self, frame: Frame) -> bool:
        """Whether the fault happens to this frame; counted if it does."""
        if (frame.api, frame.way) != (self.api, self.way) or self.fired == self.times or not self.only(frame.asked):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self._dice.random() >= self.chance:
            return False
        self.fired += 1
        return True


def commits(end_txn: bytes) -> bool:
    """Whether a request to end a transaction would commit it: the flag before the closing tag."""
    return end_txn[-2] == 1


class Rules:
    """What all proxies of a cluster go by. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def set(self, *rules: Rule) -> None:
        """These and no others from now on."""
        with self._lock:
            self._rules = list(rules)

    def fault_for(self, frame: Frame) -> Fault | None:
        """The fault of the first rule that meets `frame`."""
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.meets(frame)), None)

    def fired(self) -> int:
        """How many faults happened. Raises AssertionError when a rule never fired: the run is void."""
        with self._lock:
            silent = [rule for rule in self._rules if not rule.fired]
            assert not silent, f"void: these faults never happened: {silent}"
            return sum(rule.fired for rule in self._rules)
