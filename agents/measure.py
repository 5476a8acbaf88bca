"""Measure: folds the event topics' partitions and writes what changed, to Redis first and then to the rollups topic."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

import msgspec
from aiokafka import TopicPartition
from faust.types import TP
from redis.asyncio import Redis

from agents.retry import AWAY, until_done
from agents.transport import CHUNK_RECORDS, Chunk, ChunkApp
from rollups.partition import BEAT_MS, BLOCK, Cut, Letter, Met, Page, Partition, Progress
from rollups.sources import Encoded, Held, Refused, SourceStore, encode, unpacked
from runtime.clock import Clock
from runtime.faults import crash_point
from runtime.guard import Guard
from runtime.kafka import KafkaUnreachable, TopicLog, TopicLogs, fetched_ends
from runtime.names import Source
from runtime.retry import NotWanted
from runtime.settings import Settings
from runtime.tasks import end
from runtime.together import Together
from schemas.deadletter import letter
from schemas.decode import Decoder
from schemas.heartbeat import heartbeat
from schemas.masking import Masker
from schemas.rollup import PackedPart, Partial, encode_partials

log = logging.getLogger(__name__)

SLOW_EVERY_S = 5.0
REVOKE_LIMIT_S = 3.0
ASSIGN_WAIT_S = 10.0
PART_BYTES = 500_000
"""Size from which a partial is split; the broker's limit is 1 MiB."""
POLL_S = 0.05
BEAT_LIMIT_S, BEAT_AGAIN_S = 3.0, 1.0
BEHIND_FLUSHES = 4
PUT_OFF_S = 4.75
"""On a backlog a flush is put off, by so much at most: each one encodes whole buckets, and evaluate takes them in and writes
whole rows. Five seconds of a backlog hold some dozen buckets; two hold each of them twice."""
SLICE = 2 * BLOCK
"""So many records of a chunk are folded before others go on: a flush waits a dozen times, for the store, the broker and those
who talk to them, and took over a second where a whole chunk came in between each time."""
CONCURRENT = 32
HELD_UP_S = 5.0
"""A flush that takes longer is held up by a server that is away: nothing more is folded until it is through. Else memory would
grow for as long as that lasts; Kafka keeps what comes, and to fold it later costs what it would cost now."""


@dataclass(eq=False, slots=True)
class Owned:
    """A partition that this worker owns: its fold, and what Redis knows of it."""

    tp: TP
    held: Held
    fold: Partition
    generation: int
    end: int = 0
    """Offset after the last record in the partition, as the last fetch told."""
    read_ms: int = 0
    """Broker timestamp of the last record that was folded."""
    slow_at: float = 0.0
    """When the tables of high cardinality were last written, by the monotonic clock."""
    writing: bool = False
    """A cut was taken and is not written yet: what it held is nowhere else in memory."""
    gone: bool = False


