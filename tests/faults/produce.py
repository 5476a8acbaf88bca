"""Producing a stream in its own time, through whatever happens to the broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from runtime.names import Names
from tests.faults.traffic import Item
from tests.integration.oracle import Oracle
from tests.support.events import HEADERS, encoded, key_of
from tests.support.topics import topic_of
from tests.support.wait import pause

TICK_S = 0.1
AT_ONCE = 2_000
GIVE_UP_S = 180.0
"""A record that no broker takes for so long fails the run."""

Record = tuple[str, int, bytes | None, bytes]


class Producer:
    """Produces items when their time has come, in order but for what must be sent again, and tells the oracle of each."""

    def __init__(self, bootstrap: str, names: Names, partitions: int, oracle: Oracle) -> None:
        self._bootstrap, self._names, self.oracle = bootstrap, names, oracle
        self._first = self._partitions = self._wanted = partitions
        self._grown_at = self._at = float("-inf")
        self.sent = 0
        self.ends: dict[TopicPartition, int] = {}

    def grow(self, partitions: int) -> None:
        """There are more partitions now. They get some of what is born from here on: a repeat must come where its event is."""
        self._wanted = partitions

    async def _grow(self, producer: AIOKafkaProducer) -> None:
        await producer.client.force_metadata_update()
        known = [await producer.partitions_for(topic) for topic in self._names.event_topics]
        if all(len(some) >= self._wanted for some in known):
            self._partitions, self._grown_at = self._wanted, self._at

    async def run(self, items: Iterator[Item]) -> None:
        """Returns when all are acknowledged. Raises TimeoutError where the broker takes nothing for too long."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", linger_ms=5, metadata_max_age_ms=1_000, request_timeout_ms=15_000
        )
        await asyncio.wait_for(producer.start(), GIVE_UP_S)
        waiting: list[Item] = []
        item = next(items, None)
        try:
            while item is not None or waiting:
                if self._wanted != self._partitions:
                    await self._grow(producer)
                now = time.time()
                while item is not None and item.at <= now and len(waiting) < AT_ONCE:
                    waiting.append(item)
                    item = next(items, None)
                if waiting:
                    records = [self._record(one) for one in waiting]
                    await self._deliver(producer, records)
                    self.sent += len(records)
                    waiting.clear()
                if item is not None and item.at > time.time():
                    await pause(min(TICK_S, item.at - time.time()))
        finally:
            await producer.stop()

    def _record(self, item: Item) -> Record:
        self.oracle.add(item.event)
        self._at = max(self._at, item.born)
        key = key_of(item.event)
        partition = item.lot % (self._first if item.born <= self._grown_at else self._partitions)
        return topic_of(self._names, item.event), partition, key, encoded(item.event)

    async def _deliver(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        left = list(records)
        while left:
            answers = await asyncio.gather(*(self._send(producer, one) for one in left), return_exceptions=True)
            again = []
            for record, answer in zip(left, answers, strict=True):
                if isinstance(answer, (KafkaError, OSError, TimeoutError)):
                    again.append(record)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    tp = answer.topic_partition
                    self.ends[tp] = max(self.ends.get(tp, 0), answer.offset + 1)
            left = again
            if left and time.monotonic() > deadline:
                raise TimeoutError(f"the broker has taken nothing for {GIVE_UP_S:g} s")

    async def _send(self, producer: AIOKafkaProducer, record: Record) -> RecordMetadata:
        topic, partition, key, value = record
        return await (await producer.send(topic, value, key=key, headers=HEADERS, partition=partition))
