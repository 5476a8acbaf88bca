"""The directory: people, teams and who answers when, from `teams.toml`. docs/people.md says how it is written."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from notifier.people import business, ical, secrets
from notifier.people.levels import LAYER, ZONE_TEXT, Levels, moment
from notifier.people.reading import DirectoryError, Fault, Faults, Table, parse
from notifier.people.reports import Reports, reports
from notifier.people.rotation import Fixed, Override, People, Rota
from runtime.schedule import time_of, zone_of
from runtime.suggest import nearest, quoted
from schemas.severity import CHANNELS

__all__ = ["LEVELS", "Directory", "DirectoryError", "Fault", "Level", "Person", "Team", "builtin", "load", "read"]

Level = Literal["primary", "secondary", "lead", "executive"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Who is asked first, and who next when nobody answers."""
OUTBOX = "outbox"
"""The channel that is always there."""
LARGEST = 256 * 1024
"""Bytes of `teams.toml`, at most."""
_KEY = re.compile(r"[\w.-]{1,64}")
_WILD = re.compile(r"\[[^]]*\]|[*?]")
_CONTACTS = 'addresses by channel, such as {email = "thandi@example.com"}'


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be reached. `contacts`: address by channel."""

    key: str
    name: str
    zone: ZoneInfo
    contacts: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Team:
    """Who answers for rules and components. `members`: keys of people. `components` and `rules` may hold `*`, `?` and `[…]`."""

    key: str
    name: str
    members: People
    levels: Mapping[str, Rota]
    components: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, slots=True)
class Directory:
    """Everybody, by their keys. `channels`: what each `[channels.x]` says; `channel` has its secrets, too.

    urls: calendars that must be fetched, for `load`. folder: what paths in it are relative to. reports: who gets them.
    """

    people: Mapping[str, Person]
    teams: Mapping[str, Team]
    channels: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    calendar: business.Calendar = field(default_factory=business.Calendar)
    urls: tuple[str, ...] = field(default=(), repr=False)
    folder: Path = Path()
    reports: Reports = field(default_factory=Reports)

    def team_for(self, rule: str, pack: str, owner: str | None, components: Iterable[str]) -> Team:
        """Who answers: the owner, where that is a team; else by the rule (`rule` or `pack/rule`), by the first component that
        a team has, or else the default team. Of patterns that match the one that says most goes first."""
        teams = self.teams.values()
        if owner is not None:
            for team in teams:
                if owner.casefold() in (team.key.casefold(), team.name.casefold()):
                    return team
        found = _best(((pattern, team) for team in teams for pattern in team.rules), rule, f"{pack}/{rule}")
        for component in components:
            if found is None:
                found = _best(((pattern, team) for team in teams for pattern in team.components), component)
        return found or next(team for team in teams if team.default)

    def on_call(self, team: str, level: str, at: datetime) -> tuple[Person, ...]:
        """Who is on call at a moment with a zone; empty: nobody, so that the next level is asked at once. Raises KeyError for
        no such team."""
        rota = self.teams[team].levels.get(level)
        return () if rota is None else tuple(self.people[key] for key in rota.at(at))

    def channel(self, name: str, environment: Mapping[str, str] = os.environ) -> dict[str, object]:
        """What `[channels.name]` says, with `x = SecretStr(…)` for each `x_file` and `x_env`. Raises DirectoryError where a
        secret cannot be had, and KeyError for no such channel."""
        faults: list[Fault] = []
        found = secrets.resolved(self.channels[name], ("channels", name), self.folder, environment, faults)
        if faults:
            raise DirectoryError(faults)
        return found


def builtin() -> Directory:
    """The directory where nobody wrote one: one person, whose pages go to the outbox."""
    you = Person("you", "You", business.Calendar().zone, {OUTBOX: "you"})
    team = Team("everyone", "Everyone", (you.key,), {"primary": Rota((Fixed((you.key,)),))}, default=True)
    return Directory({you.key: you}, {team.key: team}, {OUTBOX: {}})


def load(
    path: str | os.PathLike[str],
    calendars: Mapping[str, ical.Calendar] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Directory:
    """The directory that a file holds. Raises DirectoryError: all that is wrong with it.

    calendars: those that were fetched, by URL; a layer whose calendar is not among them names nobody.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DirectoryError([Fault(str(path), 0, "", f"cannot be read: {error.strerror}")]) from None
    return read(str(path), content, calendars, environment)


