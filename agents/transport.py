"""Faust with one message per fetched chunk of a partition, and with positions that are ours instead of Kafka's.

Faust spends four asyncio tasks on a message; here that is spent on a chunk of up to 2,000 records. Where a partition is
read from is told by a `Handler`, right before the flow resumes after a rebalance; Kafka's committed offsets are only
written, for lag tools. Faust's acknowledgements, gap tracking and tables are switched off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import faust
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from yarl import URL

from runtime.guard import Guard
from runtime.settings import Settings
from schemas.decode import Record

log = logging.getLogger(__name__)

LOG_APPEND_TIME = 1
CHUNK_RECORDS = 4_000
QUEUED_CHUNKS = 8
FETCH_WAIT_S = 0.25
ASSIGN_LIMIT_S = 20.0
COMMIT_LIMIT_S, COMMIT_EVERY_S = 3.0, 1.0
"""Only lag tools read what is committed, and it takes as long as all the rest of a flush."""
METADATA_AGE_MS = 10_000
"""So long partitions that were added to a topic may go unseen. Their events are missing from every count meanwhile."""
HAND_OVER_LIMIT_S = 20.0
"""Whoever does not join the group's next generation within it is put out, which makes another generation: on a busy machine
with a backlog that went on and on with 10 s. Who is dead is told by the session, which is shorter. It must be below the limit
of a request, since joining is one that the broker answers when all have joined."""

NEVER_S = 1e9


Headers = Mapping[str, bytes] | list[tuple[str, bytes]]


class Chunk(NamedTuple):
    """Consecutive records of one partition. `generation` counts the seeks of the partition before it was fetched; `end` is
    the offset after the partition's last record, as far as known."""

    records: Sequence[Record]
    generation: int
    end: int


class Handler(Protocol):
    """What a group of partitions is for. All calls come from one event loop."""

    async def assigned(self, partitions: set[TP]) -> None:
        """Called before the flow resumes: loads each partition and calls `seek_anew` on it, or sees to it that this happens
        soon. It must return within 20 s."""

    async def revoked(self) -> None:
        """Called when the flow has stopped and before others get the partitions: writes what is not written, forgets."""

    async def process(self, partition: TP, chunk: Chunk) -> None:
        """Handles a chunk. An exception ends the process: state and position are safe together in Redis."""


class _NoReadOffset(dict[TP, int | None]):
    """Switches off Faust's own filter of records that are older than the last read."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        pass

    def update(self, *args: Any, **kwargs: Any) -> None:
        pass


class _Fetched(OrderedDict[TopicPartition, Any]):
    """What aiokafka has fetched, by partition. Records stay what its C extension makes of them: another object and a tuple
    for each, with fields that nobody reads, are most of what its thread costs."""

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records._consumer_record = _as_it_is
        super().__setitem__(partition, result)


def _as_it_is(partition: TopicPartition, record: Record) -> Record:
    return record


class _Thread(driver.AIOKafkaConsumerThread):
    _committing = False

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = 100  # Faust fixes 1,500
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        fetcher = consumer._fetcher
        if not isinstance(fetcher._records, _Fetched):
            fetcher._records = _Fetched(fetcher._records)
        return await super()._fetch_records(consumer, *args, **kwargs)

    def rejoining(self) -> bool:
        subscription = self._consumer._subscription if self._consumer is not None else None
        return bool(subscription is None or subscription.reassignment_in_progress)

    async def commit_quietly(self, offsets: Mapping[TP, int]) -> None:
        # A commit sent while JoinGroup is under way comes back as IllegalGeneration, and aiokafka then drops its member
        # id and joins again: a rebalance storm.
        if self.rejoining() or self._committing or self._consumer is None:
            return
        self._committing = True
        try:
            positions = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
            await asyncio.wait_for(self._consumer.commit(positions), COMMIT_LIMIT_S)
        except Exception as error:  # only lag tools read it; the next flush commits again
            log.info("commit skipped: %r", error)
        finally:
            self._committing = False


class _Consumer(driver.Consumer):
    app: ChunkApp
    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffset()
        self._fetching = asyncio.Lock()  # a seek waits for it, so that no chunk straddles one
        self._seeks: defaultdict[TP, int] = defaultdict(int)
        self._uncommitted: dict[TP, int] = {}
        self._committed_at = float("-inf")

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active, group_generation = self._get_active_partitions(), self.app.consumer_generation_id
        if not active:
            await self.sleep(0.2)
            return
        async with self._fetching:
            fetched = await self._getmany(active_partitions=active, timeout=FETCH_WAIT_S)
            chunks = [
                (TP(*tp), Chunk(records, self._seeks[TP(*tp)], self._end(tp, records))) for tp, records in fetched.items()
            ]
        for tp, chunk in chunks:
            if self.should_stop or not self.flow_active or group_generation != self.app.consumer_generation_id:
                return  # dropped: the seek to come reads it again
            last = chunk.records[-1]
            yield tp, ConsumerMessage(
                tp.topic, tp.partition, last.offset, last.timestamp / 1000, LOG_APPEND_TIME,
                [], None, chunk, None, -1, -1, tp=tp, generation_id=group_generation,
            )  # fmt: skip

    def _end(self, tp: TP, records: Sequence[Record]) -> int:
        end: int = max(self._thread.highwater(tp) or 0, records[-1].offset + 1)
        return end

    async def perform_seek(self) -> None:
        """Faust's recovery awaits this after every rebalance, just before the flow resumes."""
        try:
            await asyncio.wait_for(self.app.handler.assigned(set(self.assignment())), ASSIGN_LIMIT_S)
        except Exception as error:
            if not self.stale():
                self.app.guard.die(f"taking over the assigned partitions failed: {error!r}")
            log.warning("assignment overtaken by the next: %r", error)
        if self.stale():  # the next rebalance has begun; recovery is cancelled when its assignment comes
            await asyncio.Event().wait()
        self.app.joined.set()

    async def seek_anew(self, partition: TP, position: int, begin: Callable[[int], None] | None = None) -> None:
        """Moves one partition; chunks that were fetched before are told by their generation. `begin` is called with the new
        one before the first chunk of it is fetched."""
        async with self._fetching:
            self._seeks[partition] += 1
            await self.seek_wait({partition: position})
            if begin is not None:
                begin(self._seeks[partition])

    def generation(self, partition: TP) -> int:
        seeks: int = self._seeks[partition]
        return seeks

    def stale(self) -> bool:
        """Whether the assignment that is being worked on is not the group's latest any more."""
        return self._thread.rejoining() or self.app.consumer_generation_id != self.app.tables.recovery._generation_id

    async def commit_for_tools(self, offsets: Mapping[TP, int]) -> bool:
        """Commits these offsets and those that wait; if it has just done so they wait for the next. Whether it did."""
        self._uncommitted |= offsets
        now = time.monotonic()
        if not self._uncommitted or now - self._committed_at < COMMIT_EVERY_S:
            return False
        self._committed_at, waiting, self._uncommitted = now, self._uncommitted, {}
        mine = {tp: waiting[tp] for tp in waiting.keys() & self.assignment()}
        if mine:
            await self._thread.call_thread(self._thread.commit_quietly, mine)
        return bool(mine)


