"""Keys that wait behind their dead letters on a real Kafka: order over kills, restarts and the way back."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from commands import Running, fanout
from conftest import unique_name

from .working import children_of, committed, ends, kill, wait_until, work, write

if TYPE_CHECKING:
    from conftest import Kafka, Tell, Topics

KEPT = {"retention.ms": "-1"}
COUNT, KEYS = 1_500, 50
REFUSED = [203, 417]
"""Of two keys: each of their records from there on waits."""


def records(first: int) -> list[tuple[bytes, int]]:
    return [(b"key-%d" % (number % KEYS), number) for number in range(first, first + COUNT)]


def test_a_key_waits_through_kills_and_comes_back_in_order(kafka: Kafka, topics: Topics, tell: Tell) -> None:
    topic, dead, group = topics("orders", 2, KEPT), topics("dead", 2, KEPT), unique_name("workers")
    write(kafka.bootstrap, topic, records(0))
    handled = tell(topic, "until_mended", refused=REFUSED, on_dead_letter="park_key", dlq=dead)
    soon = ("-X", "consumer.session.timeout.ms=6000")
    # Not until the end: that could be reached before the kills.
    with Running(kafka.bootstrap, *work(group, *soon, "-w", "2")) as running:
        wait_until(lambda: len(handled.ended()) > COUNT // 3, "the handlers")
        kills = sum(map(kill, children_of(running.pid)))
        wait_until(lambda: committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic), "the rest", 180)
        running.signal(signal.SIGTERM)
        running.wait().require()
    write(kafka.bootstrap, topic, records(COUNT))
    fanout(kafka.bootstrap, *work(group, "--until", "end")).require()
    waiting = {number for number in range(2 * COUNT) for first in REFUSED if waits_for(number, first)}
    assert not waiting & {line.sequence for line in handled.lines() if line.kind == "end"}
    assert committed(kafka.bootstrap, group, topic) == ends(kafka.bootstrap, topic), "the partition moves on"
    first_letters = sum(ends(kafka.bootstrap, dead).values())

    Path(f"{handled.path}.mended").touch()
    fanout(kafka.bootstrap, "dlq", "redrive", "-t", dead, "--execute", "-y").require()
    write(kafka.bootstrap, topic, [(b"key-3", 2 * COUNT + 3)])
    fanout(kafka.bootstrap, *work(group, "--until", "end")).require()

    ended = [line for line in handled.lines() if line.kind == "end"]
    lost = set(range(2 * COUNT)) | {2 * COUNT + 3}
    lost -= {line.sequence for line in ended}
    order: dict[str, list[int]] = {}
    for line in ended:
        if line.sequence not in (seen := order.setdefault(line.key, [])):
            seen.append(line.sequence)
    out_of_order = [key for key, seen in order.items() if seen != sorted(seen)]
    times = Counter(line.sequence for line in ended)
    print(f"records={2 * COUNT + 1} kills={kills} parked={len(waiting) - 2} letters={first_letters} lost={len(lost)} "
          f"repeated={sum(times.values()) - len(times)} out_of_order={len(out_of_order)}")  # fmt: skip
    assert (lost, out_of_order) == (set(), [])
    assert first_letters >= len(waiting) > 100
    assert kills == 2


def waits_for(number: int, first: int) -> bool:
    """Whether `number` is a refused record or one behind it of its key."""
    return number >= first and number % KEYS == first % KEYS
