"""Payments as they happen: the last ones from the tail of the payments topic, and all events of one of them.

The tables know no single payment, so these are read from Kafka, and only while somebody looks. Whoever follows takes so many
records a second and leaves out the rest; whoever looks one up reads backwards for so long, and says how far that was. Card
numbers are masked as everywhere; of an id only its end is listed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from pydantic import Field

from console.problems import Refused
from console.shapes import Shape
from runtime.kafka import KafkaUnreachable, address, fetched_ends, stop_consumer, topic_logs
from runtime.settings import Settings
from runtime.tasks import end, heed
from schemas.decode import Decoder
from schemas.decode import Refused as NotAnEvent

log = logging.getLogger(__name__)

SUBJECT, LATER = "payments", "enrollments"
KEPT, SHOWN = 300, 20
POLL_S = 0.5
TAKEN_AT_ONCE = 500
"""Records a poll: a thousand a second at most, whatever comes."""
SKIP_FROM, SKIP_TO = 2_000, 100
"""A partition that is so far behind goes on so far from its end."""
BEGIN_BEFORE = 60
WATCHED_S = 30.0
"""Nobody asked for so long: nobody looks any more."""
AGAIN_AFTER_S = 3.0

LOOK_WITHIN_S, LOOK_AT, BLOCK = 6.0, 300_000, 4_000
EVENTS_MOST = 100
LOOK_WAIT_MS = 20
SHOWN_END = 4


class LivePayment(Shape):
    """A payment as its last event left it. `place`: what its events are asked for by."""

    place: str
    id: str = Field(description="the end of its transaction id")
    at: int
    state: str = Field(description="initiated, redirected, succeeded, failed or refunded")
    provider: str
    method: str
    amount: int = Field(description="minor units of the currency")
    currency: str
    latency_s: float | None
    fault: str | None
    reason: str | None


class LivePayments(Shape):
    """Payments as they happen. Rates are a minute, of the last five; `unfinished`: begun in the last 15 minutes and not
    finished so far, which some never do. `away`: why the last payments cannot be followed, null while they are. `skipped`:
    events left out since there are too many to show."""

    initiated: float | None
    succeeded: float | None
    failed: float | None
    unfinished: int | None
    payments: list[LivePayment]
    skipped: int
    away: str | None
    now: int
    as_of: int | None


class PaymentEvent(Shape):
    """An event of one transaction."""

    at: int
    type: str
    source: str
    id: str
    told: dict[str, str | int | float | bool]
    partition: str
    offset: int


class TransactionEvents(Shape):
    """All events of one transaction that were found. `whole`: its beginning was found, or the topics were read to
    their beginnings; otherwise earlier ones may exist, since only the `looked_at` latest records, back to `back_to`, were."""

    transaction: str
    events: list[PaymentEvent]
    whole: bool
    looked_at: int
    back_to: int | None


# --- following --------------------------------------------------------------------------------------------------------


class Live:
    """The last payments, followed while somebody asks for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.names.events(SUBJECT)
        self._decoder = Decoder(SUBJECT, settings.mask_bytes)
        self._kept: OrderedDict[str, LivePayment] = OrderedDict()
        self._asked_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.skipped = 0
        self.away: str | None = None

    def look(self) -> list[LivePayment]:
        """The last payments, the latest first; from now on they are followed for a while."""
        self._asked_s = time.monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())
        return list(reversed(self._kept.values()))[:SHOWN]

    def transaction(self, place: str) -> str:
        """The id of a payment that was listed. Raises Refused where it is not kept any more."""
        for transaction, payment in self._kept.items():
            if payment.place == place:
                return transaction
        raise Refused(404, "this payment is no longer among the last ones: ask by its transaction id")

    async def close(self) -> None:
        if self._task is not None:
            await end([self._task])

    @property
    def _watched(self) -> bool:
        return time.monotonic() - self._asked_s < WATCHED_S

    async def _follow(self) -> None:
        while self._watched:
            try:
                await self._read(address(self._settings))
            except (KafkaUnreachable, KafkaError, OSError) as error:
                self.away = f"Kafka does not answer ({type(error).__name__})"
            heed()
            if self._watched:
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _read(self, kafka: str) -> None:
        """Until nobody looks. Raises what Kafka's client raises when it is away."""
        logs = await topic_logs(kafka, [self._topic])
        if self._topic not in logs:
            self.away = f"no topic {self._topic}: run 'tillwatch setup topics'"
            return
        partitions = [TopicPartition(self._topic, n) for n in range(logs[self._topic].partitions)]
        consumer = _consumer(kafka)
        await consumer.start()
        try:
            consumer.assign(partitions)
            firsts = await consumer.beginning_offsets(partitions)
            for partition, last in (await fetched_ends(kafka, firsts)).items():
                consumer.seek(partition, max(firsts[partition], last - BEGIN_BEFORE))
            self.away = None
            while self._watched:
                records = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=TAKEN_AT_ONCE)
                for batch in records.values():
                    for record in batch:
                        self.take(record)
                for partition in partitions:
                    await self._keep_up(consumer, partition)
                await asyncio.sleep(POLL_S)
        finally:
            await stop_consumer(consumer)

    async def _keep_up(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        last, at = consumer.highwater(partition), await consumer.position(partition)
        if last is not None and last - at > SKIP_FROM:
            self.skipped += last - SKIP_TO - at
            consumer.seek(partition, last - SKIP_TO)

    def take(self, record: Any) -> None:
        """The next record of its partition; what is no payment is left out."""
        try:
            event, at, _ = self._decoder.decode(record.value, record.key, record.headers)
        except NotAnEvent:
            return
        kind, _, state = event.TYPE.partition(".")
        if kind != "payment":
            return
        data = event.data
        self._kept.pop(data.transaction_id, None)
        self._kept[data.transaction_id] = LivePayment(
            place=f"{record.partition}-{record.offset}",
            id=shortened(data.transaction_id),
            at=at,
            state=state,
            provider=data.provider,
            method=data.method,
            amount=data.amount,
            currency=data.currency,
            latency_s=None if (ms := getattr(data, "latency_ms", None)) is None else round(ms / 1000, 3),
            fault=getattr(data, "fault", None),
            reason=getattr(data, "reason", None),
        )
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def shortened(transaction: str) -> str:
    """The end of an id, by which somebody who has it knows it again; nothing of one that is hardly longer."""
    return f"…{transaction[-SHOWN_END:]}" if len(transaction) >= 3 * SHOWN_END else "…"


def _consumer(kafka: str, wait_ms: int = 500) -> AIOKafkaConsumer:
    """wait_ms: how long a broker may wait for something to send, during which it answers nothing else."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        client_id="tillwatch-console",
        enable_auto_commit=False,
        auto_offset_reset="latest",
        fetch_max_wait_ms=wait_ms,
    )


# --- one transaction --------------------------------------------------------------------------------------------------


async def events_of(settings: Settings, transaction: str, within_s: float = LOOK_WITHIN_S) -> TransactionEvents:
    """All events of a transaction that are found within so long, reading backwards: first where its key would put them, then
    everywhere. Raises KafkaUnreachable, and what Kafka's client raises when it is away."""
    kafka = address(settings)
    consumer = _consumer(kafka, LOOK_WAIT_MS)
    await consumer.start()
    search = _Search(settings, consumer, transaction)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await search.run(kafka)
    finally:
        await stop_consumer(consumer)
    return search.told()


class _Search:
    """One look-up."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, transaction: str) -> None:
        self._names, self._consumer, self._transaction = settings.names, consumer, transaction
        self._needle = transaction.encode()
        self._decoders = {settings.names.events(one): Decoder(one, settings.mask_bytes) for one in (SUBJECT, LATER)}
        self._found: dict[tuple[str, int, int], PaymentEvent] = {}
        self._begun: int | None = None
        self._all = False
        self._looked = 0
        self._back: int | None = None

    async def run(self, kafka: str) -> None:
        logs = await topic_logs(kafka, self._decoders)
        every = [TopicPartition(one.topic, n) for one in logs.values() for n in range(one.partitions)]
        self._consumer.assign(every)
        firsts = await self._consumer.beginning_offsets(every)
        ends = await fetched_ends(kafka, firsts)
        own = [partition for partition in ends if partition.partition == self._home(logs[partition.topic].partitions)]
        own.sort(key=lambda one: one.topic != self._names.events(SUBJECT))
        for partition in own:
            await self._backwards(partition, firsts[partition], ends[partition])
        if not self._found:
            for partition in (one for one in ends if one not in own):
                await self._backwards(partition, firsts[partition], ends[partition])
            self._all = not self._found and self._looked < LOOK_AT

    def _home(self, partitions: int) -> int:
        """The partition of its key, as Kafka's clients choose it."""
        hashed: int = murmur2(self._needle)
        return (hashed & 0x7FFFFFFF) % partitions

    async def _backwards(self, partition: TopicPartition, first: int, last: int) -> None:
        """Block by block, until what began it was found or what came before it is reached."""
        self._consumer.pause(*(self._consumer.assignment() - {partition}))
        self._consumer.resume(partition)
        while last > first and self._looked < LOOK_AT:
            start = max(first, last - BLOCK)
            self._consumer.seek(partition, start)
            at, earliest = start, None
            while at < last:
                for record in (await self._consumer.getmany(partition, timeout_ms=200)).get(partition, ()):
                    at = record.offset + 1
                    if record.offset < last:
                        earliest = record.timestamp if earliest is None else earliest
                        self._look_at(record)
            last = start
            if earliest is not None:
                self._back = earliest if self._back is None else min(self._back, earliest)
            if self._begun is not None and (earliest is None or earliest <= self._begun):
                return

    def _look_at(self, record: Any) -> None:
        self._looked += 1
        if self._needle not in (record.value or b"") or len(self._found) >= EVENTS_MOST:
            return
        try:
            event, at, _ = self._decoders[record.topic].decode(record.value, record.key, record.headers)
        except NotAnEvent:
            return
        if getattr(event.data, "transaction_id", None) != self._transaction:
            return
        if event.TYPE == "payment.initiated":
            self._begun = at
        self._found[record.topic, record.partition, record.offset] = PaymentEvent(
            at=at,
            type=event.TYPE,
            source=event.source,
            id=event.id,
            told=_told(event.data),
            partition=f"{record.topic}/{record.partition}",
            offset=record.offset,
        )

    def told(self) -> TransactionEvents:
        return TransactionEvents(
            transaction=self._transaction,
            events=sorted(self._found.values(), key=lambda one: (one.at, one.offset)),
            whole=self._begun is not None or self._all,
            looked_at=self._looked,
            back_to=self._back,
        )


def _told(data: Any) -> dict[str, str | int | float | bool]:
    names: Iterable[str] = data.__struct_fields__
    values: Mapping[str, Any] = {name: getattr(data, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str | int | float) and name != "transaction_id"
    }
