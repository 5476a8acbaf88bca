"""While the store is away a worker takes in no more than a few seconds bring, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from faust.types import TP
from redis.asyncio import Redis

import agents.measure
import rollups.partition
from agents.measure import Measure, Owned
from agents.transport import Chunk
from local.process import free_port
from rollups.partition import Cut, Page, Partition, Progress
from rollups.sources import Encoded, Held, SourceStore
from runtime.clock import ManualClock
from runtime.guard import Guard
from runtime.kafka import TopicLog
from runtime.names import Source
from runtime.settings import Settings
from schemas.decode import Decoder
from tests.rollups.test_partition import Written
from tests.support.events import encoded, succeeded
from tests.support.wait import eventually_async

NOW = 1_795_420_800.0


class Away(SourceStore):
    """A store that answers once `back` is set."""

    back: asyncio.Event

    async def write(self, held: Held, cut: Cut, encoded: Sequence[Encoded]) -> None:
        await self.back.wait()
        held.written = cut.progress.next


class Logs:
    """Tells that a topic is the log that it was."""

    def __init__(self, log: TopicLog) -> None:
        self._log = log

    async def ask(self, topics: Sequence[str]) -> dict[str, TopicLog]:
        return {self._log.topic: self._log}


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """It owns one partition, sends and commits nothing, and its store is away."""
    nowhere = f"127.0.0.1:{free_port()}"
    settings = Settings(kafka=nowhere, redis=f"redis://{nowhere}", data=tmp_path)  # type: ignore[arg-type]
    redis: Redis = Redis.from_url(f"redis://{nowhere}")
    made = Measure(settings, ManualClock(NOW), redis, nowhere, Guard())
    store = made._store = Away(redis, settings.names, settings.bucket_ms)
    store.back = asyncio.Event()
    topic = settings.names.events("payments")
    made._logs = Logs(TopicLog(topic, "log", 1))  # type: ignore[assignment]

    async def nothing(*_: object) -> None:
        pass

    class Chunks:
        commit_for_tools = staticmethod(nothing)

    monkeypatch.setattr(made, "_send", nothing)
    monkeypatch.setattr(type(made.app), "chunks", Chunks)
    tp = TP(topic, 0)
    fold = Partition(Decoder("payments", b"-" * 32), bucket_ms=5_000, lateness_ms=30_000, idle_ms=60_000)
    made.owned[tp] = Owned(tp, Held(Source(topic, "log", 0), "token", None, 0, [], set()), fold, 1)
    return made


def chunk(first: int, count: int) -> Chunk:
    at = int(NOW * 1000)
    records = [Written(offset, at, encoded(succeeded(NOW))) for offset in range(first, first + count)]
    return Chunk(records, 1, first + count)


async def held_up(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> tuple[TP, Owned, asyncio.Task[None]]:
    """Three records are folded, and their flush is under way."""
    monkeypatch.setattr(agents.measure, "HELD_UP_S", 0.0)
    ((tp, owned),) = measure.owned.items()
    await measure.process(tp, chunk(0, 3))
    flushing = asyncio.create_task(measure.flush(slow=True))
    await eventually_async(lambda: owned.writing, "the flush is under way")
    return tp, owned, flushing


async def test_nothing_is_folded_while_a_flush_is_held_up(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    tp, owned, flushing = await held_up(measure, monkeypatch)
    folding = asyncio.create_task(measure.process(tp, chunk(3, 2)))
    done, _ = await asyncio.wait([folding, flushing], timeout=0.2)
    assert not done
    assert owned.fold.next == 3

    measure._store.back.set()  # type: ignore[attr-defined]
    await asyncio.gather(folding, flushing)
    assert owned.fold.next == 5
    assert owned.held.written == 3


async def test_whoever_loses_its_partition_meanwhile_goes_on(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.measure, "REVOKE_LIMIT_S", 0.0)
    tp, owned, flushing = await held_up(measure, monkeypatch)
    folding = asyncio.create_task(measure.process(tp, chunk(3, 2)))
    revoked = asyncio.create_task(measure.revoked())
    await eventually_async(lambda: owned.gone, "it is told")
    assert not folding.done()

    measure._store.back.set()  # type: ignore[attr-defined]
    await asyncio.gather(folding, flushing, revoked)
    assert owned.fold.next == 3


async def test_what_is_read_again_does_not_wait_for_a_flush_that_cannot_come(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((tp, owned),) = measure.owned.items()
    await measure.process(tp, chunk(0, 3))
    cut = owned.fold.cut(slow=True)
    assert cut is not None
    owned.fold = Partition(
        Decoder("payments", b"-" * 32), bucket_ms=5_000, lateness_ms=30_000, idle_ms=60_000, progress=Progress(3, 3)
    )
    monkeypatch.setattr(rollups.partition, "FULL_CELLS", 1)
    for change in cut.changes:
        owned.fold.put_page(change.bucket, Page(change.cells), resend=True)
    assert owned.fold.full

    await measure.process(tp, chunk(0, 3))

    assert not owned.fold.catching_up
