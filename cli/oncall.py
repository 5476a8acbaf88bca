"""`tillwatch oncall`: who is on call, gaps in cover, and what is wrong with `teams.toml`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from zoneinfo import ZoneInfo

import typer

from cli import installation
from cli.terminal import FAILED, USAGE, counted, fail, note, out, print_json, say

if TYPE_CHECKING:
    from notifier.people.directory import Directory, Team
    from notifier.people.rotation import Shift
    from runtime.settings import Settings

_AHEAD = timedelta(days=60)
"""How far ahead the next hand-over is looked for."""
_CHECKED_DAYS = 28


def show(team: str | None, at: str | None, as_json: bool) -> int:
    """Prints who is on call for each level of each team, until when, and who is then."""
    settings = _settings()
    directory = directory_of(settings)
    zone = directory.calendar.zone
    moment = _now(settings) if at is None else _moment(at, zone)
    rows = [(one, level, *_shifts(one, level, moment)) for one in _teams(directory, team) for level in one.levels]
    if as_json:
        print_json([_as_json(directory, one.key, level, now, then) for one, level, now, then in rows])
        return 0
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("team", "level", "on call", "until", "then"):
        table.add_column(name, overflow="fold")
    for one, level, now, then in rows:
        who = Text(_who(directory, now), style="" if now.people else "bold red")
        until = Text("" if then is None else _time(now.end, zone))
        table.add_row(Text(one.name), level, who, until, Text("" if then is None else _who(directory, then)))
    say(f"{_time(moment, zone)} ({zone.key})", style="bold")
    out().print(table)
    return 0


def gaps(days: int, as_json: bool) -> int:
    """Prints the times ahead in which nobody is on call; 1 when some are in a team's primary."""
    from notifier.people import cover

    settings = _settings()
    directory = directory_of(settings)
    now = _now(settings)
    found = cover.gaps(directory, now, now + timedelta(days=days))
    if as_json:
        times = ((gap, {"from": _rfc3339(gap.begin), "to": _rfc3339(gap.end)}) for gap in found)
        print_json([{"team": gap.team, "level": gap.level} | span for gap, span in times])
    else:
        zone = directory.calendar.zone
        for gap in found:
            name = directory.teams[gap.team].name
            say(f"{name} {gap.level}: nobody from {_time(gap.begin, zone)} to {_time(gap.end, zone)} ({zone.key})")
        if not found:
            note(f"somebody is on call at every time of the next {days} days", style="green")
    return FAILED if any(gap.level == "primary" for gap in found) else 0


def check(file: Path | None) -> int:
    """Prints what is wrong with a directory, and on stderr what may be."""
    from notifier.people.directory import DirectoryError

    settings = _settings()
    path = file or settings.teams
    if path is None:
        fail("which file? Name one, or set TILLWATCH_TEAMS", USAGE)
    try:
        directory, problems = _loaded(path)
    except DirectoryError as error:
        for fault in error.faults:
            say(str(fault))
        note(counted(len(error.faults), "error"), style="red")
        return FAILED
    for problem in problems:
        say(problem)
    for remark in _remarks(directory, settings):
        note(remark, style="yellow")
    if problems:
        return FAILED
    note(
        f"{counted(len(directory.teams), 'team')}, {counted(len(directory.people), 'person', 'people')}, no errors",
        style="green",
    )
    return 0


def override(who: str, team: str | None, level: str, begin: str | None, end: str | None, for_s: float | None) -> int:
    """Writes an override into the file; what it takes the place of stays as it is."""
    from notifier.overrides import append
    from notifier.people.directory import DirectoryError

    settings = _settings()
    if settings.teams is None:
        fail("nowhere to write it: TILLWATCH_TEAMS is not set", USAGE)
    if (end is None) == (for_s is None):
        fail("until when? Either --to or --for", USAGE)
    directory = directory_of(settings)
    zone = directory.calendar.zone
    if team is None and len(directory.teams) > 1:
        fail(f"of which team? --team takes one of {', '.join(directory.teams)}", USAGE)
    first = (_now(settings) if begin is None else _moment(begin, zone)).astimezone(zone)
    last = first.astimezone(UTC) + timedelta(seconds=for_s) if for_s is not None else _moment(end or "", zone)
    team = team or next(iter(directory.teams))
    try:
        found = append(settings.teams, who=[who], team=team, level=level, begin=first, end=last.astimezone(zone))
    except DirectoryError as error:
        _tell(error)
    names = found.people[who].name, found.teams[team].name
    say(f"{names[0]} is on call for {names[1]} ({level}) from {_time(first, zone)} to {_time(last, zone)} ({zone.key})")
    return 0


