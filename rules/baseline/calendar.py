"""When a moment is: its time of day and of week where the people live, and whether its day is a special one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Treatment = Literal["sunday", "skip"]
"""What to do with a special day: judge it as if it were a Sunday, or not at all. Neither is learned from."""

DAY_MS = 86_400_000
DEFAULT_ZONE = "Africa/Johannesburg"
FIRST_YEAR, YEARS = 2020, 40
"""The public holidays of these years are known without being asked for."""
_SUNDAY = 6


class Place(NamedTuple):
    """Where a slot stands: its number in the day and in the week (from Monday), the day's ordinal, what is special."""

    of_day: int
    of_week: int
    day: int
    special: Treatment | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A time zone with its clock changes, and the days that are unlike their weekday."""

    zone: str = DEFAULT_ZONE
    special: Mapping[date, Treatment] | None = None

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {self.zone!r}; expected a name such as {DEFAULT_ZONE}") from None

    def place(self, ms: int, slot_ms: int) -> Place:
        """The slot of an epoch time. Wall-clock time: the hour that a clock change repeats is the same slots again."""
        local = self.local(ms)
        number = (local.hour * 3_600_000 + local.minute * 60_000 + local.second * 1000) // slot_ms
        day = local.date()
        special = (self.special or {}).get(day)
        weekday = _SUNDAY if special == "sunday" else day.weekday()
        return Place(number, weekday * (DAY_MS // slot_ms) + number, day.toordinal(), special)

    def local(self, ms: int) -> datetime:
        """The moment as clocks there show it, to the second."""
        return datetime.fromtimestamp(ms // 1000, ZoneInfo(self.zone))


def special_days(text: str) -> dict[date, Treatment]:
    """The days of a text: one `YYYY-MM-DD` a line, like a Sunday unless `skip` stands behind it; `#` begins a remark.

    Raises ValueError, which names the line.
    """
    found: dict[date, Treatment] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        treatment = words[1] if len(words) > 1 else "sunday"
        try:
            day = date.fromisoformat(words[0])
        except ValueError:
            raise ValueError(f"line {number}: expected a date such as 2026-12-25, not {words[0]!r}") from None
        if len(words) > 2 or treatment not in ("sunday", "skip"):
            raise ValueError(f"line {number}: expected 'sunday', 'skip' or nothing behind the date")
        found[day] = "sunday" if treatment == "sunday" else "skip"
    return found


def read_calendar(text: str) -> Calendar:
    """The calendar of a text: `zone Europe/Paris` on a line of its own where it is not South Africa's, and special days as
    `special_days` has them; without any day South Africa's zone has its public holidays. Raises ValueError, which names the
    line."""
    zone, rest = DEFAULT_ZONE, []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words[0] != "zone":
            rest.append(line)
            continue
        rest.append("")
        if len(words) != 2:
            raise ValueError(f"line {number}: expected 'zone' and a name such as {DEFAULT_ZONE}")
        try:
            zone = Calendar(words[1]).zone
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    days = special_days("\n".join(rest))
    return Calendar(zone, days) if days or zone != DEFAULT_ZONE else usual()


@cache
def usual() -> Calendar:
    """South Africa's, with its public holidays judged like Sundays."""
    years = range(FIRST_YEAR, FIRST_YEAR + YEARS)
    return Calendar(DEFAULT_ZONE, like_sundays(day for year in years for day in south_african_holidays(year)))


def like_sundays(days: Iterable[date]) -> dict[date, Treatment]:
    """Days that are to be judged as Sundays."""
    return dict.fromkeys(days, "sunday")


def south_african_holidays(year: int) -> list[date]:
    """The public holidays of South Africa, in order; one that falls on a Sunday makes the Monday after it one too.

    Public Holidays Act 36 of 1994. Days that are proclaimed for a single year (elections) are not known here.
    """
    easter = _easter(year)
    fixed = ((1, 1), (3, 21), (4, 27), (5, 1), (6, 16), (8, 9), (9, 24), (12, 16), (12, 25), (12, 26))
    days = {date(year, month, day) for month, day in fixed}
    days |= {day + timedelta(days=1) for day in days if day.weekday() == _SUNDAY}
    days |= {easter - timedelta(days=2), easter + timedelta(days=1)}
    return sorted(days)


def _easter(year: int) -> date:
    """Easter Sunday. J.-M. Oudin (1940), as in the Explanatory Supplement to the Astronomical Almanac."""
    century = year // 100
    golden = year % 19
    tilt = (century - 17) // 25
    moon = (century - century // 4 - (century - tilt) // 3 + 19 * golden + 15) % 30
    moon -= moon // 28 * (1 - moon // 28 * (29 // (moon + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    offset = moon - weekday
    month = 3 + (offset + 40) // 44
    return date(year, month, offset + 28 - 31 * (month // 4))
