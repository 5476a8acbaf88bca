"""Means, quantiles and totals of a measure over a sliding window, bucket by bucket: a cell knows the times of its events,
but not which of them had which value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from rollups.cells import Stat
from rollups.sketch import ALPHA, quantile
from rules.judges.base import COMPARE, UPWARD, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.series import Slots
from rules.window import Sliding

Kind = Literal["mean", "quantile", "sum"]


@dataclass(frozen=True, slots=True)
class AverageJudge:
    """True when the value compares so with the threshold, on at least `min_events` events that carry the measure.

    scale: by what stored integers are divided to be in the unit of the threshold.
    """

    kind: Kind
    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    window_ms: int
    min_events: int
    measure: int
    scale: int
    q: float = 0.5

    @property
    def reach_ms(self) -> int:
        return self.window_ms

    def _value(self, stat: Stat) -> Fraction | None:
        if stat.n < max(self.min_events, 1):
            return None
        if self.kind == "mean":
            return Fraction(stat.total, stat.n * self.scale)
        if self.kind == "sum":
            return Fraction(stat.total, self.scale)
        found = quantile(stat.bins or {}, self.q)
        return None if found is None else Fraction(found) / self.scale

    def _sliding(self, slots: Slots, start: int, scope: Scope) -> Sliding:
        return Sliding(slots, start, self.window_ms, scope.bucket_ms, sketch=self.kind == "quantile")

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        sliding = self._sliding(slots, start, scope)
        for slot in slots.between(start, scope.end):
            sliding.before(slot.bucket)
            if self.kind == "quantile" and self.comparison in UPWARD:
                high = max(sliding.high(), slot.totals.stat.high or 0)
                if high * (1 + 2 * ALPHA) <= self.threshold * self.scale:
                    if flips.changed(False):
                        yield Point(slot.totals.last, False, slot.totals.last, None)
                    continue
            totals = slot.totals
            stat = sliding.stat()
            stat.add(totals.stat)
            value = self._value(stat)
            bad = value is not None and COMPARE[self.comparison](value, self.threshold)
            if flips.changed(bad):
                end = slot.bucket + scope.bucket_ms
                reading = Reading(value, end - self.window_ms, end, stat.n) if bad and value is not None else None
                yield Point(totals.last, bad, totals.last, reading)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        sliding: Sliding | None = None
        for end in closed_ends(slots, since, scope):
            if sliding is None:
                sliding = self._sliding(slots, end, scope)
            sliding.before(end, whole=True)
            stat = sliding.stat()
            value = self._value(stat)
            if value is not None and not COMPARE[comparison](value, threshold):
                return end, Reading(value, end - self.window_ms, end, stat.n)
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
