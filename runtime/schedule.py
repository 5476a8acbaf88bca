"""When something is on duty: `business hours`, or days and hours such as `mon-fri 08:00-17:00`, in a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from runtime.suggest import nearest, quoted

ZONE = "Africa/Johannesburg"
BUSINESS_HOURS = "mon-fri 08:00-17:00"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(
    r"(?P<days>[a-z,\-]+)\s+(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>[A-Za-z_/+\-0-9]+))?", re.I
)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


class ScheduleError(ValueError):
    """What is wrong with a schedule."""


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When clocks in a zone show a time, in UTC. As in RFC 5545: a time that a clock change repeats is the first of the two,
    and one that it leaves out is counted with the offset from before the change."""
    return datetime.combine(day, at, zone).astimezone(UTC)


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
        begin, _ = next(self._from(datetime.fromtimestamp(ms / 1000, UTC)))
        return max(ms, round(begin.timestamp() * 1000))

    def spans(self, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The times on duty that reach into `begin` to `end`, in order, in UTC; their last instant is not in them."""
        for one in self._from(begin):
            if one[0] >= end:
                return
            yield one

    def covers(self, at: datetime) -> bool:
        """Whether a moment (with a zone) is on duty."""
        return any(self.spans(at, at + _INSTANT))

    def _from(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The times on duty that end after a moment, without end."""
        at = at.astimezone(UTC)
        # A day is at most 26 hours from UTC's, and a time on duty may end on the day after the one it is named for.
        day = at.date() - 3 * _DAY
        while True:
            if day.weekday() in self.days:
                last = day if self.end > self.begin else day + _DAY
                begin, end = instant(day, self.begin, self.zone), instant(last, self.end, self.zone)
                if at < end and begin < end:  # a clock change may leave nothing of it
                    yield begin, end
            day += _DAY

    def __str__(self) -> str:
        days = ",".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {self.begin:%H:%M}-{self.end:%H:%M} {self.zone.key}"


def schedule(text: str, zone: str = ZONE) -> Schedule:
    """The schedule that a text says, in this zone unless it names one. Raises ScheduleError."""
    match = _FORM.fullmatch(re.sub("^business hours", BUSINESS_HOURS, text.strip(), flags=re.I))
    if match is None:
        raise ScheduleError(
            "expected 'business hours', or days and hours such as mon-fri 08:00-17:00 (a time zone may follow)"
        )
    begin, end = (time_of(match[name]) for name in ("begin", "end"))
    return Schedule(_days(match["days"].lower()), begin, end, zone_of(match["zone"] or zone))


def time_of(text: str) -> time:
    """The time of day of a text such as `08:00`. Raises ScheduleError."""
    try:
        if re.fullmatch(r"\d\d:\d\d", text):
            return time.fromisoformat(text)
    except ValueError:
        pass
    raise ScheduleError(f"expected a time of day from 00:00 to 23:59, such as 08:00; got {quoted(text)}")


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name such as `Africa/Johannesburg`. Raises ScheduleError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, available_timezones())
        hint = f" (did you mean {near}?)" if near else ""
        raise ScheduleError(f"no time zone {quoted(name)}; expected a name such as {ZONE}{hint}") from None


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
