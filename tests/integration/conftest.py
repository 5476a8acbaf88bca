"""Workers of an installation, as processes that can be killed, or one within the test, on a clock that it moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from agents.worker import Worker
from cli.packs import rule_set
from rollups.tables import Rows, TableStore
from runtime.clock import ManualClock
from runtime.settings import Settings
from tests.conftest import Broker
from tests.integration.tables import redis_of
from tests.support.crew import Crew
from tests.support.events import Event
from tests.support.store import KillableStore
from tests.support.topics import produce
from tests.support.wait import eventually_async

SESSION_S = 3.0
READY_WITHIN_S = 60.0

__all__ = ["Crew", "Run", "Running"]


@pytest.fixture
def settings(broker: Broker, store: KillableStore, namespace: str, tmp_path: Path) -> Settings:
    """An installation whose dead workers are noticed soon."""
    return Settings(
        kafka=broker.bootstrap,
        redis=SecretStr(store.url),
        namespace=namespace,
        data=tmp_path / "data",
        session_timeout=SESSION_S,
    )


@pytest.fixture
def fragile(installation: Settings, patient: KillableStore) -> Settings:
    """The installation on a store that the test may hurt."""
    return installation.model_copy(update={"redis": SecretStr(patient.url)})


# --- as processes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """Worker processes."""
    found = Crew(tmp_path)
    yield found
    found.end()
    for one in found.members:
        print(f"--- {one.name}\n{one.output}")  # shown where the test failed


# --- within the test --------------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A worker within the test. `clock` is its present; what it is told to read is judged when the test says so."""

    worker: Worker
    settings: Settings
    clock: ManualClock
    _stop: asyncio.Event
    _task: asyncio.Task[None]
    _ends: dict[TopicPartition, int] = field(default_factory=dict)

    async def stop(self) -> None:
        """Ends the worker in order."""
        self._stop.set()
        await asyncio.wait_for(self._task, READY_WITHIN_S)

    async def produce(self, events: Iterable[Event]) -> None:
        """Sends events, and returns once the worker has read, written, merged and judged them."""
        assert self.settings.kafka is not None
        self._ends |= await produce(self.settings.kafka, self.settings.names, events)
        await self.settle()

    async def advance(self, seconds: float) -> None:
        """Moves the clock, lets a heartbeat pass through every partition, and judges."""
        self.clock.advance(seconds)
        await self.beaten()
        await self.settle()

    async def beaten(self) -> None:
        """Waits until a heartbeat of the last 5 s has come through every partition."""
        await eventually_async(self._beaten, "a heartbeat came through every partition")

    def _beaten(self) -> bool:
        since = (self.clock.now() - 5) * 1000
        return all((one.fold.beaten_ms or 0) > since for one in self.worker.measure.owned.values())

    async def settle(self) -> None:
        """Reads what there is, and judges."""
        await eventually_async(self._read, "the worker has read what was sent")
        await self.worker.flush_now()

    def _read(self) -> bool:
        found = {(tp.topic, tp.partition): one.fold.next for tp, one in self.worker.measure.owned.items()}
        return all(found.get((tp.topic, tp.partition), -1) >= end for tp, end in self._ends.items())

    async def rows(self, table: str, resolution: str = "10s") -> Rows:
        async with redis_of(self.settings) as redis:
            return await TableStore(redis, self.settings.names).read(table, resolution)


Run = Callable[..., Awaitable[Running]]


@pytest.fixture
async def running_worker(installation: Settings) -> AsyncIterator[Run]:
    """Starts a worker within the test: `await running_worker(now)`, with its clock at `now` (epoch seconds; an hour ago
    unless said, so that it can be moved on: a clock must not be ahead of the broker's)."""
    stopping: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def run(now: float | None = None, **changes: object) -> Running:
        settings = installation.model_copy(update=changes)
        clock = ManualClock(time.time() - 3600 if now is None else now)
        worker = Worker(settings, clock, rule_set(settings))
        stop, ready = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(worker.run(stop, ready.set))
        stopping.append((stop, task))
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait({task, waiting}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        assert ready.is_set(), f"no worker within {READY_WITHIN_S:g} s"
        running = Running(worker, settings, clock, stop, task)
        await running.beaten()
        return running

    yield run
    for stop, task in stopping:
        stop.set()
        await asyncio.wait_for(task, READY_WITHIN_S)
