"""Statements that people gave a name. Kept in Redis, so that every console of an installation has the same."""

from __future__ import annotations

import json

from redis.asyncio import Redis

from console.problems import Refused
from console.shapes import SavedQuery
from runtime.names import Names

MOST = 200
NAME_CHARS, SQL_CHARS = 80, 20_000


class Saved:
    """Methods raise what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._key = redis, names.saved_queries

    async def all(self) -> list[SavedQuery]:
        """By name."""
        held = await self._redis.hgetall(self._key)
        texts = {name if isinstance(name, str) else name.decode(): value for name, value in held.items()}
        found = [SavedQuery(name=name, **json.loads(value)) for name, value in texts.items()]
        return sorted(found, key=lambda one: one.name.casefold())

    async def put(self, query: SavedQuery) -> None:
        """Saves it, in place of one of that name. Raises Refused where there are too many."""
        if not await self._redis.hexists(self._key, query.name) and await self._redis.hlen(self._key) >= MOST:
            raise Refused(409, f"{MOST} statements are saved already: delete one that nobody needs")
        value = query.model_dump_json(include={"sql", "by", "at"})
        await self._redis.hset(self._key, query.name, value)

    async def delete(self, name: str) -> None:
        """Raises Refused where there is none."""
        if not await self._redis.hdel(self._key, name):
            raise Refused(404, f"no statement is saved as {name[:NAME_CHARS]!r}")
