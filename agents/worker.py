"""The worker: measure and evaluate as two Faust apps in one process and one event loop, or one of them alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from aiokafka import TopicPartition
from redis.asyncio import Redis

from agents.evaluate import Evaluate
from agents.measure import Measure
from agents.retry import AWAY
from agents.rulebook import Rulebook
from rules.loader import RuleSet
from runtime.clock import Clock
from runtime.guard import Guard
from runtime.kafka import KafkaUnreachable, address, fetched_ends, require_topics
from runtime.redis import check, connect
from runtime.settings import Settings
from runtime.tasks import end

log = logging.getLogger(__name__)

STATUS_EVERY_S = 1.0
MERGED_POLL_S = 0.01
STATUS_KEPT_S = 15
JOIN_LIMIT_S = 60.0
STOP_LIMIT_S = 9.0


class Part(StrEnum):
    """What a worker may do alone."""

    MEASURE = "measure"
    EVALUATE = "evaluate"


class WorkerFailed(RuntimeError):
    """A worker that is a guest in its process could not go on; the log says why."""


class Worker:
    """One worker. Several share the partitions of one installation. `guard`: a ProcessGuard where the process is its own.
    `only`: measure folds events and never leads; evaluate merges and judges, or stands by."""

    def __init__(
        self, settings: Settings, clock: Clock, rules: RuleSet, guard: Guard | None = None, *, only: Part | None = None
    ) -> None:
        self.settings, self.clock = settings, clock
        self._guard = guard or Guard()
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._kafka = address(settings)
        self._redis: Redis = connect(settings)
        self.measure = Measure(settings, clock, self._redis, self._kafka, self._guard)
        self.evaluate = Evaluate(settings, clock, self._redis, self._kafka, rules, self._guard)
        parts: dict[Part, Measure | Evaluate] = {Part.MEASURE: self.measure, Part.EVALUATE: self.evaluate}
        self._parts = [part for name, part in parts.items() if only in (None, name)]
        self._started_at = datetime.now(UTC)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Works until `stop` is set; `on_ready` is called once the groups of its parts are joined.

        Raises RedisUnusable, KafkaUnreachable or TopicsMissing if it cannot begin, and WorkerFailed. After `stop` it writes
        what is not written and returns, within 9 s where its guard ends the process otherwise.
        """
        await self._check()
        guard = self._guard
        guard.begin()
        apps = [part.app for part in self._parts]
        tasks: list[asyncio.Task[None]] = []
        over = [asyncio.create_task(event.wait()) for event in (stop, guard.failed)]
        try:
            await asyncio.gather(*(app.start() for app in apps))
            joining = asyncio.create_task(_all([app.joined for app in apps]))
            runs = [part.run for part in self._parts]
            tasks = [joining, *map(guard.task, (*runs, self._tell, self._follow_rules))]
            await asyncio.wait([joining, *over], timeout=JOIN_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                guard.settled()
                on_ready()
            elif not any(one.done() for one in over):
                raise KafkaUnreachable(f"the consumer groups were not joined within {JOIN_LIMIT_S:.0f} s")
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            guard.end_within(STOP_LIMIT_S, lambda: all(app.let_go for app in apps))
            await end((*tasks, *over))
            await asyncio.gather(*(app.stop() for app in apps))
            with contextlib.suppress(*AWAY):
                await self._redis.delete(self.settings.names.worker(self.name))
            await self._redis.aclose()
        if guard.failed.is_set():
            raise WorkerFailed(guard.why)

    async def _check(self) -> None:
        await check(self._redis)
        names = self.settings.names
        wanted = (*names.event_topics, names.rollups, names.alerts, names.deadletters)
        await require_topics(self._kafka, wanted)

    async def flush_now(self) -> None:
        """Writes, sends, merges and judges everything that has been read."""
        await self.measure.flush(slow=True)
        evaluate, rollups = self.evaluate, TopicPartition(self.settings.names.rollups, 0)
        if evaluate.leader:
            end = (await fetched_ends(self._kafka, {rollups: evaluate.offset}))[rollups]
            while evaluate.leader and evaluate.offset < end:
                await asyncio.sleep(MERGED_POLL_S)
        await evaluate.flush()

    async def _follow_rules(self) -> None:
        """Puts changes of the rule packs in force; those that ship do not change."""
        path = self.settings.rules
        if path is None:
            return
        book = Rulebook(path, self.settings.bucket_ms)
        while True:
            rules = await book.changed()
            log.info("%d rules of %s are in force now", len(rules.rules), path)
            await self.evaluate.judge_by(rules)

    async def _tell(self) -> None:
        """What this worker says of itself, for `tillwatch status`."""
        key = self.settings.names.worker(self.name)
        while True:
            try:
                await self._redis.set(key, msgspec.json.encode(self.status()), ex=STATUS_KEPT_S)
            except AWAY as error:
                log.debug("status not written: %s", error)
            await asyncio.sleep(STATUS_EVERY_S)

    def status(self) -> dict[str, object]:
        """Partitions with their positions and watermarks, and, of the leader, those of the tables."""
        now = self.clock.now()
        progress = self.evaluate.table_progress(int(now * 1000)) if self.evaluate.leader else {}
        return {
            "name": self.name,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": self._started_at,
            "at": time.time(),
            "partitions": [
                {
                    "topic": owned.tp.topic,
                    "partition": owned.tp.partition,
                    "next": owned.fold.next,
                    "end": owned.end,
                    "watermark_ms": owned.fold.watermark,
                    "behind": self.measure.behind(owned),
                }
                for owned in self.measure.owned.values()
            ],
            "last_flush_at": self.measure.flushed_at,
            "last_beat_at": self.measure.beaten_at,
            "leader": self.evaluate.leader,
            "leader_lag": max(self.evaluate.end - self.evaluate.offset, 0) if self.evaluate.leader else 0,
            "table_watermarks": {table: one.watermark_ms for table, one in progress.items()},
            "baselines": self.evaluate.told_baselines() if self.evaluate.leader else [],
            "rules": self.evaluate.standings() if self.evaluate.leader else {},
        }


async def _all(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        await event.wait()
