"""Business days and hours: the working week and the public holidays of a country, those that are moved among them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

from notifier.people.rotation import utc
from runtime.schedule import ZONE

COUNTRY = "ZA"
OPENS, CLOSES = time(8), time(17)
_ZONE = ZoneInfo(ZONE)
_LONGEST_DAYS = 60
"""No country rests for longer."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Where and when people work. `country`: ISO 3166, also with a subdivision: `ZA`, `DE-BY`."""

    country: str = COUNTRY
    zone: ZoneInfo = _ZONE
    opens: time = OPENS
    closes: time = CLOSES

    def next_business_day(self, at: datetime) -> datetime:
        """The same as the function, in this zone."""
        return next_business_day(at.astimezone(self.zone), self.country, self.opens)

    def is_business_time(self, at: datetime) -> bool:
        """Whether people are at work at a moment."""
        local = at.astimezone(self.zone)
        return self.opens <= local.time() < self.closes and is_business_day(local.date(), self.country)


def next_business_day(at: datetime, country: str = COUNTRY, opens: time = OPENS) -> datetime:
    """The first opening of a business day after a moment, in the moment's zone: of Monday at six in the morning that day's, of
    Monday at ten Tuesday's. Raises ValueError for a moment without a zone."""
    now = utc(at)
    for days in range(_LONGEST_DAYS):
        day = at.date() + timedelta(days=days)
        opening = datetime.combine(day, opens, at.tzinfo)
        if utc(opening) > now and is_business_day(day, country):
            return opening
    raise AssertionError(f"{country} has business days")


def is_business_day(day: date, country: str = COUNTRY) -> bool:
    """Whether people of a country work on a day."""
    return _working_days(country).is_working_day(day)


@cache
def _working_days(country: str) -> holidays.HolidayBase:
    name, _, subdivision = country.partition("-")
    return holidays.country_holidays(name, subdiv=subdivision or None)


@cache
def countries() -> frozenset[str]:
    """Every country and subdivision whose holidays are known."""
    known = holidays.list_supported_countries()
    return frozenset(known) | {f"{name}-{part}" for name, parts in known.items() for part in parts}
