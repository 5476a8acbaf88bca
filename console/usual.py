"""What is usual at a time: from the same hours of the weeks before, or from the baseline that the leader has learned. Pure.

An hour of last week is a whole row, whatever finer rows are gone. Of the weeks that hold enough the best and the worst are left
out where there are three or more, so that an incident of last week is not what is usual today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from console.readings import Totals, Window
from console.span import View
from rollups.tables import DAY, HOUR
from rules.baseline.guard import Guard

WEEK_MS = 7 * DAY
WEEKS, LEAST_WEEKS = 4, 2
ENOUGH = 20
"""Events of an hour from which its share says something."""
SURE = 2.0
"""Standard deviations of chance that are still usual: so that one step in twenty lies outside and not every second one."""
LONGEST_MS = 8 * DAY
"""A longer view has no band: its own line shows the weeks before."""

Edges = tuple[float, float]
Weeks = Sequence[Mapping[int, Totals]]
"""The hours of each of the weeks before, by their start, the latest week first."""


def hours(window: Window) -> Window:
    """The whole hours that hold a window."""
    return Window(window.start_ms - window.start_ms % HOUR, -(-window.end_ms // HOUR) * HOUR)


def weeks_before(window: Window) -> list[View]:
    """The same hours of each of the weeks before, the latest first."""
    span = hours(window)
    return [View(span, "1h", HOUR, False).before(WEEK_MS * ago) for ago in range(1, WEEKS + 1)]


def of_hour(weeks: Weeks, ms: int) -> list[Totals]:
    """What the hour of `ms` held in each week in which it held anything."""
    start = ms - ms % HOUR
    found = (week.get(start - WEEK_MS * ago) for ago, week in enumerate(weeks, 1))
    return [cells for cells in found if cells]


@dataclass(frozen=True, slots=True)
class Share:
    """A share as it usually is: the middle, between what the weeks lay, and of how many events an hour."""

    middle: float
    low: float
    high: float
    an_hour: float

    def band(self, width_ms: int) -> Edges:
        """Between what the share of a stretch so long may lie: chance widens it, the more the fewer events there are."""
        n = max(self.an_hour * width_ms / HOUR, 1.0)
        likely = (self.middle * n + 1) / (n + 2)
        chance = SURE * sqrt(likely * (1 - likely) / n)
        return max(0.0, self.low - chance), min(1.0, self.high + chance)


def share(weeks: Iterable[tuple[float, float]]) -> Share | None:
    """What is usual by (part, whole) of an hour in each of the weeks; None where fewer than two say enough."""
    known = [(part / whole, whole) for part, whole in weeks if whole >= ENOUGH]
    if len(known) < LEAST_WEEKS:
        return None
    low, high = _inner([rate for rate, _ in known])
    return Share(median(rate for rate, _ in known), low, high, sum(whole for _, whole in known) / len(known))


def count(weeks: Sequence[float], width_ms: int) -> Edges | None:
    """Between what a count of a stretch so long may lie, by that of an hour in each of the weeks."""
    if len(weeks) < LEAST_WEEKS:
        return None
    low, high = (edge * width_ms / HOUR for edge in _inner(weeks))
    return max(0.0, low - SURE * sqrt(low)), high + SURE * sqrt(high)


def learned(guard: Guard, start_ms: int, width_ms: int) -> Edges | None:
    """The same by what the leader has learned."""
    return guard.usual(start_ms, width_ms, SURE)


def _inner(values: Sequence[float]) -> Edges:
    ordered = sorted(values)
    if len(ordered) > LEAST_WEEKS:
        ordered = ordered[1:-1]
    return ordered[0], ordered[-1]
