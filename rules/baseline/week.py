"""The mean of the last week and how far values spread around it: for latencies and failures, which have little rhythm.

Seven daily sums and the present day's: so it forgets by the day, and is small when written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import sqrt
from typing import Any

from rules.baseline.calendar import DAY_MS

DAYS = 7
Z = 3.5


class WeekMean:
    """Judges values against mean ± z standard deviations of the last seven days; silent in the first.

    All values enter the sums: what lasts becomes normal. A burst makes it dull for a week, which on labelled latencies cost
    less than the false pages of a mean that bursts are kept out of (docs/baseline.md).
    """

    def __init__(self, step_ms: int, z: float = Z) -> None:
        self._step_ms, self._z = step_ms, z
        self._days: deque[list[float]] = deque(maxlen=DAYS)
        self._day: int | None = None
        self._today = [0.0, 0.0, 0.0]

    def expected(self) -> tuple[float, float] | None:
        """Mean and standard deviation; None with less than a day of history."""
        n, total, squares = (sum(column) for column in zip(*self._days, self._today, strict=True))
        if n * self._step_ms < DAY_MS:
            return None
        mean = total / n
        return mean, sqrt(max(0.0, squares / n - mean * mean))

    def step(self, start_ms: int, value: float) -> float:
        """By how many standard deviations a value is beyond the bounds: above 0 too high, below 0 too low, 0 within."""
        day = start_ms // DAY_MS
        if day != self._day:
            if self._day is not None:
                self._days.append(self._today)
            self._day, self._today = day, [0.0, 0.0, 0.0]
        found = self.expected()
        self._today = [self._today[0] + 1, self._today[1] + value, self._today[2] + value * value]
        if found is None or found[1] <= 0:
            return 0.0
        off = (value - found[0]) / found[1]
        return off if abs(off) > self._z else 0.0

    def snapshot(self) -> dict[str, Any]:
        """All that is kept, as plain JSON values."""
        return {
            "days": [list(day) for day in self._days],
            "day": self._day,
            "today": list(self._today),
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        self._days = deque((list(day) for day in kept["days"]), DAYS)
        self._day, self._today = kept["day"], list(kept["today"])
