"""Gauges: every sample of a stretch of time is beyond the threshold, and hardly one is missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import COMPARE, UPWARD, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.series import Slot, Slots

PRESENT = Fraction(8, 10)
"""Share of the samples that `interval_s` promises which must be there."""


@dataclass(frozen=True, slots=True)
class GaugeJudge:
    """True when the samples have been beyond the threshold for `hold_ms`.

    Samples of one bucket stand together: they are beyond when their worst is. measure and interval: places of the value
    and of its `interval_s` (in thousandths) among the stats; scale: of the value.
    """

    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    hold_ms: int
    measure: int
    interval: int
    scale: int

    @property
    def reach_ms(self) -> int:
        return self.hold_ms + 60_000

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        run: list[int] = []
        for slot in slots.between(start - self.reach_ms, scope.end):
            value = self._worst(slot)
            if value is None:
                continue
            if not self._beyond(value):
                run = []
                if slot.bucket >= start and flips.changed(False):
                    yield Point(slot.totals.last, False, slot.totals.last, None)
                continue
            worst, times = Fraction(value, self.scale), self._times(slot)
            interval_ms = self._interval_ms(slot)
            for ms in times:
                if run and ms - run[-1] > max(self.hold_ms, 2 * interval_ms):
                    run = []
                run.append(ms)
                bad = ms - run[0] >= self.hold_ms and self._present(run, ms, interval_ms)
                if slot.bucket >= start and flips.changed(bad):
                    yield Point(ms, bad, run[0], Reading(worst, run[0], ms + 1, len(run)) if bad else None)

    def pending(self, slots: Slots, scope: Scope) -> int | None:
        """Since when its samples have been beyond the threshold, where they are but have not been for long enough."""
        since: int | None = None
        for slot in slots.between((slots.last() or 0) - self.reach_ms, scope.end):
            value = self._worst(slot)
            if value is not None:
                since = (slot.bucket if since is None else since) if self._beyond(value) else None
        return since if since is not None and (slots.last() or 0) - since < self.hold_ms else None

    def _present(self, run: list[int], ms: int, interval_ms: int) -> bool:
        if not interval_ms or not self.hold_ms:
            return True
        seen = len(run) - bisect_right(run, ms - self.hold_ms)
        return seen >= PRESENT * self.hold_ms / interval_ms

    def _worst(self, slot: Slot) -> int | None:
        """The sample of a bucket that is nearest to being fine, as it is stored."""
        stat = slot.totals.stat
        return stat.low if self.comparison in UPWARD else stat.high

    def _best(self, slot: Slot) -> Fraction | None:
        """The sample that is furthest from it."""
        stat = slot.totals.stat
        value = stat.high if self.comparison in UPWARD else stat.low
        return None if value is None else Fraction(value, self.scale)

    def _beyond(self, value: int) -> bool:
        """Whether a stored value is beyond the threshold: in integers, as it is asked of every sample at every look."""
        return COMPARE[self.comparison](value * self.threshold.denominator, self.threshold.numerator * self.scale)

    def _times(self, slot: Slot) -> list[int]:
        return [ms for ms, _, _ in slot.totals.events]

    def _interval_ms(self, slot: Slot) -> int:
        stats = [cell.stats[self.interval] for _, cell in slot.cells.values() if len(cell.stats) > self.interval]
        n = sum(stat.n for stat in stats)
        return round(sum(stat.total for stat in stats) / n) if n else 0

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        for end in closed_ends(slots, since, scope):
            for slot in slots.between(end - scope.bucket_ms, end):
                best = self._best(slot)
                if best is not None and not COMPARE[comparison](best, threshold):
                    return end, Reading(best, slot.bucket, end, len(self._times(slot)))
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
