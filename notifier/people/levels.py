"""The levels of a team as `teams.toml` writes them: people, one layer, or several."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from notifier.people import ical
from notifier.people.reading import Table, written
from notifier.people.rotation import Fixed, Layer, Override, Restricted, Rota, Rotation
from runtime.schedule import DAYS, schedule, time_of, zone_of
from runtime.suggest import quoted

LAYER = 'people such as ["thandi"], or a table with people, rotate or calendar'
ZONE_TEXT = "a time zone such as Africa/Johannesburg"
LONGEST_TURN_DAYS = 366
YEARS = range(1970, 2201)
_EVERY = 'a time such as "1 week" or "3 days", at most a year'
_HANDOVER = 'a time such as "mon 09:00", or "09:00"'
_KINDS = ("people", "rotate", "calendar", "calendar_env")
_TURN = re.compile(r"(?:(\d{1,3})\s*)?(d|days?|w|weeks?)")
_URL = re.compile(r"(?:https?|webcal)://", re.I)


class Levels:
    """Reads levels, one after another. `urls`: the calendars that must be fetched, as they were found.

    people: the keys that are known. names: what the people are called in calendars. calendars: those that were fetched.
    """

    def __init__(
        self,
        people: Collection[str],
        names: ical.Names,
        calendars: Mapping[str, ical.Calendar],
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._people, self._names, self._calendars = people, names, calendars
        self._folder, self._environment = folder, environment
        self.urls: dict[str, None] = {}

    def rota(self, team: Table, level: str, zone: ZoneInfo, overrides: Sequence[Override]) -> Rota | None:
        """What a team says of a level; None where it says nothing, or nothing that can be used."""
        if not team.has(level):
            return None
        if team.is_texts(level):
            people = team.names(level, self._people, "person")
            layers: list[Layer | None] = [Fixed(people) if people else None]
        else:
            layers = [self._layer(table, zone) for table in team.entries(level, LAYER)]
        whole = tuple(layer for layer in layers if layer is not None)
        return Rota(whole, tuple(overrides)) if whole else None

    def _layer(self, table: Table, zone: ZoneInfo) -> Layer | None:
        zone = table.text_as("zone", ZONE_TEXT, zone_of) or zone
        hours = table.text_as("hours", 'hours such as "mon-fri 08:00-17:00"', lambda text: schedule(text, zone.key))
        kinds = [kind for kind in _KINDS if table.has(kind)]
        if len(kinds) != 1:
            said = (
                f"keep one of {' and '.join(kinds)}"
                if kinds
                else f"who? Expected {', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
            )
            table.wrong("", said)
        for key in ("every", "start", "handover"):
            if table.has(key) and kinds and "rotate" not in kinds:
                table.wrong(key, "is for a rotation: it stands beside rotate")
        table.end()
        layer: Layer | None = None
        if kinds == ["people"]:
            people = table.names("people", self._people, "person")
            layer = Fixed(people) if people else None
        elif kinds == ["rotate"]:
            layer = self._rotation(table, zone)
        elif len(kinds) == 1:
            layer = self._on_calendar(table, kinds[0], zone)
        return layer if layer is None or hours is None else Restricted(layer, hours)

    def _rotation(self, table: Table, zone: ZoneInfo) -> Rotation | None:
        people = table.names("rotate", self._people, "person")
        days = table.text_as("every", _EVERY, _turn_days) if table.has("every") else 7
        at = table.text_as("handover", _HANDOVER, _handover) if table.has("handover") else (None, time(9))
        start = table.parsed("start", _day)
        if not table.has("start"):
            table.wrong("start", "is missing; expected the day on which the first turn begins, such as 2026-01-05")
        weekday, clock = at or (None, time())
        if weekday is not None and days is not None and days % 7:
            table.wrong("handover", f'turns of {days} days begin on any day of the week: write "{clock:%H:%M}"')
        elif weekday is not None and start is not None and start.weekday() != weekday:
            table.wrong("start", f"{start} is a {start:%A}, and handover says {DAYS[weekday]}")
        return Rotation(people, start, days, clock, zone) if people and start and days else None

    def _on_calendar(self, table: Table, key: str, zone: ZoneInfo) -> Layer | None:
        """By a file, or by a URL: which may be a secret, and is never told."""
        source = table.text(key, "the path of an iCalendar file, or its URL")
        if source is not None and key == "calendar_env":
            variable, source = source, self._environment.get(source, "")
            if not is_url(source):
                state = "no URL" if source else "not set"
                table.wrong(
                    key, f"expected the URL of a calendar in the environment's {quoted(variable)}, which is {state}"
                )
                return None
        if source is None:
            return None
        if is_url(source):
            self.urls[source] = None
            calendar = self._calendars.get(source)
        else:
            calendar = self._from_file(table, source)
        return Fixed(()) if calendar is None else ical.OnCalendar(calendar, self._names, zone)

    def _from_file(self, table: Table, source: str) -> ical.Calendar | None:
        try:
            with (self._folder / source).open("rb") as file:
                return ical.read(file.read(ical.LARGEST + 1))
        except (OSError, ValueError) as error:
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            table.wrong("calendar", f"{quoted(source)}: {why}")
            return None


def is_url(source: str) -> bool:
    """Whether a calendar must be fetched."""
    return _URL.match(source) is not None


def moment(value: object, zone: ZoneInfo) -> datetime:
    """A time as TOML has it or in quotes, in UTC; in a zone unless it says how far from UTC it is. Raises ValueError."""
    found: object = value
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            found = None
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time())
    if not isinstance(found, datetime) or found.year not in YEARS:
        raise ValueError(f'expected a time such as 2026-12-24T17:00:00 or "2026-12-24 17:00", got {written(value)}')
    return found.replace(tzinfo=found.tzinfo or zone).astimezone(UTC)


def _turn_days(text: str) -> int:
    match = _TURN.fullmatch(text.strip())
    days = 0 if match is None else int(match[1] or 1) * (7 if match[2].startswith("w") else 1)
    if not 0 < days <= LONGEST_TURN_DAYS:
        raise ValueError(f"expected {_EVERY}, got {quoted(text)}")
    return days


def _handover(text: str) -> tuple[int | None, time]:
    """The day of the week, where it is said, and the time of day."""
    day, _, at = text.lower().strip().rpartition(" ")
    if day and day.strip() not in DAYS:
        raise ValueError(f"expected {_HANDOVER}, got {quoted(text)}")
    return (DAYS.index(day.strip()) if day else None), time_of(at)


def _day(value: object) -> date:
    found: object = value
    if isinstance(value, str):
        try:
            found = date.fromisoformat(value.strip())
        except ValueError:
            found = None
    if not isinstance(found, date) or isinstance(found, datetime) or found.year not in YEARS:
        raise ValueError(f"expected a day such as 2026-01-05, got {written(value)}")
    return found
