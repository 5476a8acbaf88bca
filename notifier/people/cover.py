"""What the rotas hold ahead: times in which nobody is on call, and hand-overs, to give notice of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from notifier.people.directory import Directory
from notifier.people.ical import Event, OnCalendar
from notifier.people.rotation import People, Restricted, utc

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time, in UTC, in which nobody is on call for a level that a team has."""

    team: str
    level: str
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Handover:
    """A moment, in UTC, from which on others are on call: keys of people, before and after; nobody where there are none."""

    team: str
    level: str
    at: datetime
    before: People
    after: People


@dataclass(frozen=True, slots=True)
class Stranger:
    """An event of a calendar that names nobody who is known, so that nobody is on call by it."""

    team: str
    level: str
    event: Event


def gaps(directory: Directory, begin: datetime, end: datetime) -> list[Gap]:
    """The gaps between two moments, each as long as it is, by team and level."""
    return [
        Gap(team.key, level, shift.begin, shift.end)
        for team in directory.teams.values()
        for level, rota in team.levels.items()
        for shift in rota.shifts(begin, end)
        if not shift.people
    ]


def handovers(directory: Directory, begin: datetime, end: datetime) -> list[Handover]:
    """The hand-overs from a moment on and before another, in order; asked for span after span each is found once."""
    found = [
        Handover(team.key, level, after.begin, before.people, after.people)
        for team in directory.teams.values()
        for level, rota in team.levels.items()
        for before, after in pairwise(rota.shifts(utc(begin) - _INSTANT, end))
    ]
    return sorted(found, key=lambda one: one.at)


def strangers(directory: Directory, begin: datetime, end: datetime) -> list[Stranger]:
    """The events between two moments that name nobody."""
    found = []
    for team in directory.teams.values():
        for level, rota in team.levels.items():
            for layer in rota.layers:
                within = layer.layer if isinstance(layer, Restricted) else layer
                if isinstance(within, OnCalendar):
                    found += [Stranger(team.key, level, event) for event in within.strangers(utc(begin), utc(end))]
    return found