class Measure:
    """Handler of the event topics (agents.transport.Handler)."""

    def __init__(self, settings: Settings, clock: Clock, redis: Redis, kafka: str, guard: Guard) -> None:
        self._settings, self._clock, self._kafka = settings, clock, kafka
        self._names = settings.names
        self._topics = self._names.event_topics
        self._store = SourceStore(redis, self._names, settings.bucket_ms)
        self._logs = TopicLogs(kafka)
        self._log_of = Together(self._logs.ask)
        self._bounds_of = Together(self._bounds)
        self._masker = Masker(settings.mask_bytes)
        self.owned: dict[TP, Owned] = {}
        self._loading: dict[TP, asyncio.Task[None]] = {}
        self._parked: dict[Source, Owned] = {}
        self._flushing = asyncio.Lock()
        self._flushed = asyncio.Condition()
        self._cut_at = float("inf")
        """When the flush began that is under way, by the monotonic clock."""
        self._limit = asyncio.Semaphore(CONCURRENT)
        self._beat_at = float("-inf")
        self.flushed_at = self.beaten_at = 0.0
        """When everything was written last, and when the broker last took a heartbeat into every partition (epoch seconds)."""
        self.app = ChunkApp(self._names.group("measure"), settings, kafka, list(self._topics), self, guard)

    # --- ownership ------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TP]) -> None:
        parked, self._parked = self._parked, {}
        for tp in partitions:
            self._begin_loading(tp, self._load(tp, parked))
        if partitions:
            # A short wait, so that the flow resumes on what is loaded; what takes longer goes on behind it.
            await asyncio.wait(self._loading.values(), timeout=ASSIGN_WAIT_S)

    async def revoked(self) -> None:
        await self._stop_loading()
        # Not cancelled when time is up: a flush ends by itself once what it writes is gone.
        flushing = asyncio.create_task(self.flush(slow=True))
        await asyncio.wait({flushing}, timeout=REVOKE_LIMIT_S)
        owned, self.owned = self.owned, {}
        for one in owned.values():
            one.gone = True
        self._parked = {one.held.source: one for one in owned.values() if one.fold.clean and not one.writing}
        if len(self._parked) < len(owned):
            log.warning("revoked before everything was written; the next owner reads it again")
        await flushing
        await self._stop_loading()  # of what the flush found refused

    def _begin_loading(self, tp: TP, load: Coroutine[None, None, None]) -> None:
        """One at a time: two would take the partition from each other, and neither would know where it is read from."""
        before = self._loading.get(tp)
        if before is not None:
            before.cancel()
        self._loading[tp] = asyncio.create_task(load)

    async def _stop_loading(self) -> None:
        loading, self._loading = self._loading, {}
        await end(loading.values())

    async def _load(self, tp: TP, parked: dict[Source, Owned] | None = None) -> None:
        """Takes a partition's state from Redis and reads on from there; waits for servers that are away."""
        try:
            await until_done(f"loading {tp.topic}[{tp.partition}]", lambda: self._take(tp, parked or {}), lambda: True)
        finally:
            if self._loading.get(tp) is asyncio.current_task():
                del self._loading[tp]

    async def _take(self, tp: TP, parked: dict[Source, Owned]) -> None:
        async with self._limit:
            log_now = await self._log_of.ask(tp.topic)
            if log_now is None:
                raise KafkaUnreachable(f"topic {tp.topic} does not exist: run 'tillwatch setup topics'")
            source = Source(tp.topic, log_now.topic_id, tp.partition)
            before = parked.get(source)
            if before is not None and await self._store.still_mine(before.held):
                held, fold, end = before.held, before.fold, before.end
            else:
                held, fold = await self._fresh(source)
                end = 0
            position = await self._within_log(tp, fold)

            def begin(generation: int) -> None:
                self.owned[tp] = Owned(tp, held, fold, generation, end)

            await self.app.chunks.seek_anew(tp, position, begin)
            self._beat_at = float("-inf")

    async def _fresh(self, source: Source) -> tuple[Held, Partition]:
        taken = await self._store.take(source, secrets.token_hex(8))
        fold = self._partition(source, taken.progress, taken.floor, taken.memory)
        for bucket, page in taken.pages.items():
            fold.put_page(bucket, page, resend=bucket in taken.resend)
        return taken.held, fold

    def _partition(
        self, source: Source, progress: Progress, floor: int | None, memory: Sequence[Met] = ()
    ) -> Partition:
        settings = self._settings
        return Partition(
            Decoder(self._names.subject(source.topic), self._settings.mask_bytes),
            bucket_ms=settings.bucket_ms,
            lateness_ms=int(settings.lateness * 1000),
            idle_ms=int(settings.idle * 1000),
            progress=progress,
            memory=memory,
            floor=floor,
        )

    async def _within_log(self, tp: TP, fold: Partition) -> int:
        """Where to read from: retention may have taken the beginning, and an unclean failover the end."""
        bounds = await self._bounds_of.ask((tp, fold.next))
        assert bounds is not None
        first, end = bounds
        if first > fold.next:
            log.error("%s[%d]: retention took offsets %d to %d unread", *tp, fold.next, first - 1)
        if end < fold.next:
            log.error("%s[%d]: the log ends at %d, though %d was folded: the broker lost records", *tp, end, fold.next)
        fold.clamp(first, end)
        return fold.position

    async def _bounds(self, asked: Set[tuple[TP, int]]) -> dict[tuple[TP, int], tuple[int, int]]:
        """{(partition, offset up to which it was folded): (its first offset, the offset after its last record)}."""
        tps = [tp for tp, _ in asked]
        chunks = self.app.chunks
        firsts, ends = await asyncio.gather(chunks.earliest_offsets(*tps), chunks.highwaters(*tps))
        doubtful = {TopicPartition(*tp): offset for tp, offset in asked if ends[tp] < offset}
        fetched = await fetched_ends(self._kafka, doubtful) if doubtful else {}
        return {(tp, offset): (firsts[tp], fetched.get(TopicPartition(*tp), ends[tp])) for tp, offset in asked}

    # --- records --------------------------------------------------------------------------------------------------

    async def process(self, partition: TP, chunk: Chunk) -> None:
        owned = self.owned.get(partition)
        if owned is None or chunk.generation != owned.generation:
            return
        owned.end = max(owned.end, chunk.end)
        fold = owned.fold
        for start in range(0, len(chunk.records), SLICE):
            some, index = chunk.records[start : start + SLICE], 0
            while index < len(some):
                if owned.gone or self.owned.get(partition) is not owned:
                    return
                if self._must_wait(fold):
                    await self._wait_for_flush(owned)
                    continue
                index, missing = fold.apply(some, index)
                if missing is not None:
                    try:
                        fold.put_page(missing, await self._page(owned, missing))
                    except NotWanted:  # it went to someone else while Redis was away
                        return
            owned.read_ms = some[-1].timestamp
            await asyncio.sleep(0)

    async def _page(self, owned: Owned, bucket: int) -> Page:
        pages = await until_done(
            f"loading bucket {bucket}", lambda: self._store.pages(owned.held.source, [bucket]), lambda: not owned.gone
        )
        return unpacked(bucket, pages[bucket])

    def _must_wait(self, fold: Partition) -> bool:
        """Whether as much waits for a flush as may. What is still being read again cannot be cut, and adds nothing."""
        return (fold.full and not fold.catching_up) or time.monotonic() - self._cut_at > HELD_UP_S

    async def _wait_for_flush(self, owned: Owned) -> None:
        async with self._flushed:
            await self._flushed.wait_for(lambda: owned.gone or not self._must_wait(owned.fold))

    # --- flushing -------------------------------------------------------------------------------------------------

    async def flush(self, *, slow: bool = False) -> None:
        """Writes everything that changed: dead letters, the script, the partial; then commits for lag tools."""
        async with self._flushing:
            self._cut_at = time.monotonic()
            try:
                await self._flush(slow)
            finally:
                self._cut_at = float("inf")
        async with self._flushed:  # also where nothing was written: whoever waits may have lost its partition
            self._flushed.notify_all()

    async def _flush(self, slow: bool) -> None:
        now = time.monotonic()
        slow = slow or self._put_off() > SLOW_EVERY_S / 2  # then flushes are as rare as those of the slow tables
        work = []
        for owned in list(self.owned.values()):
            if owned.gone or owned.writing:  # or an earlier flush failed half-way, and it is being loaded again
                continue
            cut = owned.fold.cut(slow=slow or now - owned.slow_at >= SLOW_EVERY_S)
            if cut is not None:
                owned.writing = True
                if cut.progress.slow_next == cut.progress.next:
                    owned.slow_at = now
                encoded = encode(cut)
                work.append((owned, cut, encoded, self._partials(owned, cut, encoded)))
                await asyncio.sleep(0)  # a cut is of one partition; the others may go on between two
        if work:
            # What was cut was fetched before this question, so it is of the log that the answer names.
            topics = {owned.tp.topic for owned, *_ in work}
            try:
                logs = await until_done(
                    "asking which logs the topics are", lambda: self._logs.ask(topics), lambda: bool(self.owned)
                )
            except NotWanted:
                return
            done = await asyncio.gather(*(self._flush_one(*item, _topic_id(logs, item[0])) for item in work))
            positions = {owned.tp: owned.held.written for owned in done if owned is not None and owned.held.written is not None}
            if await self.app.chunks.commit_for_tools(positions):
                crash_point("after_commit")
        self.flushed_at = self._clock.now()

    async def _flush_one(
        self, owned: Owned, cut: Cut, encoded: list[Encoded], partials: list[bytes], topic_id: str | None
    ) -> Owned | None:
        source = owned.held.source

        def wanted() -> bool:
            return not owned.gone

        async with self._limit:
            try:
                if topic_id != source.topic_id:
                    log.warning("%s was made anew: starting at its beginning", source.topic)
                    self._reload(owned)
                    return None
                crash_point("before_letters")
                if cut.letters:
                    await until_done("writing dead letters", lambda: self._send_letters(owned.tp, cut.letters), wanted)
                crash_point("after_letters")
                await until_done("writing to Redis", lambda: self._store.write(owned.held, cut, encoded), wanted)
                crash_point("after_script")
                for value in partials:
                    await until_done("sending a partial rollup", partial(self._send_partial, source, value), wanted)
                crash_point("after_send")
            except Refused as refused:
                log.warning("%s[%d]: %s; loading again", *owned.tp, refused)
                self._reload(owned)
                return None
            except NotWanted:
                return None
            owned.writing = False
            owned.fold.evict()
            return owned

    def _reload(self, owned: Owned) -> None:
        """Forgets what is in memory and loads again, unless the partition has gone to someone else by now."""
        owned.gone = True
        tp = owned.tp
        if self.owned.get(tp) is owned:
            del self.owned[tp]
            self._begin_loading(tp, self._load_if_mine(tp))

    async def _load_if_mine(self, tp: TP) -> None:
        # A frozen worker that wakes up learns only from its next heartbeat that it lost the partition.
        await asyncio.sleep(min(1.0, self._settings.session_timeout / 4) if self.app.chunks.stale() else 0.05)
        if not self.app.chunks.stale():
            await self._load(tp)

    async def _send_letters(self, tp: TP, letters: list[Letter]) -> None:
        messages = [
            letter(
                one.record.key, one.record.value, one.record.headers,
                reason=one.reason, detail=one.detail,
                topic=tp.topic, partition=tp.partition, offset=one.record.offset, broker_ms=one.record.timestamp,
                masker=self._masker,
            )
            for one in letters
        ]  # fmt: skip
        topic = self._names.deadletters
        await asyncio.gather(
            *(self._send(topic, key, value, tp.partition, headers) for key, value, headers in messages)
        )

    async def _send_partial(self, source: Source, value: bytes) -> None:
        await self._send(self._names.rollups, str(source).encode(), value, 0, None)

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, headers: list[tuple[str, bytes]] | None
    ) -> None:
        await self.app.send(topic, key, value, partition, headers)

    def _partials(self, owned: Owned, cut: Cut, encoded: list[Encoded]) -> list[bytes]:
        """The cut as messages of the rollups topic; the last of them carries the clocks."""
        parts = [
            PackedPart(table, change.bucket, change.first, change.last, msgspec.Raw(some))
            for change in encoded
            for table, rows in change.rows.items()
            for some in rows
        ]
        return encode_partials(
            Partial(
                source=str(owned.held.source),
                token=owned.held.token,
                next=cut.progress.next,
                watermark=cut.clocks.watermark,
                newest=cut.clocks.newest,
                behind=self.behind(owned),
            ),
            parts,
            PART_BYTES,
        )

    def behind(self, owned: Owned) -> bool:
        """Whether records wait that are older than a few flushes. By the wall clock, as the broker's timestamps are."""
        if owned.end <= owned.fold.next:
            return False
        return time.time() * 1000 - owned.read_ms > BEHIND_FLUSHES * self._settings.flush * 1000

    # --- heartbeats and the rhythm --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Flushes and beats until cancelled."""
        flush_s = self._settings.flush
        due = time.monotonic() + flush_s
        while True:
            await asyncio.sleep(min(POLL_S, flush_s))
            if self._clock.now() - self._beat_at >= BEAT_MS / 1000:
                self._beat_at = self._clock.now()
                await self._beat()
            now = time.monotonic()
            if now >= due + self._put_off():
                await asyncio.shield(self.flush())  # to be cancelled half-way would lose the cut
                due = max(due + flush_s, time.monotonic() + flush_s / 2)

    def _put_off(self) -> float:
        """How many seconds a flush is put off on a backlog: as many as what is read there is late, within bounds. What has
        waited for long may wait a little longer; what is hardly late, at a rate that is nearly too high, is not made so."""
        now = time.time()
        late = [now - owned.read_ms / 1000 for owned in self.owned.values() if owned.end - owned.fold.next > CHUNK_RECORDS]
        return min(max(late, default=0.0), PUT_OFF_S)

    async def _beat(self) -> None:
        """A heartbeat into every partition that is owned. One that cannot be sent is left out: the next, which is due soon
        then, will do."""
        now = self._clock.now()
        value = heartbeat(f"/{self._names.namespace}/worker", int(now * 1000))
        try:
            async with asyncio.timeout(BEAT_LIMIT_S):
                await asyncio.gather(*(self._send(tp.topic, None, value, tp.partition, None) for tp in self.owned))
            self.beaten_at = now
        except AWAY as error:
            self._beat_at = self._clock.now() - BEAT_MS / 1000 + BEAT_AGAIN_S
            log.info("heartbeats not sent: %s", error or type(error).__name__)


def _topic_id(logs: Mapping[str, TopicLog], owned: Owned) -> str | None:
    log_now = logs.get(owned.tp.topic)
    return None if log_now is None else log_now.topic_id