def read(
    file: str,
    content: bytes,
    calendars: Mapping[str, ical.Calendar] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Directory:
    """The same of a file's content; `file` says what to call it, and where it lies."""
    held, text = parse(file, content, LARGEST)
    faults = Faults(file)
    found = _directory(Table(held, (), faults), faults, Path(file).parent, calendars or {}, environment)
    faults.end(text)
    return found


def _directory(
    top: Table, faults: Faults, folder: Path, calendars: Mapping[str, ical.Calendar], environment: Mapping[str, str]
) -> Directory:
    calendar = _calendar(top)
    channels: dict[str, dict[str, Any]] = {
        name: dict(table.items()) for name, table in top.tables("channels", "a table such as [channels.slack]")
    }
    secrets.check(channels, ("channels",), faults)
    people = _people(top, [*CHANNELS, OUTBOX, *channels], calendar.zone)
    tables = _named(top, "teams", "a table such as [teams.payments]")
    overrides = _overrides(top, people, dict(tables), calendar.zone)
    levels = Levels(people, _names(people), calendars, folder, environment)
    teams = {key: _team(key, table, people, levels, overrides, calendar.zone) for key, table in tables}
    sent = reports(top, channels)
    top.end()
    return Directory(people, _with_default(teams, faults), channels, calendar, tuple(levels.urls), folder, sent)


def _named(top: Table, what: str, expected: str) -> list[tuple[str, Table]]:
    """The tables `[what.key]`, of which there is at least one."""
    found = top.tables(what, expected, required=True)
    for key, table in found:
        if not _KEY.fullmatch(key):
            table.wrong(
                "",
                "expected a key of at most 64 letters, digits, '_', '-' and '.'; people are shown its name",
            )
    return found


def _calendar(top: Table) -> business.Calendar:
    usual = business.Calendar()
    for table in top.entries("calendar", "a table [calendar]"):
        country = table.text_as("country", "a country such as ZA or DE-BY", _country) or usual.country
        zone = table.text_as("zone", ZONE_TEXT, zone_of) or usual.zone
        opens = table.text_as("opens", "a time of day such as 08:00", time_of) or usual.opens
        closes = table.text_as("closes", "a time of day such as 17:00", time_of) or usual.closes
        if opens >= closes:
            table.wrong("closes", f"business opens at {opens:%H:%M}: expected a later time, got {closes:%H:%M}")
        table.end()
        return business.Calendar(country, zone, opens, closes)
    return usual


def _country(name: str) -> str:
    known = business.countries()
    if name not in known:
        near = nearest(name, known)
        hint = f" (did you mean {near}?)" if near else ""
        raise ValueError(f"no country {quoted(name)}; expected ISO 3166 such as ZA, or DE-BY{hint}")
    return name


def _people(top: Table, channels: Iterable[str], zone: ZoneInfo) -> dict[str, Person]:
    channels = list(dict.fromkeys(channels))
    called: dict[str, str] = {}
    found = {}
    for key, table in _named(top, "people", "a table such as [people.thandi]"):
        name = table.text("name", "a name such as Thandi Mokoena") or key
        if called.setdefault(name.casefold(), key) != key:
            table.wrong("name", f"people.{called[name.casefold()]} has this name too: nobody could tell them apart")
        contacts = _contacts(table, channels)
        found[key] = Person(key, name, table.text_as("zone", ZONE_TEXT, zone_of) or zone, contacts)
        table.end()
    return found


def _contacts(person: Table, channels: list[str]) -> dict[str, str]:
    said = person.value("contacts", dict, _CONTACTS, required=True)
    if said == {}:
        person.wrong("contacts", f"nobody can reach {person.where[-1]}; expected {_CONTACTS}")
    found: dict[str, str] = {}
    for table in person.entries("contacts", _CONTACTS) if said else ():
        for channel in said or ():
            address = table.text(channel, "an address")
            if table.known(channel, channel, channels, "channel") and address is not None:
                found[channel] = address.strip()
    return found


def _names(people: Mapping[str, Person]) -> ical.Names:
    """What people are called in calendars."""
    called = {name: one.key for one in people.values() for name in (one.contacts.get("email"), one.name) if name}
    return ical.Names(called | {key: key for key in people})


def _overrides(
    top: Table, people: Mapping[str, Person], teams: Mapping[str, Table], zone: ZoneInfo
) -> dict[tuple[str, str], list[Override]]:
    """By team and level, in the order of the file."""
    found: defaultdict[tuple[str, str], list[Override]] = defaultdict(list)
    for table in top.entries("overrides", "a table [[overrides]]"):
        who = table.names("who", list(people), "person")
        team = table.text("team", "a team", required=True)
        level = table.text("level", "a level such as primary") or "primary"
        begin, end = (table.parsed(key, lambda value: moment(value, zone)) for key in ("from", "to"))
        for key in ("from", "to"):
            if not table.has(key):
                table.wrong(key, 'is missing; expected a time such as 2026-12-24T17:00:00 or "2026-12-24 17:00"')
        table.end()
        if team is not None and table.known("team", team, list(teams), "team"):
            table.known("level", level, [one for one in LEVELS if teams[team].has(one)], "level")
        if begin is not None and end is not None and begin >= end:
            table.wrong("to", "expected a time after from")
        elif begin is not None and end is not None and team is not None:
            found[team, level].append(Override(who, begin, end))
    return found


def _team(
    key: str,
    table: Table,
    people: Mapping[str, Person],
    levels: Levels,
    overrides: Mapping[tuple[str, str], list[Override]],
    zone: ZoneInfo,
) -> Team:
    zone = table.text_as("zone", ZONE_TEXT, zone_of) or zone
    found = {level: levels.rota(table, level, zone, overrides.get((key, level), [])) for level in LEVELS}
    if not table.has("primary"):
        table.wrong("primary", f"is missing; expected {LAYER}")
    team = Team(
        key,
        table.text("name", "a name such as Payments") or key,
        table.names("members", list(people), "person") if table.has("members") else (),
        {level: rota for level, rota in found.items() if rota is not None},
        table.texts("components", 'components such as ["checkout"]'),
        table.texts("rules", 'rules or patterns such as ["payment_*"]'),
        table.value("default", bool, "true or false") or False,
    )
    table.end()
    return team


def _with_default(teams: dict[str, Team], faults: Faults) -> dict[str, Team]:
    """One team answers for what no other does; where there is but one, it is that. Two cannot answer for the same."""
    if len(teams) == 1:
        return {key: replace(team, default=True) for key, team in teams.items()}
    defaults = [key for key, team in teams.items() if team.default]
    if teams and not defaults:
        faults.add(("teams",), "one of them needs default = true: somebody must answer for what no team is named for")
    for key in defaults[1:]:
        faults.add(("teams", key, "default"), f"teams.{defaults[0]} is the default already")
    claimed: dict[tuple[str, str], str] = {}
    for key, team in teams.items():
        for what, pattern in _patterns(team):
            other = claimed.setdefault((what, pattern), key)
            if other != key:
                faults.add(("teams", key, what), f"{quoted(pattern)} is teams.{other}'s already: one team answers")
    return teams


def _patterns(team: Team) -> Iterator[tuple[str, str]]:
    yield from (("components", one) for one in team.components)
    yield from (("rules", one) for one in team.rules)


def _best(patterns: Iterable[tuple[str, Team]], *names: str) -> Team | None:
    """The team of the pattern that matches a name and has the most letters that stand for themselves."""
    matching = [(pattern, team) for pattern, team in patterns if any(fnmatchcase(name, pattern) for name in names)]
    return max(matching, key=lambda one: len(_WILD.sub("", one[0])))[1] if matching else None
