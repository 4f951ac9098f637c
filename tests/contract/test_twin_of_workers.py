"""What becomes of records, asked of real workers and of `TestApp`: the same app, the same records, the same answers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from commands import fanout
from conftest import unique_name
from fanout import TestApp
from oracle.read import read

from .twin_app import make

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from conftest import Kafka, Topics

SAYS = (
    "done",
    "skipped",
    "tombstone",
    "repeated",
    "rejected",
    "failed",
    "mismatch",
    "parked",
    "undecodable",
    "retried",
)


@dataclass(frozen=True)
class Written:
    """A record; `back` is the offset at which it stood before a redrive."""

    key: str
    value: bytes | None
    back: int | None = None


def says(key: str, name: str, what: str, back: int | None = None) -> Written:
    return Written(key, json.dumps({"id": name, "says": what}).encode(), back)


ORDERS = (
    says("a", "1", "done"),
    says("b", "1", "done"),
    says("c", "1", "something else"),
    says("c", "2", "done"),
    says("d", "3", "refused once"),
    says("d", "3", "refused once"),
    says("e", "4", "failed once"),
    says("e", "4", "failed once"),
    says("f", "5", "failed"),
    Written("g", b"{"),
    Written("h", None),
    says("i", "6", "skipped"),
    says("j", "6", "skipped"),
    says("d", "3", "refused once", back=4),
    says("d", "3", "refused once", back=5),
    says("d", "7", "done"),
)
RETURNS = (says("a", "r1", "failed once"), says("b", "r2", "failed"))


@dataclass(frozen=True)
class Outcome:
    """How often each thing happened by topic, what each key's letters say in their order, what ran how often."""

    counts: dict[str, dict[str, int]]
    letters: dict[str, list[str]]
    attempts: list[str]


def counted(counts: Counter[str]) -> dict[str, int]:
    return {what: counts[what] for what in SAYS if counts[what]}


def letters(written: Iterable[tuple[bytes | None, Iterable[tuple[str, bytes | None]]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, headers in written:
        held = {name: (value or b"").decode() for name, value in headers}
        place = f"{held['__dlq.errors.topic']}/{held['__dlq.errors.offset']}"
        found.setdefault(f"{held['__dlq.errors.topic']} {(key or b'').decode()}", []).append(
            f"{place} {held['fanout.outcome']} {held['__dlq.errors.delivery.count']} {held['__dlq.errors.message']}"
        )
    return found


def logged(told: dict[str, str]) -> list[str]:
    return sorted(Path(told["log"]).read_text(encoding="utf-8").splitlines())


def headers_of(topic: str, record: Written) -> list[tuple[str, str | bytes | None]]:
    return [] if record.back is None else [("fanout.redrive-of", f"{topic}/0/{record.back}".encode())]


async def by_the_twin(told: dict[str, str]) -> Outcome:
    counts: dict[str, Counter[str]] = {told["orders"]: Counter(), told["returns"]: Counter()}
    async with TestApp(make()) as t:
        for topic, records in ((told["orders"], ORDERS), (told["returns"], RETURNS)):
            fresh = list(takewhile(lambda one: one.back is None, records))
            sent = await t.send_many(topic, [one.value for one in fresh], keys=[one.key for one in fresh])
            for record in records[len(fresh) :]:
                sent.append(await t.send(topic, record.value, key=record.key, headers=headers_of(topic, record)))
            counts[topic].update(result.outcome for result in sent)
        for retry in t.retries:
            counts[retry.id.partition("/")[0]]["retried"] += 1
        found = letters((letter.key, letter.headers) for letter in t.dead_letters)
    return Outcome({topic: counted(counts[topic]) for topic in counts}, found, logged(told))


def by_workers(bootstrap: str, told: dict[str, str]) -> Outcome:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for topic, records in ((told["orders"], ORDERS), (told["returns"], RETURNS)):
        for one in records:
            producer.produce(topic, key=one.key, value=one.value, headers=headers_of(topic, one))
    assert producer.flush(60) == 0
    place = ("twin_app:make", "--factory", "--app-dir", str(Path(__file__).parent), "-g", unique_name("twin"))
    ran = fanout(bootstrap, "work", *place, "--until", "end", "-o", "json").require()
    handlers: dict[str, dict[str, int]] = ran.document["handlers"]
    counts = {topic: Counter(handlers[topic]) for topic in (told["orders"], told["returns"])}
    counts[told["returns"]] += Counter(handlers[told["retry"]])
    found = letters((letter.key, letter.headers) for letter in read(bootstrap, told["dead"]))
    return Outcome({topic: counted(counts[topic]) for topic in counts}, found, logged(told))


async def test_what_becomes_of_records_in_a_test_is_what_becomes_of_them_in_a_worker(
    kafka: Kafka, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANOUT_DEDUP__URL", f"sqlite:///{tmp_path / 'claims.db'}")
    told = {name: topics(name) for name in ("orders", "returns", "retry", "dead")}
    answers: list[Outcome] = []
    for name in ("workers", "twin"):
        told["log"] = str(tmp_path / name)
        monkeypatch.setenv("FANOUT_TEST_APP", json.dumps(told))
        answers.append(by_workers(kafka.bootstrap, told) if name == "workers" else await by_the_twin(told))
    workers, twin = answers
    differ = sum(getattr(workers, part) != getattr(twin, part) for part in ("counts", "letters", "attempts"))
    print(f"records={len(ORDERS) + len(RETURNS)} attempts={len(workers.attempts)} differ={differ} {workers.counts}")
    assert twin == workers
    assert workers.counts[told["orders"]] == {
        "done": 4, "skipped": 1, "tombstone": 1, "repeated": 4, "rejected": 1, "failed": 1, "mismatch": 1, "parked": 2,
        "undecodable": 1, "retried": 2,
    }  # fmt: skip
    assert workers.counts[told["returns"]] == {"done": 1, "failed": 1, "retried": 2}
