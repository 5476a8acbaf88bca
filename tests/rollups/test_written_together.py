"""Sources that are written at the same time share a round trip, and nothing else."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from rollups.partition import Cut, Partition
from rollups.sources import Held, Refused, SourceStore, encode
from runtime.names import Names, Source
from schemas.decode import Decoder
from tests.rollups.test_partition import Written
from tests.support.events import encoded, succeeded
from tests.support.store import KillableStore

NOW = 1_795_420_800.0
SOURCES = [Source("payments", "log", partition) for partition in range(3)]


def cut() -> Cut:
    """One event of a partition."""
    fold = Partition(Decoder("payments", b"-" * 32), bucket_ms=5_000, lateness_ms=30_000, idle_ms=60_000)
    fold.apply([Written(0, int(NOW * 1000), encoded(succeeded(NOW)))])
    made = fold.cut(slow=True)
    assert made is not None
    return made


async def write(store: SourceStore, held: Held) -> str:
    """How it went."""
    made = cut()
    try:
        await store.write(held, made, encode(made))
    except Refused as refused:
        return refused.why
    return "written"


async def test_each_of_those_that_write_together_is_answered_for_itself(store: KillableStore, namespace: str) -> None:
    redis: Redis = Redis.from_url(store.url)
    sources = SourceStore(redis, Names(namespace), 5_000)
    first, other, last = [(await sources.take(source, "mine")).held for source in SOURCES]
    await sources.take(other.source, "another's")

    told = await asyncio.gather(*(write(sources, held) for held in (first, other, last)))

    assert told == ["written", "token", "written"]
    states = [await sources.state(source) for source in SOURCES]
    assert [state and state[0] for state in states] == [1, None, 1]
    assert await write(sources, first) == "written"
    await redis.aclose()


async def test_a_store_that_is_out_of_memory_says_so_to_each(patient: KillableStore, namespace: str) -> None:
    redis: Redis = Redis.from_url(patient.url)
    sources = SourceStore(redis, Names(namespace), 5_000)
    owners = [(await sources.take(source, "mine")).held for source in SOURCES]
    patient.limit_memory(0)

    told = await asyncio.gather(*(write(sources, held) for held in owners), return_exceptions=True)

    assert [type(one) for one in told] == [OutOfMemoryError] * len(SOURCES)
    patient.limit_memory(None)
    assert [await write(sources, held) for held in owners] == ["written"] * len(SOURCES)
    await redis.aclose()
