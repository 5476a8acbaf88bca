"""Where checklists come from, and where ticks are kept: the store, the rotas of `teams.toml`, and what notifiers say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from redis.asyncio import Redis

from console import kpis
from console.checklists import BY_KEY, COVER_DAYS, Checklists, Item, Known, Tick, checklists, period
from console.readings import ANSWER_WITHIN_S, AWAY, Readings, Shared, window_of
from console.series import TotalsOf
from notifier.people.business import Calendar
from notifier.people.cover import Gap, gaps
from notifier.people.directory import Directory, DirectoryError, builtin, load
from notifier.store import Counter
from rollups.tables import DAY
from runtime.outbox import text
from runtime.settings import Settings

TABLES = ("payments", "pipeline", "reconciliations", "security", "webhooks")
KNOWN_FOR_S = 5.0
ROTAS_KEPT_S = 60.0
TICKS_KEPT_MS = 100 * DAY
_PRIMARY = "primary"


class _Kept(msgspec.Struct):
    by: str
    at_ms: int
    note: str = ""


class ChecklistDesk:
    """The checklists of one console. read: by which the last day is read."""

    def __init__(self, settings: Settings, redis: Redis, readings: Readings, read: TotalsOf) -> None:
        self._settings, self._redis, self._readings, self._totals = settings, redis, readings, read
        self._key = settings.names.checklists
        self._counter = Counter(redis, settings.names)
        self._known: Shared[Known] = Shared(KNOWN_FOR_S)
        self._rotas: Shared[tuple[ZoneInfo, tuple[Gap, ...] | None, str]] = Shared(ROTAS_KEPT_S)

    async def told(self) -> Checklists:
        """All three as they are. A store that is away is an answer, too: nothing is known, and nobody ticked anything."""
        zone, found, why = await self._rotas.get("rotas", self._read_rotas)
        known = await self._known.get("known", lambda: self._read(found, why))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                ticks = await self._ticks()
        except AWAY:
            ticks = {}
        return checklists(known, ticks, self._readings.now_ms(), zone)

    async def zone(self) -> ZoneInfo:
        """The organisation's, by which its days begin."""
        return (await self._rotas.get("rotas", self._read_rotas))[0]

    async def tick(self, key: str, done: bool, by: str, note: str) -> Checklists:
        """Somebody says that an item is done, or takes it back. Raises KeyError for no such item, and what redis raises."""
        item = BY_KEY[key]
        zone = await self.zone()
        now_ms = self._readings.now_ms()
        field = self._field(item, now_ms, zone)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            if done:
                await self._redis.hset(self._key, field, msgspec.json.encode(_Kept(by, now_ms, note)))
            else:
                await self._redis.hdel(self._key, field)
            old = [name for name, one in (await self._kept()).items() if one.at_ms < now_ms - TICKS_KEPT_MS]
            if old:
                await self._redis.hdel(self._key, *old)
        return await self.told()

    @staticmethod
    def _field(item: Item, now_ms: int, zone: ZoneInfo) -> str:
        return f"{item.key}/{period(item, now_ms, zone).name}"

    async def _kept(self) -> dict[str, _Kept]:
        held = await self._redis.hgetall(self._key)
        return {text(field): msgspec.json.decode(value, type=_Kept) for field, value in held.items()}

    async def _ticks(self) -> dict[tuple[str, str], Tick]:
        found = {}
        for field, one in (await self._kept()).items():
            key, _, name = field.partition("/")
            found[key, name] = Tick(one.by, one.at_ms, one.note)
        return found

    # --- what items look at -------------------------------------------------------------------------------------------

    async def _read(self, found: tuple[Gap, ...] | None, why: str) -> Known:
        now_ms, pulse = self._readings.now_ms(), await self._readings.pulse()
        try:
            day = await self._totals([kpis.cut_of(name) for name in TABLES], window_of(now_ms, DAY))
            async with asyncio.timeout(ANSWER_WITHIN_S):
                incidents, silences = await self._counter.all()
                notifiers, memory = await self._readings.notifiers(), await self._memory()
        except AWAY:
            return Known(now_ms, pulse, gaps=found, no_gaps=why)
        return Known(now_ms, pulse, day, incidents, silences, found, why, notifiers, memory)

    async def _memory(self) -> tuple[int, int]:
        told: Any = await self._redis.info("memory")
        return int(told["used_memory"]), int(told.get("maxmemory", 0))

    async def _read_rotas(self) -> tuple[ZoneInfo, tuple[Gap, ...] | None, str]:
        """The organisation's zone, and the gaps ahead; or why these are not known."""
        try:
            teams = self._settings.teams
            directory = builtin() if teams is None else await asyncio.to_thread(load, teams)
        except DirectoryError:
            return Calendar().zone, None, "teams.toml cannot be used: 'tillwatch oncall check' says why."
        zone = directory.calendar.zone
        if directory.urls:
            return zone, None, "The rotas name calendars somewhere else: 'tillwatch oncall gaps' reads them."
        return zone, await asyncio.to_thread(_gaps, directory, self._readings.now_ms()), ""


def _gaps(directory: Directory, now_ms: int) -> tuple[Gap, ...]:
    begin = datetime.fromtimestamp(now_ms / 1000, UTC)
    found = gaps(directory, begin, begin + timedelta(days=COVER_DAYS))
    return tuple(sorted((gap for gap in found if gap.level == _PRIMARY), key=lambda gap: gap.begin))
