"""What a report is made of: rows of the tables, incidents and silences, and how far all of it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from console.kpis import Held
from console.readings import Pulse, Readings, Totals, Window
from console.reports.periods import Period
from notifier.store import Counter
from rollups.cells import Cell
from rollups.tables import DAY, HOUR, TableStore
from runtime.clock import Clock
from runtime.names import Names
from schemas.incident import Incident, Silence

READ_WITHIN_S = 300.0
"""A month and the one before it, with a thousand cells an hour, take most of a minute of a core."""
SKETCHED = "payments"
"""The table whose percentiles are told."""
TABLES_READ = (
    SKETCHED,
    "payment_cohorts",
    "reconciliations",
    "enrollments",
    "webhooks",
    "health",
    "requests",
    "errors",
    "security",
    "pipeline",
)
FINE_FOR_MS = 2 * DAY
"""For so long rows that are finer than an hour are there for certain."""
COHORTS = "payment_cohorts"
STEPPED = (SKETCHED,)
"""Those that are told step by step."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the tables hold of one period. held: over all of it; steps: of each step; hours: starts of those in which any event
    came."""

    held: Held
    steps: Mapping[int, Held] = field(default_factory=dict)
    hours: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """first_ms: the earliest hour of either period in which any event came, None where there is none."""

    period: Period
    now_ms: int
    now: Part
    before: Part
    incidents: Sequence[Incident]
    silences: Sequence[Silence]
    pulse: Pulse

    @property
    def first_ms(self) -> int | None:
        return min(self.now.hours | self.before.hours, default=None)


async def gather(redis: Redis, names: Names, clock: Clock, period: Period) -> Facts:
    """Reads all of it. Raises what redis raises when it is away, TimeoutError among it."""
    async with asyncio.timeout(READ_WITHIN_S):
        pulse = await Readings(redis, names, clock).pulse()
        tables = TableStore(redis, names)
        now_ms = int(clock.now() * 1000)
        now, before = await _part(tables, period, now_ms), await _part(tables, period.before, now_ms)
        incidents, silences = await Counter(redis, names).all()
    return Facts(period, now_ms, now, before, incidents, silences, pulse)


def window_of(period: Period, now_ms: int) -> Window:
    """What is read of a period. Where midnight is within an hour of UTC and the minutes of it may be gone, whole hours are."""

    def bound(ms: int) -> int:
        return ms if ms > now_ms - FINE_FOR_MS else ms - ms % HOUR

    return Window(bound(period.start_ms), bound(period.end_ms))


async def _part(tables: TableStore, period: Period, now_ms: int) -> Part:
    held: dict[str, Totals] = {name: {} for name in TABLES_READ}
    steps: dict[int, dict[str, Totals]] = {}
    hours: set[int] = set()
    for name in TABLES_READ:
        for resolution, start, end in window_of(period, now_ms).pieces():
            async for rows in tables.chunks(name, resolution, start, end, sketches=name == SKETCHED):
                for bucket, cells in rows.items():
                    if cells and name != COHORTS:  # whose bucket may be before anybody counted
                        hours.add(bucket - bucket % HOUR)
                    for key, cell in cells.items():
                        held[name].setdefault(key, Cell()).add(cell)
                        if name in STEPPED:
                            step = steps.setdefault(max(period.step_of(bucket), 0), {name: {}})
                            step[name].setdefault(key, Cell()).add(cell)
                await asyncio.sleep(0)  # others have their turn between two chunks
    return Part(held, steps, frozenset(hours))
