"""What the rollup tables hold, in the oracle's shape, and the comparison with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aiokafka import TopicPartition
from redis.asyncio import Redis

from rollups.sources import SourceStore
from rollups.tables import Rows, TableStore
from runtime.names import Source
from runtime.redis import connect
from runtime.settings import Settings
from schemas.rollup import decode_partial
from schemas.tables import TABLES
from tests.integration.oracle import LAYOUT, RESOLUTIONS_MS, Oracle, Row
from tests.support.topics import read_all
from tests.support.wait import eventually_async

LIMIT_S = 60.0
SHOWN = 5


@asynccontextmanager
async def redis_of(settings: Settings) -> AsyncIterator[Redis]:
    redis = connect(settings)
    try:
        yield redis
    finally:
        await redis.aclose()


def as_rows(table: str, rows: Rows) -> set[Row]:
    """Rows in the shape of `Oracle.rows`."""
    units = [1 if measure.thousandths else 1000 for measure in TABLES[table].measures]
    assert tuple(measure.name for measure in TABLES[table].measures) == LAYOUT[table][1]
    assert TABLES[table].dimensions == LAYOUT[table][0]
    return {
        (
            bucket,
            *key,
            cell.count,
            *((cell.stats[at].total if at < len(cell.stats) else 0) * unit for at, unit in enumerate(units)),
        )
        for bucket, cells in rows.items()
        for key, cell in cells.items()
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it must be. What is counted: the count, and the sums in thousandths; None: no such row."""

    table: str
    bucket_ms: int
    key: Row
    expected: Row | None
    found: Row | None


async def differences(settings: Settings, oracle: Oracle) -> list[Difference]:
    """Every row of every table and resolution that is not what the oracle says."""
    return [one async for one in _differences(settings, oracle)]


async def _differences(settings: Settings, oracle: Oracle) -> AsyncGenerator[Difference, None]:
    async with redis_of(settings) as redis:
        store = TableStore(redis, settings.names)
        for resolution in RESOLUTIONS_MS:
            for table, (dimensions, _) in LAYOUT.items():
                found = as_rows(table, await store.read(table, resolution))
                expected = oracle.rows(table, resolution)
                if found == expected:
                    continue
                width = 1 + len(dimensions)
                have, want = ({row[:width]: row[width:] for row in rows} for rows in (found, expected))
                for at, *key in sorted({row[:width] for row in found ^ expected}, key=str):
                    row = (at, *key)
                    yield Difference(f"{table}_{resolution}", at, tuple(key), want.get(row), have.get(row))


async def difference(settings: Settings, oracle: Oracle) -> str:
    """The first rows that are wrong, in words; empty where none is."""
    wrong: list[Difference] = []
    async with aclosing(_differences(settings, oracle)) as all_of_them:
        async for one in all_of_them:
            wrong.append(one)
            if len(wrong) == SHOWN:
                break
    return f"rows are wrong: {wrong}" if wrong else ""


async def exact(settings: Settings, oracle: Oracle, limit_s: float = LIMIT_S) -> None:
    """Waits until every table holds what the oracle says, at every resolution."""

    async def check() -> bool:
        told = await difference(settings, oracle)
        assert not told, told
        return True

    await eventually_async(check, "the tables are exact", limit_s)


async def pipeline(settings: Settings) -> dict[tuple[str, str | None, str | None], int]:
    """The counts of the table `pipeline` beside those of the events themselves: {(kind, type, source): count}."""
    counts: dict[tuple[str, str | None, str | None], int] = {}
    async with redis_of(settings) as redis:
        for cells in (await TableStore(redis, settings.names).read("pipeline", "1h")).values():
            for (kind, what, source), cell in cells.items():
                if kind == "event":
                    continue
                key = (str(kind), what if what is None else str(what), source if source is None else str(source))
                counts[key] = counts.get(key, 0) + cell.count
    return counts


Held = dict[str, tuple[str, int]]
"""{source: (the random token of who owns it, `next` as that one wrote it last)}."""


async def owned(settings: Settings) -> Held:
    """Who owns what."""
    async with redis_of(settings) as redis:
        sources = await SourceStore(redis, settings.names, settings.bucket_ms).all()
        async with redis.pipeline(transaction=False) as asked:
            for source in sources:
                asked.hmget(settings.names.source_state(source), ["token", "next"])
            states = await asked.execute()
    return {str(one): ((token or b"").decode(), int(at or 0)) for one, (token, at) in zip(sources, states, strict=True)}


async def sent_beyond(settings: Settings, held: Held) -> int:
    """How many partials tell more, under these tokens, than their owner had written. What it had written, but not sent, it may
    send at any time: it replaces nothing that is newer."""
    assert settings.kafka is not None
    records = await read_all(settings.kafka, settings.names.rollups)
    partials = [decode_partial(record.value) for record in records if record.value is not None]
    return sum(one.source in held and one.token == held[one.source][0] and one.next > held[one.source][1] for one in partials)


async def written(settings: Settings, ends: dict[TopicPartition, int], limit_s: float = LIMIT_S) -> None:
    """Waits until measure has written everything before these offsets."""

    async def check() -> bool:
        found: dict[tuple[str, int], int] = {}
        async with redis_of(settings) as redis:
            store = SourceStore(redis, settings.names, settings.bucket_ms)
            for source in await store.all():
                state = await store.state(source)
                found[_place(source)] = max(found.get(_place(source), 0), state[0] if state is not None else 0)
        short = {str(tp): (found.get((tp.topic, tp.partition), 0), end) for tp, end in ends.items()}
        assert all(have >= end for have, end in short.values()), f"written and wanted: {short}"
        return True

    await eventually_async(check, "measure has written", limit_s)


async def merged(settings: Settings, ends: dict[TopicPartition, int], limit_s: float = LIMIT_S) -> None:
    """Waits until every table says that it contains everything before these offsets."""

    async def check() -> bool:
        async with redis_of(settings) as redis:
            store = TableStore(redis, settings.names)
            for table in LAYOUT:
                offsets = await store.merged_offsets(table)
                found = {_place(Source.parse(source)): offset for source, offset in offsets.items()}
                short = {tp: end for tp, end in ends.items() if found.get((tp.topic, tp.partition), 0) < end}
                assert not short, f"{table} lacks {short}"
        return True

    await eventually_async(check, "the tables contain it", limit_s)


def _place(source: Source) -> tuple[str, int]:
    return source.topic, source.partition