# --- the directory ----------------------------------------------------------------------------------------------------


def _settings() -> Settings:
    from runtime.settings import load_settings

    return load_settings()


def directory_of(settings: Settings) -> Directory:
    """The directory in force. What is wrong with it ends the command; a calendar that cannot be had is told."""
    from notifier.people.directory import DirectoryError, builtin

    if settings.teams is None:
        note("TILLWATCH_TEAMS is not set: every page goes to the built-in outbox", style="yellow")
        return builtin()
    try:
        directory, problems = _loaded(settings.teams)
    except DirectoryError as error:
        _tell(error)
    for problem in problems:
        note(problem, style="yellow")
    return directory


def _loaded(path: Path) -> tuple[Directory, list[str]]:
    """The directory with its calendars, and why some of them could not be had. Raises DirectoryError."""
    from notifier.people.directory import load

    directory = load(path)
    if not directory.urls:
        return directory, []
    from notifier.calendars import fetch_all

    calendars, problems = asyncio.run(fetch_all(directory.urls))
    return load(path, calendars), problems


def _tell(error: Exception) -> NoReturn:
    note(str(error), style="red")
    raise typer.Exit(USAGE)


def _teams(directory: Directory, name: str | None) -> list[Team]:
    if name is None:
        return list(directory.teams.values())
    if name not in directory.teams:
        from runtime.suggest import nearest, quoted

        near = nearest(name, directory.teams)
        hint = f" (did you mean {near}?)" if near else ""
        fail(f"no team {quoted(name)}; there are {', '.join(directory.teams)}{hint}", USAGE)
    return [directory.teams[name]]


def _remarks(directory: Directory, settings: Settings) -> Iterator[str]:
    """What is no error, and yet may not be meant."""
    from fnmatch import fnmatchcase

    from notifier.people import cover
    from notifier.people.directory import DirectoryError
    from rules.loader import Unreadable, load

    try:
        rules = load(None if settings.rules is None else [settings.rules], settings.bucket_ms).rules
    except Unreadable as error:
        yield f"its rules could not be looked at: {error}"
    else:
        names = [name for rule in rules for name in (rule.name, f"{rule.pack}/{rule.name}")]
        for team in directory.teams.values():
            for pattern in team.rules:
                if not any(fnmatchcase(name, pattern) for name in names):
                    yield f"teams.{team.key}.rules: no rule in force is called {pattern}"
        teams = {name.casefold() for team in directory.teams.values() for name in (team.key, team.name)}
        for rule in rules:
            if rule.owner is not None and rule.owner.casefold() not in teams:
                yield f"the rule {rule.name} has the owner {rule.owner}, which is no team: others answer for it"
    for channel in directory.channels:
        try:
            directory.channel(channel)
        except DirectoryError as error:
            yield from (f"here, {fault.where}: {fault.text}" for fault in error.faults)
    now = _now(settings)
    ahead = now + timedelta(days=_CHECKED_DAYS)
    for one in cover.strangers(directory, now, ahead):
        day = _time(one.event.begin, directory.calendar.zone)
        yield f"teams.{one.team}.{one.level}: the event {one.event.summary!r} of {day} names nobody who is known"
    found = cover.gaps(directory, now, ahead)
    if found:
        yield f"gaps in the next {_CHECKED_DAYS} days: {len(found)} ('tillwatch oncall gaps' lists them)"


# --- times and words --------------------------------------------------------------------------------------------------


def _now(settings: Settings) -> datetime:
    return datetime.fromtimestamp(int(installation.clock(settings).now()), UTC)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    from notifier.people.levels import moment

    try:
        return moment(text, zone)
    except ValueError as error:
        fail(str(error), USAGE)


def _shifts(team: Team, level: str, at: datetime) -> tuple[Shift, Shift | None]:
    """The shift that a moment is in, and the next where there is one."""
    first, *others = team.levels[level].shifts(at, at + _AHEAD)
    return first, next(iter(others), None)


def _who(directory: Directory, shift: Shift) -> str:
    return ", ".join(directory.people[key].name for key in shift.people) or "nobody"


def _time(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y %H:%M}"


def _rfc3339(at: datetime) -> str:
    from schemas.time import rfc3339

    return rfc3339(round(at.timestamp() * 1000))


def _as_json(directory: Directory, team: str, level: str, now: Shift, then: Shift | None) -> dict[str, object]:
    people = [{"key": key, "name": directory.people[key].name} for key in now.people]
    until = None if then is None else _rfc3339(now.end)
    return {
        "team": team,
        "level": level,
        "people": people,
        "until": until,
        "next": [] if then is None else list(then.people),
    }
