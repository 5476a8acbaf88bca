"""Following one topic from its tail: each record once, from one log of the topic to the next."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from runtime.kafka import KafkaUnreachable, TopicLogs, address, fetched_ends, stop_consumer
from runtime.settings import Settings
from runtime.tasks import heed

log = logging.getLogger(__name__)

POLL_MS = 500
LOOK_EVERY_S = 2.0
"""How often it is asked whether the topic is still the same log."""
AGAIN_AFTER_S = 3.0

Take = Callable[[ConsumerRecord, str, bool], None]
"""Takes a record, the id of its log, and whether it came while we followed."""


class Tail:
    """Follows partition 0 of a topic, from `most` records before its end on. also: topics whose partitions are counted."""

    def __init__(self, settings: Settings, topic: str, most: int, take: Take, also: Sequence[str] = ()) -> None:
        self._settings, self._topic, self._most, self._take, self._also = settings, topic, most, take, also
        self._taken: tuple[str, int] | None = None
        """The log that was followed last, and the offset of its next record."""
        self.partitions: Mapping[str, int] = {}
        """How many each of the other topics has, once Kafka told."""
        self.away: str | None = "Kafka has not answered yet"
        """Why the topic cannot be followed now; None while it is."""

    async def run(self) -> None:
        """Takes records as they come; returns never. A broker that is away is asked again."""
        kafka = address(self._settings)
        logs = TopicLogs(kafka)
        try:
            while True:
                try:
                    topic_id = await self._look(logs)
                    if topic_id is not None:
                        await self._follow(kafka, logs, topic_id)
                    else:
                        self.away = f"no topic {self._topic}: run 'tillwatch setup topics'"
                except (KafkaUnreachable, KafkaError, OSError) as error:
                    if self.away is None:
                        log.warning("%s is not followed: %s", self._topic, error)
                    self.away = f"Kafka does not answer ({type(error).__name__})"
                heed()
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            await logs.close()

    async def _look(self, logs: TopicLogs) -> str | None:
        """Which log the topic is now."""
        found = await logs.ask((*self._also, self._topic))
        self.partitions = {name: one.partitions for name, one in found.items() if name != self._topic}
        return found[self._topic].topic_id if self._topic in found else None

    async def _follow(self, kafka: str, logs: TopicLogs, topic_id: str) -> None:
        """Until the topic is another log. Raises what Kafka's client raises when it is away."""
        partition = TopicPartition(self._topic, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka, client_id="tillwatch-console", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([partition])
            first = (await consumer.beginning_offsets([partition]))[partition]
            end = (await fetched_ends(kafka, {partition: first})).get(partition, first)
            known, next_at = self._taken or ("", 0)
            same = known == topic_id
            consumer.seek(partition, max(next_at if same else end - self._most, first))
            self.away, looked = None, time.monotonic()
            while True:
                for record in (await consumer.getmany(partition, timeout_ms=POLL_MS)).get(partition, ()):
                    self._taken = topic_id, record.offset + 1
                    self._take(record, topic_id, same or record.offset >= end)
                if time.monotonic() - looked > LOOK_EVERY_S:
                    if await self._look(logs) != topic_id:
                        return
                    looked = time.monotonic()
        finally:
            await stop_consumer(consumer)
