"""Who is on call, for whoever asks: `teams.toml` as it is now, with its calendars, read at most every minute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.incident_shapes import CoverGap, OnCall, OnDuty
from console.problems import Refused
from console.readings import Shared
from notifier.calendars import fetch_all
from notifier.people import cover
from notifier.people.directory import LEVELS, Directory, DirectoryError, builtin, load
from notifier.people.ical import Calendar

KEPT_S = 60.0
AHEAD, GAPS_AHEAD = timedelta(days=60), timedelta(days=28)
"""How far ahead the next hand-over is looked for, and gaps."""
GAPS_MOST = 100
FETCH_WITHIN_S = 10.0


class DutyBook:
    """Who is on call by the file at `path`; without one, who the notifier asks then."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: Shared[tuple[Directory, list[str]]] = Shared(kept_s=KEPT_S)
        self._calendars: dict[str, Calendar] = {}

    async def directory(self) -> tuple[Directory, list[str]]:
        """The directory, and what is not as it should be. Raises Refused where the file cannot be used."""
        return await self._kept.get("directory", self._read)

    async def on_call(self, now_ms: int) -> OnCall:
        """Who is on call now. Raises Refused where the file cannot be used."""
        directory, notes = await self.directory()
        return await asyncio.to_thread(_on_call, directory, notes, now_ms)

    async def people(self) -> list[str]:
        """Everybody's key. Where the file cannot be used, nobody."""
        try:
            directory, _ = await self.directory()
        except Refused:
            return []
        return list(directory.people)

    async def _read(self) -> tuple[Directory, list[str]]:
        if self._path is None:
            return builtin(), ["TILLWATCH_TEAMS is not set: every page goes to the built-in outbox"]
        try:
            directory = await asyncio.to_thread(load, self._path)
            if not directory.urls:
                return directory, []
            problems = await self._fetch(directory.urls)
            return await asyncio.to_thread(load, self._path, self._calendars), problems
        except DirectoryError as error:
            fault = error.faults[0]
            raise Refused(503, f"TILLWATCH_TEAMS cannot be used: {fault}; 'tillwatch oncall check' tells all") from None

    async def _fetch(self, urls: Sequence[str]) -> list[str]:
        """Reads the calendars, and tells which could not be; what was read of those before holds."""
        try:
            async with asyncio.timeout(FETCH_WITHIN_S):
                found, problems = await fetch_all(urls)
        except TimeoutError:
            return ["calendars did not come in time; what was read of them before holds"]
        self._calendars |= found
        return problems


def _on_call(directory: Directory, notes: Sequence[str], now_ms: int) -> OnCall:
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    now = []
    for team in directory.teams.values():
        for level in LEVELS:
            if level not in team.levels:
                continue
            shift, *later = team.levels[level].shifts(at, at + AHEAD)
            now.append(
                OnDuty(
                    team=team.key,
                    name=team.name,
                    level=level,
                    people=[directory.people[key].name for key in shift.people],
                    keys=list(shift.people),
                    until=_ms(shift.end) if later else None,
                    next=[directory.people[key].name for key in later[0].people] if later else [],
                )
            )
    gaps = [
        CoverGap(team=gap.team, level=gap.level, start=_ms(gap.begin), end=_ms(gap.end))
        for gap in cover.gaps(directory, at, at + GAPS_AHEAD)[:GAPS_MOST]
    ]
    return OnCall(now=now, gaps=gaps, as_of=now_ms, zone=directory.calendar.zone.key, notes=list(notes))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
