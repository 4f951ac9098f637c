"""New epochs: after every unclear end where transactions share one, and never to steal a lane back."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.lanes import settings
from commands import Running
from fanout._fanout import Cluster as Control
from fanout._fanout import Forwarder

from .frames import Api
from .rules import Cut, Delay, Drop, Fault, Late, Rule, Twice
from .world import PATIENT_MS, SMALL, Road

if TYPE_CHECKING:
    from .frames import Way
    from .world import Faulty

RECORDS = 12_000
INJECTED = 5
OLDER = pytest.mark.parametrize("faulty", [1], indirect=True, ids=["v1"])
FENCED = 6


def epochs(faulty: Faulty, road: Road) -> set[tuple[str, str]]:
    """Every producer id and epoch that wrote to the target, as Kafka's own tool reads it from the segments."""
    folders = (faulty.cluster.log_folder(1, road.target, partition) for partition in range(road.targets))
    segments = ",".join(str(segment) for folder in folders for segment in folder.glob("*.log"))
    dumped = faulty.cluster.tool("kafka-dump-log", ["--files", segments])
    return set(re.findall(r"producerId: (\d+) producerEpoch: (\d+)[^\n]* isControl: false", dumped))


@OLDER
@pytest.mark.parametrize(
    ("api", "way", "fault"),
    [
        (Api.END_TXN, "response", Cut()),
        (Api.END_TXN, "request", Twice()),
        (Api.END_TXN, "request", Delay(1.3)),
        (Api.TXN_OFFSET_COMMIT, "request", Late(behind=Api.TXN_OFFSET_COMMIT)),
    ],
    ids=["answer-lost", "twice", "slow", "offset-late"],
)
def test_an_unclear_end_is_followed_by_a_new_epoch_where_transactions_share_one(
    faulty: Faulty, api: int, way: Way, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    road = Road.laid(faulty.direct, sources=1)
    road.write(RECORDS)
    rule = Rule(api, way, fault, times=INJECTED, after=2, chance=0.4)
    faulty.rules.set(rule)
    direct = settings(road.bootstrap, road.source, road.target, transaction_bytes=100_000, **SMALL)
    # A slow answer is waited for, and is success: the new epoch is for what may have been repeated meanwhile.
    through = {"bootstrap.servers": faulty.bootstrap, "socket.timeout.ms": PATIENT_MS}
    forwarder = Forwarder(replace(direct, properties=through))

    ends = forwarder.run()

    (lane,) = forwarder.stats()
    written = epochs(faulty, road)
    print(f"injected={rule.fired} renewals={lane.renewals} commits={lane.commits} epochs={len(written)}")
    assert [end.outcome for end in ends] == ["end"], [str(end.error) for end in ends]
    assert rule.fired == INJECTED, "void: too few faults"
    road.prove()
    if isinstance(fault, Twice):
        assert lane.renewals == 0
        slow = caplog.text.count(
            "a commit was slow"
        )  # on a machine that stood still: it is told, and has one of its own
        assert 1 <= len(written) <= 1 + slow, "one epoch over all commits"
    else:
        assert len(written) >= 1 + INJECTED // 2, "no new epoch after an unclear end"
    assert (lane.renewals > 0) == isinstance(fault, Late | Cut)


@pytest.mark.parametrize("faulty", [2, 1], indirect=True, ids=["v2", "v1"])
def test_a_lane_paused_inside_the_end_of_a_transaction_does_not_steal_itself_back(faulty: Faulty) -> None:
    road = Road.laid(faulty.direct, sources=1)
    road.write(2_000)
    lost = Rule(Api.END_TXN, "response", Drop())
    faulty.rules.set(lost)
    named = ("-t", road.source, "-g", road.group, "--to-topic", road.target, "--from", "earliest")
    transactional_id = f"fanout.{road.group}.{road.source}.0"
    with Running(faulty.bootstrap, "-X", "socket.timeout.ms=10000", "forward", *named) as running:
        give_up = time.monotonic() + 60
        while not lost.fired:
            assert running.runs, running.wait().require()
            assert time.monotonic() < give_up, running.said()
            time.sleep(0.02)
        running.signal(signal.SIGSTOP)
        Control({"bootstrap.servers": faulty.direct}).take_over(transactional_id)
        owner = standing(faulty, transactional_id)
        running.signal(signal.SIGCONT)
        woken = time.monotonic()
        ran = running.wait(60).require(FENCED)

    print(f"taken_over={owner} exit={ran.code} seconds_to_exit={time.monotonic() - woken:.1f}")
    assert "owned by another process" in ran.err
    assert standing(faulty, transactional_id) == owner


def standing(faulty: Faulty, transactional_id: str) -> tuple[str, ...]:
    """Producer id, epoch and state on the coordinator's books."""
    said = faulty.cluster.tool("kafka-transactions", ["describe", "--transactional-id", transactional_id])
    head, row = (line.split() for line in said.splitlines() if line.strip())
    found = dict(zip(head, row, strict=False))
    return found["ProducerId"], found["ProducerEpoch"], found["TransactionState"]
