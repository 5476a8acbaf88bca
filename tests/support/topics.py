"""Putting records into topics and reading whole topics, over aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata

from runtime.names import EVENT_SUBJECTS, Names
from schemas.events import SUBJECT_OF
from tests.support.events import HEADERS, Event, encoded, key_of

LIMIT_S = 30.0
_UNAWAITED = 5_000


def topic_of(names: Names, event: Event) -> str:
    """The topic on which an event of this type belongs; those that are allowed on every topic go to payments."""
    subject = SUBJECT_OF[event["type"]]
    return names.events(subject if subject in EVENT_SUBJECTS else "payments")


async def produce(
    bootstrap: str, names: Names, events: Iterable[Event], partition: int | None = None
) -> dict[TopicPartition, int]:
    """Sends the events to their topics, keyed as producers key them, and returns as `send` does."""
    return await send(bootstrap, ((topic_of(names, one), key_of(one), encoded(one)) for one in events), partition=partition)


async def send(
    bootstrap: str,
    records: Iterable[tuple[str, bytes | None, bytes | None]],
    headers: Sequence[tuple[str, bytes]] = tuple(HEADERS),
    partition: int | None = None,
) -> dict[TopicPartition, int]:
    """Sends (topic, key, value) as they are, in order, and returns once all are acknowledged: the offset after the last
    one in each partition."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5, max_request_size=16 * 1024 * 1024)
    await asyncio.wait_for(producer.start(), LIMIT_S)
    try:
        sent: list[Awaitable[RecordMetadata]] = []
        ends: dict[TopicPartition, int] = {}

        async def acknowledged() -> None:
            for one in await asyncio.wait_for(asyncio.gather(*sent), LIMIT_S):
                ends[one.topic_partition] = max(ends.get(one.topic_partition, 0), one.offset + 1)
            sent.clear()

        for topic, key, value in records:
            sent.append(await producer.send(topic, value, key=key, headers=list(headers), partition=partition))
            if len(sent) == _UNAWAITED:
                await acknowledged()
        await acknowledged()
        return ends
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str, limit_s: float = LIMIT_S) -> list[ConsumerRecord]:
    """Every record that the topic holds now: partition by partition, in order. Raises TimeoutError after the limit."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    found: list[ConsumerRecord] = []
    ends: dict[TopicPartition, int] = {}
    async with asyncio.timeout(limit_s):
        try:
            await consumer.start()
            # The end is what the first fetch says: asked for its end offsets, the embedded broker leaves out all but the
            # first record of the last batch.
            while any([await _unread(consumer, partition, ends) for partition in consumer.assignment()]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found.extend(records)
        finally:
            await consumer.stop()
    found.sort(key=lambda record: (record.partition, record.offset))
    return [record for record in found if record.offset < ends[TopicPartition(topic, record.partition)]]


async def _unread(consumer: AIOKafkaConsumer, partition: TopicPartition, ends: dict[TopicPartition, int]) -> bool:
    end = consumer.highwater(partition)
    if end is None:
        return True
    return bool(await consumer.position(partition) < ends.setdefault(partition, end))
