"""A process in which fanout handles one backlog: the supervisor, whose worker is a process of its own as always."""

from __future__ import annotations

import json
import time
from pathlib import Path

from fanout._fanout import Cluster
from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.work import WorkSettings
from fanout.work.supervisor import Supervisor
from work.order import Order
from work.tally import peak_bytes

APP = "work.app:app"
GLANCE_S = 0.05


def main() -> None:
    order = Order.read()
    ends = Cluster({"bootstrap.servers": order.bootstrap}).offsets(order.topic, "stable")
    supervisor = Supervisor(settings(order))
    supervisor.start()
    cpu_before_ns = time.process_time_ns()
    try:
        while supervisor.poll().committed.get(order.topic, {}) != ends:
            time.sleep(GLANCE_S)
    finally:
        supervisor.stop()
    told = json.loads(Path(order.of_worker().told).read_text(encoding="utf-8"))
    told["supervisor_cpu_s"] = (time.process_time_ns() - cpu_before_ns) / 1e9
    told["supervisor_peak_bytes"] = peak_bytes()
    order.tell(told)


def settings(order: Order) -> WorkSettings:
    """All defaults: concurrency is the handler's own, the key of dedup is the origin."""
    return WorkSettings(
        clients=Clients(common=Properties({"bootstrap.servers": order.bootstrap})),
        app=APP,
        app_dir=str(Path(__file__).parents[1]),
        group=order.group,
        dedup=DedupSettings(url=order.redis) if order.redis else None,
    )


if __name__ == "__main__":
    main()
