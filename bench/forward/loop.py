"""
A process in which a copy loop on confluent-kafka carries one backlog, exactly-once.

As fast as such a loop gets: the fetch and batch sizes of a bulk reader and writer, records taken ten thousand at
a time, delivery reports for errors only, the library's back-off between fetches cut (its default of a second
stalls a fast reader), the garbage collector kept from walking what lives to the end.
"""

from __future__ import annotations

import gc

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from forward.order import Order, Usage

CONSUMER = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "fetch.min.bytes": 64 * 1024,
    "fetch.queue.backoff.ms": 10,
    "isolation.level": "read_committed",
    "max.partition.fetch.bytes": 4 * 1024 * 1024,
}
PRODUCER = {
    "acks": "all",
    "batch.num.messages": 10_000,
    "delivery.report.only.error": True,
    "enable.idempotence": True,
    "linger.ms": 50,
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 500_000,
}
TAKEN_AT_ONCE = 10_000


def main() -> None:
    order = Order.read()
    gc.freeze()
    usage = Usage()
    consumer = Consumer({"bootstrap.servers": order.bootstrap, "group.id": order.target, **CONSUMER})
    producer = Producer(
        {
            "bootstrap.servers": order.bootstrap,
            "compression.type": order.codec,
            "transactional.id": f"loop.{order.target}",
            **PRODUCER,
        }
    )
    producer.init_transactions()
    consumer.assign([TopicPartition(order.source, partition, 0) for partition in order.ends])
    carried = carry(order, consumer, producer, usage)
    consumer.close()
    if carried != order.records:
        raise RuntimeError(f"{carried} of {order.records} records carried")
    usage.tell()


def carry(order: Order, consumer: Consumer, producer: Producer, usage: Usage) -> int:
    """Copies until all records are copied; a transaction every so many. Returns how many."""
    carried, in_transaction = 0, 0
    while carried < order.records:
        messages = consumer.consume(min(TAKEN_AT_ONCE, order.records - carried), timeout=5)
        if not messages:
            break
        if not in_transaction:
            producer.begin_transaction()
        usage.first_records()
        for message in messages:
            copy(message, order.target, producer)
        producer.poll(0)
        carried += len(messages)
        in_transaction += len(messages)
        if in_transaction >= order.transaction_records or carried == order.records:
            position = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata())
            producer.commit_transaction()
            in_transaction = 0
    return carried


def copy(message: Message, target: str, producer: Producer) -> None:
    """Produces one record with all it has: key, value, headers, timestamp."""
    error: KafkaError | None = message.error()
    if error is not None:
        raise RuntimeError(str(error))
    producer.produce(
        target, message.value(), message.key(), timestamp=message.timestamp()[1], headers=message.headers()
    )


if __name__ == "__main__":
    main()
