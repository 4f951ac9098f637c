"""Who carries: fanout with one setting or another, and everything it is measured beside."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import build
from peers.build import MissingError

__all__ = ["Mover", "fanout", "program_of"]

BENCH = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mover:
    """One way to carry a backlog.

    kind: which program, one of `PROGRAMS`.
    settings: of fanout's kind: what differs from the defaults of `ForwardSettings`.
    """

    name: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)


def fanout(name: str, **settings: Any) -> Mover:
    """fanout under a name that says how: by murmur2 over all partitions, nothing added, unless `settings` differ."""
    return Mover(name=f"fanout, {name}", kind="fanout", settings=settings)


def _module(name: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", name]


def _built(program: Callable[[], Path]) -> Callable[[], list[str]]:
    return lambda: [str(program())]


PROGRAMS: dict[str, Callable[[], list[str]]] = {
    "fanout": _module("forward.engine"),
    "confluent-kafka": _module("forward.loop"),
    "null": _built(build.null),
    "librdkafka": _built(build.librdkafka),
    "franz-go": _built(build.franz_go),
}
ENVIRONMENT = {"franz-go": {"GOGC": "400"}}
"""What a program is started with besides: the collector at its default costs franz-go half as much again."""

_programs: dict[str, list[str] | MissingError] = {}


def program_of(mover: Mover) -> tuple[Sequence[str], dict[str, str]]:
    """The command of `mover`, built at the first call, and its environment.

    Raises MissingError if it cannot run on this machine.
    """
    if mover.kind not in _programs:
        try:
            _programs[mover.kind] = PROGRAMS[mover.kind]()
        except MissingError as missing:
            _programs[mover.kind] = missing
    found = _programs[mover.kind]
    if isinstance(found, MissingError):
        raise found
    return found, {**os.environ, **ENVIRONMENT.get(mover.kind, {})}
