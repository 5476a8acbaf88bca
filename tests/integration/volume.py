"""A payment volume that is usual, and leaders that know it."""

from __future__ import annotations

from agents import imports
from rules.baseline.history import History
from tests.integration.conftest import Running
from tests.integration.tables import redis_of
from tests.support.wait import eventually_async

A_MINUTE = 12
"""Payments, day and night."""
HOURS = 24 * 9


async def import_usual(running: Running) -> None:
    """Gives the volume rule nine days of history by the hour, and returns once the leader has learned from it."""
    now = int(running.clock.now()) // 3_600
    rows = [((now - hour) * 3_600_000, 60.0 * A_MINUTE) for hour in range(HOURS, 0, -1)]
    async with redis_of(running.settings) as redis:
        assert await imports.store(redis, running.settings.names, "payment_volume", {}, History(3_600_000, rows)) == HOURS

    async def learned() -> bool:
        return any(one.imported for _, one in running.worker.evaluate.baselines())

    await eventually_async(learned, "the leader has learned from what was imported", limit_s=60.0)
