"""quixstreams: a dataframe that calls the handler for each value."""

from __future__ import annotations

from pathlib import Path

from quixstreams import Application

from peers.workers.handling import blocking
from work.order import Order


def main() -> None:
    order = Order.read()
    app = Application(
        order.bootstrap,
        consumer_group=order.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        loglevel="WARNING",
        state_dir=Path(order.told).parent / "state",
        use_changelog_topics=False,
    )
    app.dataframe(app.topic(order.topic, value_deserializer="json")).update(blocking(order))
    app.run()


if __name__ == "__main__":
    main()
