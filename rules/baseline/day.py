"""The last 24 hours: a sum that is compared with a fixed number, minute by minute, as a guard is fed."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rules.baseline.calendar import DAY_MS
from rules.baseline.guard import MINUTE_MS, Reading, State
from rules.baseline.history import Row

MINUTES = DAY_MS // MINUTE_MS
KNOWN = 0.98
"""Share of the day's minutes that must be known."""
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
FORMAT = "day-1"


class Day:
    """The sum of the last 24 hours of one series against `limit`."""

    def __init__(self, comparison: str, limit: float) -> None:
        self._comparison, self.limit = comparison, limit
        self._minutes: deque[tuple[int, float]] = deque()
        self._sum = 0.0
        self._next: int | None = None

    @property
    def next_ms(self) -> int | None:
        """Where the next minute begins; None before the first."""
        return self._next

    @property
    def learning(self) -> bool:
        """Whether less than a day is known."""
        return len(self._minutes) < KNOWN * MINUTES

    def step(self, start_ms: int, value: float | None) -> Reading:
        """Takes in a minute, and judges the 24 hours that end with it. None, or a minute left out: it is not known."""
        self._next = end = start_ms + MINUTE_MS
        if value is not None:
            self._minutes.append((start_ms, value))
            self._sum += value
        while self._minutes and self._minutes[0][0] < end - DAY_MS:
            self._sum -= self._minutes.popleft()[1]
        known_ms = len(self._minutes) * MINUTE_MS
        if self.learning:
            return Reading("learning", end - DAY_MS, end, DAY_MS, known_ms, 1.0)
        beyond = _COMPARE[self._comparison](self._sum, self.limit)
        state: State = "normal" if not beyond else "rise" if self._comparison in (">", ">=") else "drop"
        return Reading(state, end - DAY_MS, end, DAY_MS, known_ms, 1.0, self._sum, self.limit)

    def take(self, rows: Sequence[Row], width_ms: int) -> None:
        """Takes over history: rows of a minute or more, in order; what a longer one held is spread evenly."""
        pieces = width_ms // MINUTE_MS
        for start, value in rows:
            for piece in range(pieces):
                self.step(start + piece * MINUTE_MS, None if value is None else value / pieces)

    def snapshot(self) -> dict[str, Any]:
        """All that is kept, as plain JSON values."""
        return {"format": FORMAT, "next": self._next, "minutes": [list(one) for one in self._minutes]}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from a snapshot. Raises ValueError if it is none."""
        if kept.get("format") != FORMAT:
            raise ValueError("what was kept is no day")
        self._next = kept["next"]
        self._minutes = deque((start, value) for start, value in kept["minutes"])
        self._sum = sum(value for _, value in self._minutes)


def said(reading: Reading) -> str:
    """`9,812 in 24 hours`, or how much of a day is known."""
    if reading.value is None:
        return f"LEARNING, {reading.known_ms / 3_600_000:.0f} of 24 hours are known"
    return f"{reading.value:,.0f} in 24 hours"
