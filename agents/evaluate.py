"""Evaluate: the leader that merges partial rollups, writes the merged tables, judges the rules and sends alerts."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from typing import TypeVar

from faust.types import TP
from redis.asyncio import Redis

from agents import imports
from agents.outbox import Outbox
from agents.retry import until_done
from agents.transport import Chunk, ChunkApp
from rollups.merger import Merger
from rollups.partition import AMEND_HORIZON_MS
from rollups.sources import SourceStore
from rollups.tables import DAY, HOUR, RESOLUTIONS, NotWriter, TableStore
from rules.engine import Engine, Progress, Standing, Transition
from rules.learned import Imported, Learned
from rules.loader import RuleSet
from rules.rule import Rule
from runtime.clock import Clock
from runtime.faults import crash_point
from runtime.guard import Guard
from runtime.kafka import TopicLog, TopicLogs
from runtime.names import Source
from runtime.outbox import HEADER, Entry, NotLeader, tail
from runtime.retry import NotWanted
from runtime.settings import Settings
from runtime.tasks import end
from schemas.alert import AlertEvent, ended
from schemas.rollup import Partial, decode_partial
from schemas.tables import TABLES

log = logging.getLogger(__name__)

T = TypeVar("T")

JUDGE_EVERY_S, JUDGE_LATEST_S = 0.1, 1.0
"""What several partitions flush together is judged together; on a backlog, where each has much to flush, as late as that."""
JUDGE_REST = 4
"""On a backlog the rest after it is so many times as long as it took, up to the limit for rows: many partitions change the same
cells one after the other."""
WRITE_EVERY_S, WRITE_LATEST_S = 1.0, 5.0
"""Rows are written this often; while more partials are waiting or records of a backlog, which would change them again, as
late as that."""
LEAVE_LIMIT_S = 3.0
CHECK_EVERY_S = 5.0
EXPIRE_EVERY_S = 60.0
GONE = "the rule is no longer in force"
HISTORY_MS, FINE_HISTORY_MS = 28 * DAY, 3 * HOUR
"""A baseline that has no state is learned from so much of the merged tables, the last hours by the minute."""
BASELINES_TOLD = 50
STANDINGS_EVERY_S = 3.0
QUIET_FLUSHES, UNSETTLED_S = 12, 30.0
"""Events that come together long after they happened come partition by partition. Verdicts on them are held until none
have come for so many flushes, but no longer than that: who always publishes late is judged, too."""
TAKEN_S = 10.0
"""For so long after taking the lead nobody is called silent: what they said may be on its way."""
PAYMENTS, COHORTS = "payments", "payment_cohorts"
UNHEARD_S = 30.0
"""So long after taking the lead, a partition that nothing has been heard of holds the verdicts on its table."""
CONCURRENT = 16


class Outdated(RuntimeError):
    """What this leader knows from Redis is not what is there now."""


class Evaluate:
    """Handler of the rollups topic (agents.transport.Handler). One partition: one leader, warm standbys."""

    def __init__(
        self, settings: Settings, clock: Clock, redis: Redis, kafka: str, rules: RuleSet, guard: Guard
    ) -> None:
        self._settings, self._clock, self._kafka, self._rules = settings, clock, kafka, rules
        self._redis = redis
        self._imports = 0
        self._standings: list[Standing] = []
        self._stood_at = float("-inf")
        self._names = settings.names
        self._sources = SourceStore(redis, self._names, settings.bucket_ms)
        self._tables = TableStore(redis, self._names)
        self._outbox = Outbox(redis, self._names)
        self._logs = TopicLogs(kafka)
        self._current: dict[str, TopicLog] = {}
        self._tp = TP(self._names.rollups, 0)
        self._leading: asyncio.Task[None] | None = None
        self._mine = False
        """Whether the partition is assigned to this worker: nobody else may take the lead."""
        self._generation = -1
        self._working = asyncio.Lock()
        self._offset = 0
        self._written_at = self._checked_at = self._expired_at = 0.0
        self._led_at = float("-inf")
        self._delayed: dict[str, tuple[float, float]] = {}
        """Table → when cells of events long past began to come, and when the last came, by the monotonic clock."""
        self._merger = Merger(settings.bucket_ms)
        self._engine = self._new_engine()
        self.end = 0
        self.app = ChunkApp(self._names.group("evaluate"), settings, kafka, [self._names.rollups], self, guard)

    def _new_engine(self) -> Engine:
        settings = self._settings
        return Engine(
            self._rules,
            settings.namespace,
            settings.bucket_ms,
            int(settings.historical_after * 1000),
            int(settings.no_data_after * 1000),
            lambda start, end: self._merger.spans(start, end),
        )

    @property
    def leader(self) -> bool:
        return self._generation >= 0

    @property
    def offset(self) -> int:
        """The offset of the rollups topic up to which everything is merged."""
        return self._offset

    def baselines(self) -> Iterator[tuple[Rule, Learned]]:
        """Every baseline, with the first of the rules that ask for it."""
        return self._engine.baselines.all()

    def standings(self) -> dict[str, object]:
        """How many rules are in force, and which do not stand well; worked out every few seconds."""
        now = time.monotonic()
        if now - self._stood_at >= STANDINGS_EVERY_S:
            self._stood_at = now
            self._standings = self._engine.states(self.table_progress(int(self._clock.now() * 1000)))
        return {"count": len(self._engine.rules), "states": [asdict(one) for one in self._standings]}

    def told_baselines(self) -> list[dict[str, object]]:
        """What is known of the first baselines, for `tillwatch status`."""
        return [
            {
                "rule": rule.name,
                "group": dict(zip(rule.by, one.group, strict=True)),
                "state": one.state,
                "says": one.words(one.readings[-1]) if one.readings else "",
            }
            for rule, one in islice(self.baselines(), BASELINES_TOLD)
        ]

    # --- leadership -----------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TP]) -> None:
        self._mine = self._tp in partitions
        if self._mine:
            self._leading = asyncio.create_task(self._lead())
            await asyncio.wait([self._leading], timeout=10.0)

    async def revoked(self) -> None:
        self._mine = False
        task, self._leading = self._leading, None
        if task is not None:
            await end([task])
        if self.leader:
            try:
                async with asyncio.timeout(LEAVE_LIMIT_S):
                    await self._work(write=True, leaving=True)
            except TimeoutError:
                log.info("left the lead with rows unwritten; the next leader writes them")
        self._generation = -1

    async def judge_by(self, rules: RuleSet) -> None:
        """Puts other rules in force. The leader takes the lead again, since they may look further back than what is held."""
        async with self._working:
            self._rules = rules
            if not self.leader:
                return
            self._generation = -1
        leading = self._lead_again()
        if leading is not None:
            await asyncio.wait([leading])

    def _lead_again(self) -> asyncio.Task[None] | None:
        """Takes the lead anew, unless the partition has gone to someone else or is about to. What began to work while it was
        ours may find out later that somebody else leads."""
        if not self._mine or self.app.chunks.stale():
            return None
        if self._leading is None or self._leading.done():
            self._leading = asyncio.create_task(self._lead())
        return self._leading

    async def _lead(self) -> None:
        """Takes the lead: the end of the rollups topic first, then what Redis has, then on from that end."""
        async with self._working:
            self._generation = -1
            position = await until_done("taking the lead", self._load, lambda: True)

            def begin(generation: int) -> None:
                self._generation = generation
                self._offset = self.end = position
                self._led_at = now = time.monotonic()
                # What was loaded may be the beginning of what is coming in: the rest of it comes with the first chunks.
                self._delayed = dict.fromkeys(TABLES, (now, now))

            await self.app.chunks.seek_anew(self._tp, position, begin)
        log.info("leading from offset %d of %s", position, self._names.rollups)

    async def _load(self) -> int:
        end: int = (await self.app.chunks.highwaters(self._tp))[self._tp]
        token = secrets.token_hex(8)
        await self._tables.take(token)
        await self._outbox.take(token, await tail(self._kafka, self._names.alerts, "tillwatch-evaluate"))
        self._current = await self._logs.ask(self._names.event_topics)
        merger, engine = Merger(self._settings.bucket_ms), self._new_engine()
        imported = await self._restore_baselines(engine)
        engine.restore(self._outbox.states.values(), self._outbox.beside)
        judged = engine.judged(self._outbox.beside)
        contained = {table: await self._tables.merged_offsets(table) for table in TABLES}
        states = {source: await self._sources.state(source) for source in await self._sources.all()}
        newest = max(
            (s[1].watermark for s in states.values() if s is not None and s[1].watermark is not None), default=None
        )
        # What the verdicts that are still open look at; all there is where it is not known how far was judged.
        since = min((judged.get(table, 0) - engine.reach_ms(table) for table in engine.tables), default=newest or 0)
        unlearned = [at for table in engine.tables if (at := engine.baselines.since(table)) is not None]
        since = min([since, *unlearned])
        for source, state in states.items():
            if state is None:
                continue
            position, clocks = state
            if newest is not None and self._outlived(source, clocks.watermark, newest):
                await self._sources.forget(source)
                continue
            merger.progress(source).advance(position, clocks.watermark, clocks.newest, False)
            written = min((offsets.get(str(source), 0) for offsets in contained.values()), default=0)
            changes = await self._sources.changes(source)
            wanted = [bucket for bucket, offset in changes.items() if bucket >= since or offset >= written]
            for bucket, page in (await self._sources.pages(source, wanted)).items():
                merger.put(source, bucket, page, changed=changes[bucket] >= written)
        await self._learn(engine, imported)
        self._merger, self._engine = merger, engine
        if newest is not None:
            await self._load_absent(merger.begin(min(since, newest)))
        self._feed()
        return end

    async def _restore_baselines(self, engine: Engine) -> list[Imported]:
        self._imports = await imports.count(self._redis, self._names)
        imported = await imports.load(self._redis, self._names)
        strangers = engine.baselines.restore(await self._outbox.baselines(), imported)
        await self._outbox.forget_baselines(strangers)
        return imported

    async def _learn(self, engine: Engine, imported: Sequence[Imported]) -> None:
        """Gives history to the baselines that have none: hours of the merged rows, and minutes where cells are held from."""
        baselines = engine.baselines
        for table in baselines.tables:
            held = engine.known_from(table)
            hours, minutes = RESOLUTIONS["1h"], RESOLUTIONS["1m"]
            latest = -(-held // minutes.width_ms) * minutes.width_ms if held else int(self._clock.now() * 1000)
            split = hours.start(latest) - FINE_HISTORY_MS
            for resolution, start, stop in ((hours, latest - HISTORY_MS, split), (minutes, split, latest)):
                async for rows in self._tables.chunks(table, resolution.name, start, stop, sketches=False):
                    baselines.remember(table, resolution.width_ms, rows)
                    await asyncio.sleep(0)
        for _ in baselines.learn(imported):
            await asyncio.sleep(0)

    def _outlived(self, source: Source, watermark: int | None, newest: int) -> bool:
        """Whether a log that was deleted is past amending by now."""
        now = self._current.get(source.topic)
        gone = now is not None and now.topic_id != source.topic_id
        return gone and (watermark is None or watermark < newest - 2 * AMEND_HORIZON_MS)

    # --- partials -------------------------------------------------------------------------------------------------

    async def process(self, partition: TP, chunk: Chunk) -> None:
        if chunk.generation != self._generation:
            return
        async with self._working:
            if chunk.generation != self._generation:
                return
            for record in chunk.records:
                if record.offset >= self._offset:
                    if record.value is not None:
                        try:
                            await self._merge(decode_partial(record.value))
                        except NotWanted:  # someone else leads by now
                            return
                    self._offset = record.offset + 1
            self.end = max(self.end, chunk.end)

    async def _merge(self, partial: Partial) -> None:
        source = Source.parse(partial.source)
        merger = self._merger
        progress = merger.progress(source)  # from its first part on: buckets that are loaded again must hold its cells, too
        await self._load_absent(merger.absent(part.bucket for part in partial.tables))
        for part in partial.tables:
            merger.offer(source, part.table, part.bucket, part.first, part.last, part.rows)
        if partial.part == partial.parts - 1:
            progress.advance(partial.next, partial.watermark, partial.newest, partial.behind)
        self._note_delays(partial)
        now = self._current.get(source.topic)
        if now is None or now.topic_id != source.topic_id or source.partition >= now.partitions:
            self._current = await until_done(
                "asking which logs the topics are",
                lambda: self._logs.ask(self._names.event_topics),
                lambda: self.leader,
            )

    def _note_delays(self, partial: Partial) -> None:
        """Notes which tables got events that are older than what may come late. A cohort always is: payments take time."""
        now, past = time.monotonic(), self._long_past()
        for table in {part.table for part in partial.tables if part.bucket < past} - {COHORTS}:
            since, last = self._delayed.get(table, (now, now))
            self._delayed[table] = (since if now - last < self._quiet_s else now), now

    def _long_past(self) -> int:
        """Buckets that start before this are of events that came late."""
        return int((self._clock.now() - self._settings.lateness) * 1000) - self._settings.bucket_ms

    @property
    def _quiet_s(self) -> float:
        return QUIET_FLUSHES * self._settings.flush

    def _unsettled(self, table: str) -> int | None:
        """See `rules.engine.Progress`."""
        table = PAYMENTS if table == COHORTS else table
        now, (since, last) = time.monotonic(), self._delayed.get(table, (0.0, float("-inf")))
        coming = now - last < self._quiet_s and now - since < UNSETTLED_S
        return self._long_past() if coming else None

    def _talking(self, table: str) -> bool:
        """See `rules.engine.Progress`. Who publishes what happened long ago is not silent, however slowly it comes."""
        _, last = self._delayed.get(table, (0.0, float("-inf")))
        lately = TAKEN_S if last == self._led_at else self._settings.no_data_after
        return time.monotonic() - last < lately

    async def _load_absent(self, buckets: Iterable[int]) -> None:
        """Hands the merger old buckets that a late event amends: of every source, as Redis has them."""
        wanted = sorted(buckets)
        if not wanted:
            return
        for source in list(self._merger.sources):
            pages = await until_done(
                "loading amended buckets", partial(self._sources.pages, source, wanted), lambda: True
            )
            for bucket, page in pages.items():
                self._merger.put(source, bucket, page, changed=False)

    def _feed(self) -> None:
        for (table, bucket), cells in self._merger.take_changed(self._engine.tables, self._engine.sketched).items():
            for key, cell in cells.items():
                self._engine.update(table, bucket, key, cell)

    # --- judging --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Judges what time alone changes, and writes rows, until cancelled."""
        worked_at = float("-inf")
        took = 0.0
        while True:
            await asyncio.sleep(JUDGE_EVERY_S)
            began = time.monotonic()
            rest = max(JUDGE_LATEST_S, min(JUDGE_REST * took, WRITE_LATEST_S)) if self._behind else 0.0
            if began - worked_at >= rest:
                await asyncio.shield(self._work(write=True))  # cancelled half-way, what it had sent would be sent again
                worked_at = time.monotonic()
                took = worked_at - began
            if self.leader:
                await self.app.chunks.commit_for_tools({self._tp: self._offset})

    async def flush(self) -> None:
        """Judges and writes everything now."""
        self._written_at = 0.0
        self._delayed = {}
        await self._work(write=True)

    @property
    def _behind(self) -> bool:
        """Whether a partition is being read that has grown much longer than what has been read of it."""
        return any(progress.behind for progress in self._merger.sources.values())

    async def _work(self, *, write: bool, leaving: bool = False) -> None:
        """`leaving`: the next leader goes on from here, so how far was judged is kept, as else with verdicts and checks."""
        async with self._working:
            if not self.leader:
                return
            try:
                await self._judge()
                if leaving:
                    await self._save("keeping how far was judged", [])
                now = time.monotonic()
                pause = WRITE_LATEST_S if self._behind or self._offset < self.end else WRITE_EVERY_S
                if write and now - self._written_at >= pause:
                    self._written_at = now
                    await self._write_rows()
            except NotWanted:
                pass
            except (NotLeader, NotWriter, Outdated) as error:
                self._generation = -1
                if self._lead_again() is not None:
                    log.warning("%s; taking the lead again", error)

    async def _judge(self) -> None:
        """Judges until nothing changes. What was saved is sent before anything else of its rule and group is saved."""
        self._feed()  # not chunk by chunk: what several partitions flush together is added up once
        now_ms = int(self._clock.now() * 1000)
        progress = self.table_progress(now_ms)
        await self._send_unsent()
        for fingerprint in self._engine.orphans():
            await self._withdraw(fingerprint, now_ms)
        while transitions := self._engine.judge(now_ms, progress):
            entries = [self._entry(transition, now_ms) for transition in transitions]
            await self._save("saving alert states", entries)
            crash_point("after_save")
            await self._send_unsent()

    async def _withdraw(self, fingerprint: str, now_ms: int) -> None:
        """Ends the alert of a rule that is no more, with the last that was told of it."""
        entry = self._outbox.entries[fingerprint]
        state = entry.state | {"status": "resolved"}
        alert = None if entry.event is None else ended(AlertEvent.model_validate_json(entry.event), now_ms, GONE)
        told = None if alert is None else alert.model_dump_json(exclude_none=False)
        number = self._outbox.next_number(fingerprint, now_ms)
        await self._save("ending the alert of a rule that is no more", [Entry(fingerprint, number, state, told, told is None)])
        await self._send_unsent()

    async def _send_unsent(self) -> None:
        unsent = self._outbox.unsent()
        for entry in unsent:
            await self._kept("sending an alert", partial(self._send, entry))
            crash_point("after_alert")
        if unsent:
            await self._save("marking alerts as sent", [replace(entry, sent=True) for entry in unsent])

    async def _save(self, what: str, entries: Sequence[Entry]) -> None:
        baselines = self._engine.baselines
        await self._kept(what, lambda: self._outbox.save_with(entries, self._engine.kept(), baselines.changed()))
        baselines.kept()

    async def _kept(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        return await until_done(what, call, lambda: self.leader)

    def _entry(self, transition: Transition, now_ms: int) -> Entry:
        fingerprint = transition.fingerprint
        number = self._outbox.next_number(fingerprint, now_ms)
        event = transition.event
        if event is None:
            return Entry(fingerprint, number, transition.state)
        return Entry(fingerprint, number, transition.state, event.model_dump_json(exclude_none=False), False)

    async def _send(self, entry: Entry) -> None:
        assert entry.event is not None
        headers = {"content-type": b"application/cloudevents+json; charset=UTF-8", HEADER: entry.header()}
        await self.app.send(self._names.alerts, entry.key.encode(), entry.event.encode(), 0, headers)

    def table_progress(self, now_ms: int) -> Mapping[str, Progress]:
        """How far each table is complete: the least watermark of its topic's partitions, never beyond the present."""
        by_topic: dict[str, list[Source]] = {}
        for source in self._merger.sources:
            now = self._current.get(source.topic)
            if now is not None and now.topic_id == source.topic_id:
                by_topic.setdefault(source.topic, []).append(source)
        result = {}
        for name, table in TABLES.items():
            topics = self._names.event_topics if table.home is None else (self._names.events(table.home),)
            watermark: int | None = now_ms
            behind = False
            for topic in topics:
                sources = by_topic.get(topic, ())
                now = self._current.get(topic)
                if now is None or len(sources) < now.partitions:
                    watermark = None  # some partition has not been heard of: it may hold anything
                    behind = behind or time.monotonic() - self._led_at < UNHEARD_S
                for source in sources:
                    progress = self._merger.sources[source]
                    behind = behind or progress.behind
                    if watermark is not None:
                        watermark = None if progress.watermark is None else min(watermark, progress.watermark)
            result[name] = Progress(watermark, behind, self._offset, self._unsettled(name), self._talking(name))
        return result

    # --- merged rows ----------------------------------------------------------------------------------------------

    async def _write_rows(self) -> None:
        """Writes the 10 s rows that changed with how far they go, and now and then rolls up, checks and expires."""
        merger = self._merger
        rows = merger.take_rows()
        positions = {str(source): progress.next for source, progress in merger.sources.items()}
        now = time.monotonic()
        check = now - self._checked_at >= CHECK_EVERY_S
        try:
            for table in TABLES:
                # An empty write still compares what Redis has with what was written: rows may be lost in silence.
                if table in rows or check:
                    found = rows.get(table, {})
                    await self._kept("writing rollup rows", partial(self._tables.write, table, found, positions))
        except BaseException:
            merger.rows_lost(rows)
            raise
        progress = self.table_progress(int(self._clock.now() * 1000))
        if check:
            self._checked_at = now
            await self._save("checking the lead", [])
            if await self._kept("looking for imports", lambda: imports.count(self._redis, self._names)) != self._imports:
                raise Outdated("history was imported")
            for table, one in progress.items():
                if one.watermark_ms is not None:
                    at = one.watermark_ms
                    await self._kept("rolling up", partial(self._tables.materialise, table, at))
        if now - self._expired_at >= EXPIRE_EVERY_S:
            self._expired_at = now
            old = [mark for mark in self._engine.forgettable() if mark in self._outbox.entries]
            await self._kept("forgetting old alert states", partial(self._outbox.forget, old))
            marks = [one.watermark_ms for one in progress.values() if one.watermark_ms is not None]
            if marks:
                for table in TABLES:
                    await self._kept("expiring rows", partial(self._tables.expire, table, max(marks)))
        merger.evict(0)
