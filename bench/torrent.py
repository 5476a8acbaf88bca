"""Payments at a high rate that cost their producer next to nothing, so that a machine of two cores is left to what is measured.

A batch of records is built once and sent again and again: what differs from one time to the next, ids and moments, has a mark
of the same length in its bytes, which is replaced. The payments are those of `bench.measure`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import struct
import time
from collections import Counter
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import RecordMetadata

from bench.measure import HEADERS, Mix, Produced, backlog
from schemas.time import rfc3339

TICK_S = 0.01
DIFFERENT = 12
"""Batches for each partition, by turns."""
LARGEST = 400
"""Records of a batch, at most: 150 KB."""
_NUMBER = b"########"
_BEHIND_MS = (400, 900, 1_500, 2_400, 4_000)
"""So long before it was finished a payment may have been initiated: the nearest of these."""
_MARKS = {behind: b"%024d" % behind for behind in (0, *_BEHIND_MS)}
"""Of moments so long before the present, as long as a time is."""
_ID, _TRANSACTION = re.compile(rb'(?<="id":")[0-9a-f]{8}'), re.compile(rb"(?<=tx_)\d+")
_MOMENT, _INITIATED = re.compile(rb'(?<="time":")[^"]*'), re.compile(rb'(?<="initiated_at":")[^"]*')
_LATENCY = re.compile(rb'(?<="latency_ms":)\d+')
_CRC, _CHECKED = 17, 21
"""Where a batch has its checksum, and from where on it is taken."""
_ANY_SIZE = 2**24


class _Stamped(BatchBuilder):
    """A batch that is complete."""

    def __init__(self, records: int, whole: bytes) -> None:
        super().__init__(_ANY_SIZE, 0)
        self._relative_offset, self._buffer, self._closed = records, whole, True


class Torrent:
    """Payments into a topic, round its partitions. `rate`: a second. `limit`: how many may be sent at most until it is raised.
    `sent`: how many are acknowledged; `ends`: the offset after the last of them, by partition."""

    def __init__(
        self, kafka: str, topic: str, partitions: int, rate: float, *, merchants: int = 0, limit: float = float("inf")
    ) -> None:
        self._kafka, self._topic, self._rate, self.limit = kafka, topic, rate, limit
        self.sent = 0
        self.ends: dict[TopicPartition, int] = {}
        # A batch into each partition every two ticks or so.
        self._records = min(max(round(rate * 2 * TICK_S / partitions), 1), LARGEST)
        mix = Mix(self._records * partitions * DIFFERENT, partitions, rate, heartbeats=False, repeats=0.0, merchants=merchants)
        self._batches = list(_batches(mix, self._records))
        self._partitions = partitions
        self._run_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Torrent:
        self._run_task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Everything is acknowledged then."""
        assert self._run_task is not None
        self._run_task.cancel()
        await asyncio.gather(self._run_task, return_exceptions=True)

    async def _run(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks=1, max_request_size=_ANY_SIZE)
        await producer.start()
        pending: set[asyncio.Future[RecordMetadata]] = set()

        def acknowledged(future: asyncio.Future[RecordMetadata]) -> None:
            pending.discard(future)
            told = future.result()
            self.sent += self._records
            end = told.offset + self._records
            self.ends[told.topic_partition] = max(self.ends.get(told.topic_partition, 0), end)

        try:
            began, due = time.perf_counter(), 0
            for number in itertools.count():
                while due + self._records > self.limit or due > (time.perf_counter() - began) * self._rate:
                    await asyncio.sleep(TICK_S)
                batch = self._stamped(number)
                future = await producer.send_batch(batch, self._topic, partition=number % self._partitions)
                pending.add(future)
                future.add_done_callback(acknowledged)
                due += self._records
        finally:
            await asyncio.gather(*pending)
            await producer.stop()

    def _stamped(self, number: int) -> BatchBuilder:
        """The next batch, as of now."""
        whole = self._batches[number % len(self._batches)].replace(_NUMBER, b"%08x" % number)
        now_ms = int(time.time() * 1000)
        for behind, mark in _MARKS.items():
            whole = whole.replace(mark, rfc3339(now_ms - behind).encode())
        crc = struct.pack(">I", calc_crc32c(whole[_CHECKED:]))
        return _Stamped(self._records, whole[:_CRC] + crc + whole[_CHECKED:])


def _batches(mix: Mix, records: int) -> Iterator[bytes]:
    """Batches with marks in them."""
    values = backlog(mix, 0, Produced(Counter()))
    for _ in range(mix.events // records):
        batch = BatchBuilder(_ANY_SIZE, 0)
        for place in range(records):
            _, _, value = next(values)
            key = b"tx_%04d%s" % (place, _NUMBER)
            batch.append(key=key, value=_marked(value, key.removeprefix(b"tx_")), timestamp=None, headers=HEADERS)
        yield bytes(batch._build())


def _marked(value: bytes, transaction: bytes) -> bytes:
    value = _TRANSACTION.sub(transaction, _ID.sub(_NUMBER, value))
    value = _MOMENT.sub(_MARKS[0], value)
    latency = _LATENCY.search(value)
    if latency is None:
        return value
    taken_ms = int(latency[0])
    return _INITIATED.sub(_MARKS[min(_BEHIND_MS, key=lambda behind: abs(behind - taken_ms))], value)
