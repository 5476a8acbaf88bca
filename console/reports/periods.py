"""Days, weeks and months as people have them: from midnight to midnight of a zone, weeks from Monday on."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from rollups.tables import HOUR
from runtime.schedule import instant

Kind = Literal["daily", "weekly", "monthly"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DAY = timedelta(days=1)
_MIDNIGHT = time(0)


@dataclass(frozen=True)
class Period:
    """`first` to `last`, both days in it. Times are epoch ms; the end is not in it."""

    kind: Kind
    first: date
    last: date
    zone: ZoneInfo

    @property
    def start_ms(self) -> int:
        return _ms(self.first, self.zone)

    @property
    def end_ms(self) -> int:
        return _ms(self.last + _DAY, self.zone)

    @property
    def name(self) -> str:
        """As a file is called: `2026-11-29`, `2026-W48`, `2026-11`."""
        if self.kind == "daily":
            return self.first.isoformat()
        if self.kind == "monthly":
            return f"{self.first:%Y-%m}"
        year, week, _ = self.first.isocalendar()
        return f"{year}-W{week:02}"

    @property
    def title(self) -> str:
        """As people say it: `Sun 29 Nov 2026`, `Mon 23 to Sun 29 Nov 2026`, `November 2026`."""
        if self.kind == "daily":
            return f"{self.first:%a} {self.first.day} {self.first:%b %Y}"
        if self.kind == "monthly":
            return f"{self.first:%B %Y}"
        month = f" {self.first:%b}" if self.first.month != self.last.month else ""
        year = f" {self.first:%Y}" if self.first.year != self.last.year else ""
        return f"{self.first:%a} {self.first.day}{month}{year} to {self.last:%a} {self.last.day} {self.last:%b %Y}"

    @property
    def before(self) -> Period:
        """The one that ends where this begins."""
        return period_of(self.kind, self.first - _DAY, self.zone)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Where its steps begin: hours of a day; of a week quarters of days; days of a month. A clock change makes one longer
        or shorter, or adds or takes an hour."""
        if self.kind == "daily":
            return tuple(range(self.start_ms, self.end_ms, HOUR))
        hours = (0,) if self.kind == "monthly" else (0, 6, 12, 18)
        days = [self.first + n * _DAY for n in range((self.last - self.first).days + 1)]
        return tuple(_ms(day, self.zone, time(hour)) for day in days for hour in hours)

    def step_of(self, ms: int) -> int:
        """The number of the step that holds a moment of this period."""
        return bisect_right(self.steps, ms) - 1

    def step_end(self, step: int) -> int:
        return self.steps[step + 1] if step + 1 < len(self.steps) else self.end_ms


def period_of(kind: Kind, day: date, zone: ZoneInfo) -> Period:
    """The one that holds a day."""
    if kind == "daily":
        return Period(kind, day, day, zone)
    if kind == "weekly":
        monday = day - day.weekday() * _DAY
        return Period(kind, monday, monday + 6 * _DAY, zone)
    first = day.replace(day=1)
    return Period(kind, first, (first + 31 * _DAY).replace(day=1) - _DAY, zone)


def last_over(kind: Kind, now_ms: int, zone: ZoneInfo) -> Period:
    """The latest that is over."""
    return period_of(kind, datetime.fromtimestamp(now_ms / 1000, zone).date(), zone).before


def _ms(day: date, zone: ZoneInfo, at: time = _MIDNIGHT) -> int:
    return round(instant(day, at, zone).timestamp() * 1000)


def local(ms: int, zone: ZoneInfo) -> datetime:
    """A moment as clocks in the zone show it."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