class _Transport(driver.Transport):
    Consumer = _Consumer


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Faust waits a second here, for tables to be declared."""
        await self._update_channels()
        await self.recovery.start()


class _Chunks(faust.Schema):
    """Hands the chunk on as it is."""

    def compile(self, app: faust.App, **kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


def _unknown(cluster: Any, topic: str, partition: int) -> bool:
    known = cluster.partitions_for_topic(topic)
    return known is not None and partition not in known


class ChunkApp(faust.App):
    """A Faust app that reads topics for one handler, as one consumer group."""

    def __init__(
        self, group: str, settings: Settings, kafka: str, topics: list[str], handler: Handler, guard: Guard
    ) -> None:
        self.handler, self.guard = handler, guard
        self.joined = asyncio.Event()
        """Set once the group has been joined and what it assigned is loaded."""
        self.let_go = False
        """Whether it has stopped so far that its handler has written what it had."""
        broker = [URL(f"kafka://{address.strip()}") for address in kafka.split(",")]
        super().__init__(
            group,
            broker=broker,
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=0,
            TableManager=_NoTables,
            stream_wait_empty=False,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=min(1.0, settings.session_timeout / 4),
            # Whoever does not read for long, as the store is away, is not dead. After 1,000 s aiokafka would leave the group,
            # and join it again only when it is read from: never, as nothing is read without partitions.
            broker_max_poll_interval=NEVER_S,
            broker_rebalance_timeout=max(HAND_OVER_LIMIT_S, settings.session_timeout),
            broker_request_timeout=max(30.0, settings.session_timeout * 2),
            broker_max_poll_records=CHUNK_RECORDS,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_AGE_MS,
            producer_acks=-1,
            producer_request_timeout=10.0,
            producer_max_request_size=16 * 1024 * 1024,
        )
        self.transport = _Transport(broker, app=self)
        # acks=False switches off Faust's acknowledgements and its unbounded wait at shutdown. `app.topic(maxsize=)` is
        # dropped in 0.15.3, so the bound is set on the topic afterwards.
        channel = self.topic(*topics, schema=_Chunks(), acks=False)
        channel.maxsize = QUEUED_CHUNKS
        self.agent(channel, name=f"{group}.process")(self._process)
        self.on_partitions_revoked.connect(self._on_group_revoked)
        self.on_partitions_assigned.connect(self._on_group_assigned)
        self.on_before_shutdown.connect(self._on_group_shutdown)

    def _create_directories(self) -> None:
        """Faust's tables are not used, so it needs no folder."""

    @property
    def chunks(self) -> _Consumer:
        consumer = self.consumer
        assert isinstance(consumer, _Consumer)
        return consumer

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, headers: Headers | None = None
    ) -> None:
        """Sends a record, and returns when it is acknowledged. Raises as `agents.retry.AWAY` lists."""
        client = self.producer._ensure_producer().client
        if _unknown(client.cluster, topic, partition):  # it was added a moment ago: a consumer may hear of it first
            await client.force_metadata_update()
            if _unknown(client.cluster, topic, partition):
                raise UnknownTopicOrPartitionError(f"{topic}[{partition}]")
        await self.producer.send_and_wait(topic, key, value, partition, None, headers)

    async def _process(self, stream: Any) -> None:
        async for event in stream.events():
            await self.handler.process(event.message.tp, event.value)
            await asyncio.sleep(0)

    async def _on_group_revoked(self, app: faust.App, revoked: set[TP], **kwargs: Any) -> None:
        await self.handler.revoked()

    async def _on_group_assigned(self, app: faust.App, assigned: set[TP], **kwargs: Any) -> None:
        if not assigned:
            self.joined.set()

    async def _on_group_shutdown(self, app: faust.App, **kwargs: Any) -> None:
        await self.handler.revoked()  # consumer and producer still run; no revocation comes on SIGTERM
        self.let_go = True

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        if isinstance(exc, asyncio.CancelledError):
            return
        log.critical("agent failed", exc_info=exc)
        self.guard.die(f"{agent!r}: {exc!r}")
