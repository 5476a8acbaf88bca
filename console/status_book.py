"""What the public status page rests on: ninety days of payments, read a day at a time, and the page itself, kept a moment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfo

from console.duty import DutyBook
from console.ledger import Ledger
from console.problems import Refused
from console.readings import AWAY, MINUTE_MS, Readings, Shared, window_of
from console.series import COUNTS, Cut, TotalsOf
from console.status import Facts, Measured, StatusPage, day_starts, measured, status
from notifier.people.business import Calendar
from rollups.rows import summed
from rollups.tables import DAY, Packed
from runtime.tasks import heed
from schemas.tables import TABLES

log = logging.getLogger(__name__)

KEPT_S = 2.0
AGAIN_S = 60.0
"""How often the days that may still change are read."""
MAY_CHANGE_MS = 6 * 3_600_000
"""So long after its end events of a day may come."""
NOW_MS = 5 * MINUTE_MS
DAY_WITHIN_S = 10.0
PAUSE_S = 0.05
"""Between two days, so that others are answered."""
TOLD = Cut("payments", frozenset({"outcome", "method", "fault"}), measures=COUNTS)
"""What the page tells apart."""


class StatusBook:
    """The page of one console. `follow` reads the days, as long as the console runs; name: whose services they are; read: by
    which the last minutes are read."""

    def __init__(self, name: str, readings: Readings, read: TotalsOf, ledger: Ledger, duty: DutyBook) -> None:
        self._name, self._readings, self._totals, self._ledger, self._duty = name, readings, read, ledger, duty
        self._days: dict[int, Measured] = {}
        self._page: Shared[StatusPage] = Shared(kept_s=KEPT_S)

    @property
    def tasks(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self.follow,)

    async def page(self) -> StatusPage:
        """The page, made once for all who ask within two seconds. Raises nothing where the store is away: it says so."""
        return await self._page.get("page", self._make)

    async def zone(self) -> ZoneInfo:
        """In which times are told: that of the organisation's calendar."""
        with contextlib.suppress(Refused):
            return (await self._duty.directory())[0].calendar.zone
        return Calendar().zone

    async def services(self) -> list[str]:
        """What the page calls its services."""
        return [one.name for one in (await self.page()).services]

    async def _make(self) -> StatusPage:
        now_ms, pulse = self._readings.now_ms(), await self._readings.pulse()
        live, now = pulse.state == "live", {}
        try:
            if pulse.state != "blind":  # who does not answer is not waited for twice
                now = (await self._totals([TOLD], window_of(now_ms, NOW_MS)))["payments"]
        except AWAY:
            live = False
        return status(
            Facts(
                name=self._name,
                now_ms=now_ms,
                as_of_ms=pulse.as_of_ms,
                live=live,
                now=now,
                days=self._days,
                incidents=self._ledger.incidents,
                silences=self._ledger.silences,
            )
        )

    async def follow(self) -> None:
        """Reads the days, those that cannot change any more once; returns never. A store that is away is asked again."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            heed()
            await asyncio.sleep(AGAIN_S)

    async def look(self) -> None:
        """Reads the days that are not known, and those that may have changed, the latest first."""
        now_ms = self._readings.now_ms()
        starts = day_starts(now_ms)
        for start in [start for start in self._days if start < starts[0]]:
            del self._days[start]
        for start in reversed(starts):
            if start not in self._days or now_ms < start + DAY + MAY_CHANGE_MS:
                self._days[start] = await self._read(start)
                await asyncio.sleep(PAUSE_S)

    async def _read(self, start: int) -> Measured:
        packed: Packed = {}
        async with asyncio.timeout(DAY_WITHIN_S):
            async for some in self._readings.tables.packed("payments", "1h", start, start + DAY):
                packed |= some
        return await asyncio.to_thread(_measured, packed)


def _measured(packed: Packed) -> Measured:
    table = TABLES[TOLD.table]
    return measured({hour: summed(table, values, TOLD.by).cells for hour, values in packed.items()})
