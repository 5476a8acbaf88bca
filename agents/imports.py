"""History for baselines, as `tillwatch baseline import` leaves it in Redis and the leader of evaluate finds it."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping
from typing import cast

import msgspec
from redis.asyncio import Redis

from rules.baseline.history import History
from rules.learned import Imported
from runtime.names import Names
from schemas.tables import Value

KEPT_MS = 35 * 86_400_000
"""So much before its end is kept of a series: five weeks."""
COUNTER = "count"
"""The field that tells how often something was imported; every other is a series."""


async def store(redis: Redis, names: Names, signal: str, group: Mapping[str, Value], history: History) -> int:
    """Leaves history of a signal's series for the baselines of rules on it, in place of what was imported of it before; returns
    how many rows. Raises redis.RedisError or OSError."""
    end = history.rows[-1][0]
    rows = [row for row in history.rows if row[0] >= end - KEPT_MS]
    held = {"id": secrets.token_hex(8), "step_ms": history.step_ms, "rows": rows}
    async with redis.pipeline(transaction=True) as both:
        both.hset(names.imports, _field(signal, group), zlib.compress(msgspec.json.encode(held)))
        both.hincrby(names.imports, COUNTER, 1)
        await both.execute()
    return len(rows)


async def count(redis: Redis, names: Names) -> int:
    """How often something was imported."""
    return int(await redis.hget(names.imports, COUNTER) or 0)


async def load(redis: Redis, names: Names) -> list[Imported]:
    """All that was imported."""
    found = []
    for field, value in (await redis.hgetall(names.imports)).items():
        if field == COUNTER.encode():
            continue
        signal, group = msgspec.json.decode(field)
        held = msgspec.json.decode(zlib.decompress(cast(bytes, value)))
        rows = [(start, number) for start, number in held["rows"]]
        found.append(Imported(held["id"], signal, dict(group), held["step_ms"], rows))
    return found


def _field(signal: str, group: Mapping[str, Value]) -> bytes:
    return msgspec.json.encode([signal, sorted(group.items())])
