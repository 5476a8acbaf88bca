"""Reading a topic from outside the consumer groups: nothing is committed, nothing is taken from anybody."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cli.terminal import fail

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import ConsumerRecord, TopicPartition

    from runtime.settings import Settings

POLL_MS = 200


@asynccontextmanager
async def _consumer(settings: Settings, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import TopicPartition

    from runtime.kafka import address, topic_logs

    kafka = address(settings)
    found = (await topic_logs(kafka, [topic])).get(topic)
    if found is None:
        fail(f"no topic {topic}: run 'tillwatch setup topics' first")
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="tillwatch-tail", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(found.partitions)]
        consumer.assign(partitions)
        yield consumer, partitions
    finally:
        await consumer.stop()


async def follow(
    settings: Settings, topic: str, *, from_start: bool, seconds: float | None
) -> AsyncIterator[ConsumerRecord]:
    """The records of a topic as they come, from its first one or from now on, for so long or for ever."""
    async with _consumer(settings, topic) as (consumer, partitions):
        ends = (
            (await consumer.beginning_offsets(partitions)) if from_start else (await consumer.end_offsets(partitions))
        )
        for partition, offset in ends.items():
            consumer.seek(partition, offset)
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or time.monotonic() < until:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    yield record


async def latest(settings: Settings, topic: str, count: int) -> list[ConsumerRecord]:
    """The last `count` records of a topic by the broker's timestamps, oldest first."""
    async with _consumer(settings, topic) as (consumer, partitions):
        first = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        left = {one: end for one, end in ends.items() if end > first[one]}
        for partition in partitions:
            consumer.seek(partition, max(first[partition], ends[partition] - count))
        found: list[ConsumerRecord] = []
        until = time.monotonic() + 30
        while left and time.monotonic() < until:
            for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                found += [record for record in records if record.offset < ends[partition]]
                if records[-1].offset + 1 >= ends[partition]:
                    left.pop(partition, None)
        found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
        return found[-count:]
