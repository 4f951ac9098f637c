"""faust-streaming: one agent, as many of it as may be in flight. Does not keep the order of a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mode.loop

mode.loop.use("uvloop")  # before anything that takes a loop

import faust  # noqa: E402

from peers.workers.handling import asynchronous  # noqa: E402
from work.order import Order  # noqa: E402


def main() -> None:
    order = Order.read()
    handle = asynchronous(order)
    app = faust.App(
        order.group,
        broker=f"kafka://{order.bootstrap}",
        consumer_auto_offset_reset="earliest",
        datadir=Path(order.told).parent / "faust",
        topic_disable_leader=True,
        web_enabled=False,
    )

    async def agent(stream: Any) -> None:
        async for value in stream:
            await handle(value)

    app.agent(app.topic(order.topic, value_serializer="json"), concurrency=order.at_once)(agent)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
