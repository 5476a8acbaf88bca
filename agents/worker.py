"""The worker: measure and evaluate as two Faust apps in one process and one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from redis.asyncio import Redis

from agents.evaluate import Evaluate
from agents.measure import Measure
from agents.retry import AWAY
from agents.transport import die, end_within, watch
from rules.loader import RuleSet
from runtime.clock import Clock
from runtime.kafka import KafkaUnreachable, address, topic_logs
from runtime.redis import check, connect
from runtime.settings import Settings

log = logging.getLogger(__name__)

STATUS_EVERY_S = 1.0
STATUS_KEPT_S = 15
JOIN_LIMIT_S = 60.0
STOP_LIMIT_S = 9.0


class TopicsMissing(RuntimeError):
    """Topics of the installation do not exist; the text says which and what to do."""


class Worker:
    """One worker process. Several share the partitions of one installation."""

    def __init__(self, settings: Settings, clock: Clock, rules: RuleSet) -> None:
        self.settings, self.clock = settings, clock
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._kafka = address(settings)
        self._redis: Redis = connect(settings)
        self.measure = Measure(settings, clock, self._redis, self._kafka)
        self.evaluate = Evaluate(settings, clock, self._redis, self._kafka, rules)
        self._started_at = datetime.now(UTC)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Works until `stop` is set; `on_ready` is called once both groups are joined.

        Raises RedisUnusable, KafkaUnreachable or TopicsMissing if it cannot begin. After `stop` it writes what is not
        written and returns within 9 s, or ends the process.
        """
        await self._check()
        watch(asyncio.get_running_loop())
        apps = (self.measure.app, self.evaluate.app)
        tasks: list[asyncio.Task[None]] = []
        try:
            await asyncio.gather(*(app.start() for app in apps))
            tasks = [self._task(run) for run in (self.measure.run, self.evaluate.run, self._tell)]
            joining = asyncio.ensure_future(asyncio.gather(*(app.joined.wait() for app in apps)))
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait({joining, stopping}, timeout=JOIN_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                _rest_the_collector()
                on_ready()
            elif not stop.is_set():
                raise KafkaUnreachable(f"the consumer groups were not joined within {JOIN_LIMIT_S:.0f} s")
            await stopping
        finally:
            end_within(STOP_LIMIT_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(app.stop() for app in apps))
            with contextlib.suppress(*AWAY):
                await self._redis.delete(self.settings.names.worker(self.name))
            await self._redis.aclose()

    def _task(self, run: Callable[[], object]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await run()  # type: ignore[misc]
            except Exception as error:
                die(f"{run.__qualname__} failed: {error!r}")

        return asyncio.create_task(guarded())

    async def _check(self) -> None:
        await check(self._redis)
        names = self.settings.names
        wanted = (*names.event_topics, names.rollups, names.alerts, names.deadletters)
        missing = sorted(set(wanted) - (await topic_logs(self._kafka, wanted)).keys())
        if missing:
            raise TopicsMissing(f"no topic {', '.join(missing)}: run 'tillwatch setup topics' first")

    async def flush_now(self) -> None:
        """Writes, sends and judges everything that has been read."""
        await self.measure.flush(slow=True)
        await self.evaluate.flush()

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
            "leader": self.evaluate.leader,
            "leader_lag": max(self.evaluate.end - self.evaluate.offset, 0) if self.evaluate.leader else 0,
            "table_watermarks": {table: one.watermark_ms for table, one in progress.items()},
        }


def _rest_the_collector() -> None:
    """Cells and events form no cycles, yet Python's collector would walk through all of them again and again: a third of the
    time on a backlog."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
