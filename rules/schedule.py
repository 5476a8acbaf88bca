"""When a rule is on duty: `business hours`, or days and hours such as `mon-fri 08:00-17:00`, in a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE = "Africa/Johannesburg"
BUSINESS_HOURS = "mon-fri 08:00-17:00"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(r"(?P<days>[a-z,\-]+)\s+(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>[A-Za-z_/+\-0-9]+))?", re.I)
_DAY = timedelta(days=1)


class ScheduleError(ValueError):
    """What is wrong with a schedule."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Days of the week (0 is Monday) and hours of the day, local to a zone. `end` 00:00 is midnight; one that is not after
    `begin` lies on the next day."""

    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def next(self, ms: int) -> int:
        """The earliest time from `ms` (epoch ms) on that is on duty."""
        moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone)
        for back in range(-1, 9):
            day = (moment + back * _DAY).date()
            if day.weekday() not in self.days:
                continue
            begin = datetime.combine(day, self.begin, self.zone)
            end = datetime.combine(day if self.end > self.begin else day + _DAY, self.end, self.zone)
            if moment < end:
                return max(ms, round(begin.timestamp() * 1000))
        raise AssertionError("a schedule has a day")

    def __str__(self) -> str:
        days = ",".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {self.begin:%H:%M}-{self.end:%H:%M} {self.zone.key}"


def schedule(text: str) -> Schedule:
    """The schedule that a text says. Raises ScheduleError."""
    match = _FORM.fullmatch(re.sub("^business hours", BUSINESS_HOURS, text.strip(), flags=re.I))
    if match is None:
        raise ScheduleError("expected 'business hours', or days and hours such as mon-fri 08:00-17:00 (a time zone may follow)")
    try:
        zone = ZoneInfo(match["zone"] or ZONE)
        begin, end = (time.fromisoformat(match[name]) for name in ("begin", "end"))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ScheduleError(f"no such time: {error}") from None
    return Schedule(_days(match["days"].lower()), begin, end, zone)


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ScheduleError(f"expected days such as mon-fri or sat,sun or daily, got {part!r}")
        start, stop = DAYS.index(first), DAYS.index(last or first)
        found.update(day % 7 for day in range(start, stop + 1 + (7 if stop < start else 0)))
    return frozenset(found)
