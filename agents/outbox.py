"""The alert states as an outbox, and what evaluate keeps beside them: how far was judged, and baselines."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from runtime import outbox
from runtime.names import Names
from runtime.outbox import Entry, text


class Outbox(outbox.Outbox):
    """The outbox of one leader: fingerprint → alert state. Methods raise NotLeader, or what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        super().__init__(redis, names.leader, names.alert_states, [names.baselines], beside="engine")
        self._names = names

    def next_number(self, fingerprint: str, now_ms: int) -> int:
        """Numbers of one fingerprint grow, also past a time when nothing was kept of it."""
        held = self.entries.get(fingerprint)
        return now_ms if held is None else max(held.number + 1, now_ms)

    async def save_with(
        self, entries: Sequence[Entry], engine: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Writes states, what the engine keeps and baselines that changed, all or nothing."""
        packed = {name: zlib.compress(msgspec.json.encode(baseline), 1) for name, baseline in baselines.items()}
        await self.save(entries, engine, {self._names.baselines: packed})

    async def baselines(self) -> dict[str, dict[str, Any]]:
        """What is kept of each baseline, by its name."""
        stored = await self._redis.hgetall(self._names.baselines)
        return {text(name): msgspec.json.decode(zlib.decompress(cast(bytes, value))) for name, value in stored.items()}

    async def forget_baselines(self, names: Sequence[str]) -> None:
        """Removes what no rule asks for any more."""
        if names:
            await self._redis.hdel(self._names.baselines, *names)
