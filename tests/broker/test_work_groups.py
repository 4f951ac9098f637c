"""Workers in groups of the consumer protocol (KIP-848), and as static members of classic ones."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from fanout.errors import WorkError

from .test_work_faults import Shop, behave, shop
from .working import wait_until, write

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["shop"]

KINDS = {
    "consumer": {"group.protocol": "consumer"},
    "static": {"group.instance.id": "host", "session.timeout.ms": "300000"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_workers_hand_partitions_over_and_lose_none(kind: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 50), i) for i in range(400)))
    behave(shop, monkeypatch, "nap", sleep_s=[0.2, 0.4])
    with shop.working(KINDS[kind], workers=2, concurrency=10) as supervisor:
        wait_until(lambda: len({line.pid for line in shop.handled.lines()}) == 2, "both workers' records")
        if kind == "static":
            os.kill(supervisor.pids()[0], signal.SIGKILL)
        wait_until(lambda: shop.is_finished(supervisor), "the end", 200)
    ended, order = shop.handled.ended(), shop.handled.order()
    print(f"{kind}: records=400 lost={400 - len(ended)} repeats={sum(ended.values()) - len(ended)} "
          f"two_of_a_key={len(order.two_of_a_key)}")  # fmt: skip
    assert len(ended) == 400


def test_two_hosts_with_one_instance_id_are_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop.kafka.bootstrap, shop.topic, ((b"key-%d" % (i % 50), i) for i in range(400)))
    behave(shop, monkeypatch, "nap", sleep_s=[0.1, 0.2])
    static: Mapping[str, str] = KINDS["static"]
    with shop.working(static, concurrency=10) as first:
        wait_until(lambda: first.poll() and shop.handled.lines(), "the first records")
        with (
            shop.working(static, concurrency=10),
            pytest.raises(WorkError, match=r"under this one's group.instance.id"),
        ):
            wait_until(lambda: first.poll() is None, "the first one's end")
