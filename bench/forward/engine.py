"""A process in which fanout carries one backlog."""

from __future__ import annotations

import threading
import time
from typing import Any

from fanout._fanout import Forwarder, LaneEnd
from fanout.config.forward import ForwardSettings
from forward.order import Order, Usage


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
    """All defaults, but for what the order names."""
    chosen: dict[str, Any] = {
        "route": "key",
        "partitioner": "murmur2",
        "allotments": None,
        "origin": "none",
        "compression": "same",
        **order.settings,
    }
    if chosen["allotments"] == "even":
        chosen["allotments"] = _even(order.targets, len(order.ends))
    return ForwardSettings(
        properties={"bootstrap.servers": order.bootstrap},
        source=order.source,
        target=order.target,
        group=order.target,
        transactional_prefix=f"fanout.{order.target}",
        partitions=list(order.ends),
        start=dict.fromkeys(order.ends, 0),
        end=order.ends,
        **chosen,
    )


def _even(targets: int, sources: int) -> dict[int, list[int]]:
    """Neighbouring targets for each source, as evenly as they go."""
    bounds = [source * targets // sources for source in range(sources + 1)]
    return {source: list(range(bounds[source], bounds[source + 1])) for source in range(sources)}


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
