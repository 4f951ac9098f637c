"""A process in which fanout carries one backlog."""

from __future__ import annotations

import threading
import time

from fanout._fanout import Forwarder, LaneEnd
from fanout.config.forward import ForwardSettings
from forward.cells import ROUND_ROBIN, RUN, SOURCE_PARTITIONS
from forward.order import Order, Usage

ALLOTMENTS = {0: range(4), 1: range(4, 7), 2: range(7, 10)}


def main() -> None:
    order = Order.read()
    usage = Usage()
    forwarder = Forwarder(settings(order))
    watcher = threading.Thread(target=_watch, args=(forwarder, usage), daemon=True)
    watcher.start()
    ends = forwarder.run()
    _check(ends, order)
    lanes = forwarder.stats()
    usage.tell(
        commits=sum(lane.commits for lane in lanes),
        resends=sum(lane.resends for lane in lanes),
        renewals=sum(lane.renewals for lane in lanes),
    )


def settings(order: Order) -> ForwardSettings:
    """All defaults but the way of routing."""
    is_run = order.mover == RUN
    return ForwardSettings(
        properties={"bootstrap.servers": order.bootstrap},
        source=order.source,
        target=order.target,
        group=order.target,
        transactional_prefix=f"fanout.{order.target}",
        partitions=range(SOURCE_PARTITIONS),
        start=dict.fromkeys(order.ends, 0),
        end=order.ends,
        route="round-robin" if order.mover == ROUND_ROBIN else "key",
        partitioner="xxh3" if is_run else "murmur2",
        allotments={source: list(targets) for source, targets in ALLOTMENTS.items()} if is_run else None,
        origin="run" if is_run else "none",
        compression="same",
    )


def _watch(forwarder: Forwarder, usage: Usage) -> None:
    """Notes when the first records are in hand, then looks no more: looking costs CPU."""
    while not any(lane.records for lane in forwarder.stats()):
        time.sleep(0.002)
    usage.first_records()


def _check(ends: list[LaneEnd], order: Order) -> None:
    for end in ends:
        if end.error is not None:
            raise end.error
    carried = sum(end.count for end in ends)
    if carried != order.records:
        raise RuntimeError(f"{carried} of {order.records} records carried")


if __name__ == "__main__":
    main()
