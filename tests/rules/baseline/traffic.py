"""Traffic with a rhythm, the same at each run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime
from math import cos, exp, pi
from zoneinfo import ZoneInfo

from local.past import poisson
from rules.baseline.guard import Guard, Reading

COUNTED_UP_TO = 50
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MONDAY_MS = 1_793_570_400_000
"""Monday 2026-11-02 00:00 in Johannesburg."""

Rate = Callable[[datetime], float]
"""Expected events an hour at a local time."""


def by_day(busy: float, quiet: float) -> Rate:
    """A smooth day: most at two in the afternoon, least at two in the morning."""

    def rate(at: datetime) -> float:
        hour = at.hour + at.minute / 60
        return quiet + (busy - quiet) * (1 + cos((hour - 14) / 12 * pi)) / 2

    return rate


def weekdays(busy: float, weekend: float) -> Rate:
    """The same all day, but another number on Saturdays and Sundays."""
    return lambda at: weekend if at.weekday() >= 5 else busy


class Traffic:
    """A Poisson series; `times` changes what comes in stretches of time."""

    def __init__(
        self, rate: Rate, step_ms: int, start_ms: int = MONDAY_MS, seed: int = 1, zone: str = "Africa/Johannesburg"
    ) -> None:
        self.rate, self.step_ms, self.now = rate, step_ms, start_ms
        self._chance, self._zone = random.Random(seed), ZoneInfo(zone)
        self._noise = 0.0

    def noisy(self, spread: float) -> Traffic:
        """Each step is as much off as a log-normal with this sigma."""
        self._noise = spread
        return self

    def next(self, times: float = 1.0) -> tuple[int, float]:
        """The start of the next step, and what it held."""
        start, self.now = self.now, self.now + self.step_ms
        mean = self.rate(datetime.fromtimestamp(start / 1000, self._zone)) * self.step_ms / HOUR_MS * times
        if self._noise:
            mean *= exp(self._chance.gauss(0, self._noise))
        return start, float(poisson(self._chance, mean, COUNTED_UP_TO))

    def until(self, end_ms: int, times: float = 1.0) -> Iterator[tuple[int, float]]:
        while self.now < end_ms:
            yield self.next(times)

    def feed(self, guard: Guard, lasting_ms: int, times: float = 1.0) -> list[Reading]:
        """What the guard says of each step of a stretch of time."""
        return [guard.step(start, value) for start, value in self.until(self.now + lasting_ms, times)]


def opened(readings: list[Reading]) -> int:
    """How many pages were opened."""
    return len({reading.open_since for reading in readings if reading.open_since is not None})
