"""Reading a topic from outside the consumer groups: nothing is committed, nothing is taken from anybody."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cli.terminal import fail, note

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import ConsumerRecord, TopicPartition

    from runtime.kafka import TopicLogs
    from runtime.settings import Settings

POLL_MS = 200
LOOK_EVERY_S = 2.0
"""How often it is asked whether the broker is still there, with the same log."""


@asynccontextmanager
async def _consumer(
    settings: Settings, topic: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition], str]]:
    """A consumer of all partitions of a topic, these, and the topic's id."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import TopicPartition

    from runtime.kafka import address, stop_consumer, topic_logs

    kafka = address(settings)
    found = (await topic_logs(kafka, [topic])).get(topic)
    if found is None:
        fail(f"no topic {topic}: run 'tillwatch setup topics' first")
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="tillwatch-tail", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(found.partitions)]
        consumer.assign(partitions)
        yield consumer, partitions, found.topic_id
    finally:
        await stop_consumer(consumer)


async def follow(
    settings: Settings, topic: str, *, from_start: bool, seconds: float | None
) -> AsyncIterator[ConsumerRecord]:
    """The records of a topic as they come, from its first one or from now on, for so long or for ever.

    It waits where the broker goes away, and begins at the start of the log that it comes back with, if that is another:
    the embedded broker's always is.
    """
    from runtime.kafka import TopicLogs, address

    until = math.inf if seconds is None else time.monotonic() + seconds
    logs = TopicLogs(address(settings))
    try:
        while True:
            async with _consumer(settings, topic) as (consumer, partitions, topic_id):
                first = await (consumer.beginning_offsets(partitions) if from_start else _ends(settings, consumer))
                for partition, offset in first.items():
                    consumer.seek(partition, offset)
                looked = time.monotonic()
                while time.monotonic() < until:
                    for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                        for record in records:
                            yield record
                    if time.monotonic() - looked > LOOK_EVERY_S:
                        if await _another(logs, topic, topic_id, until):
                            break
                        looked = time.monotonic()
                else:
                    return
            from_start = True
    finally:
        await logs.close()


async def _another(logs: TopicLogs, topic: str, topic_id: str, until: float) -> bool:
    """Whether the topic is another log than the one with this id; waits for the broker where it is away."""
    from runtime.kafka import KafkaUnreachable

    told = False
    while time.monotonic() < until:
        try:
            found = (await logs.ask([topic])).get(topic)
        except KafkaUnreachable as error:
            if not told:
                note(f"{error}; waiting for it", style="yellow")
            told = True
        else:
            if found is not None:
                return found.topic_id != topic_id
        await asyncio.sleep(POLL_MS / 1000)
    return False


async def _ends(settings: Settings, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """The ends of the partitions that it reads, also where the broker tells them wrongly."""
    from runtime.kafka import address, fetched_ends

    plain: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    return plain | await fetched_ends(address(settings), plain)


async def latest(settings: Settings, topic: str, count: int) -> list[ConsumerRecord]:
    """The last `count` records of a topic by the broker's timestamps, oldest first."""
    async with _consumer(settings, topic) as (consumer, partitions, _):
        first = await consumer.beginning_offsets(partitions)
        ends = await _ends(settings, consumer)
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
