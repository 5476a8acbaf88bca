"""The baseline of the volume of payments, as the leader keeps it in Redis.

Read at most every few seconds for all who ask. Where the store is away what was read last is given again: the page says itself
how old it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis

from console.readings import ANSWER_WITHIN_S, AWAY, Shared
from rules.baseline.guard import MINUTE_MS, Guard
from rules.learned import kept_as
from rules.loader import RuleSet
from rules.rule import Part
from runtime.names import Names

KEPT_S = 5.0


class Keeper:
    """Reads it."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._names = redis, names
        self._shared: Shared[Guard | None] = Shared(KEPT_S)
        self._last: Guard | None = None

    async def volume(self, rules: RuleSet) -> Guard | None:
        """What is kept, or was when the store answered last; None where the leader has none."""

        async def ask() -> Guard | None:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._read(rules)

        with contextlib.suppress(*AWAY):
            self._last = await self._shared.get("volume", ask)
        return self._last

    async def _read(self, rules: RuleSet) -> Guard | None:
        for part in _volume_parts(rules):
            found: Any = await self._redis.hget(self._names.baselines, kept_as(part, ()))
            if found is None:
                continue
            guard = Guard(MINUTE_MS, calendar=rules.calendar)
            try:
                guard.restore(msgspec.json.decode(zlib.decompress(found))["guard"])
            except (ValueError, zlib.error, KeyError):  # of another release: the leader learns it again
                continue
            return guard
        return None


def _volume_parts(rules: RuleSet) -> Iterable[Part]:
    """Tests that compare the volume of all payments with what was learned of it."""
    for rule in rules.rules:
        for part in rule.parts:
            learned = part.baseline is not None and part.baseline.day is None
            if learned and part.signal.name == "payment_volume" and not part.query.by and not part.narrowed:
                yield part
