"""Shares of a baseline: what the guard of a series said of each closed minute (rules/baseline, rules/learned.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.baseline.guard import MINUTE_MS
from rules.baseline.guard import Reading as Said
from rules.judges.base import COMPARE, UPWARD, Flips, Over, Point, Reading, Scope
from rules.learned import Learned
from rules.series import Slots


@dataclass(frozen=True, slots=True)
class BaselineJudge:
    """True while the value of the closed window is beyond this share of what is expected, and improbable for its series. It is
    over when the plain value is back: of a drop, with at least `min_events` events. total: a total of the measure is judged
    instead of a count. day: what is expected, where that is a fixed number for 24 hours."""

    comparison: str
    share: Fraction
    window_ms: int
    min_events: int
    total: bool
    day: Fraction | None = None

    @property
    def reach_ms(self) -> int:
        return self.window_ms if self.day is None else MINUTE_MS  # a day is kept by the minute, not as cells

    @property
    def upward(self) -> bool:
        return self.comparison in UPWARD

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        learned = slots.learned.get(self)
        if learned is None:
            return
        flips = Flips()
        for said in learned.from_(start):
            if flips.changed(said.breach):
                reading = self._reading(learned, said) if said.breach else None
                yield Point(said.end_ms, said.breach, said.end_ms, reading)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        learned = slots.learned.get(self)
        if learned is None:
            return None
        for said in learned.after(since):
            if said.value is None or said.expected is None or (not self.upward and said.value < self.min_events):
                continue
            if not COMPARE[self.comparison](said.value, float(self.share) * said.expected):
                return said.end_ms, self._reading(learned, said)
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        learned = slots.learned.get(self)
        return since if learned is None else max(since, learned.until or since)

    def _reading(self, learned: Learned, said: Said) -> Reading:
        assert said.value is not None and said.expected is not None
        limit = self.share * Fraction(said.expected)
        return Reading(
            Fraction(said.value), said.start_ms, said.end_ms, round(said.value), limit=limit, said=learned.words(said)
        )
