"""A share of events over a sliding window: judged event by event, as soon as there are enough to be sure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import COMPARE, UPWARD, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.judges.chance import DISTINCT, surely
from rules.series import Slots, Totals
from rules.window import Sliding


@dataclass(frozen=True, slots=True)
class RatioJudge:
    """True when the share compares so with the threshold, on at least `min_events` events of which `DISTINCT` distinct ones
    fail, and that is no chance. `z`: standard normal quantile of the confidence; 0 takes the share as it is.
    """

    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    window_ms: int
    min_events: int
    z: float

    @property
    def reach_ms(self) -> int:
        return self.window_ms

    @property
    def marked_fail(self) -> bool:
        """Whether the marked events are the failing ones: not in 'success rate < 95 %'."""
        return self.comparison in UPWARD

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        sliding = Sliding(slots, start, self.window_ms, scope.bucket_ms)
        for slot in slots.between(start, scope.end):
            n, k = sliding.before(slot.bucket)
            if not self._thinkable(n, k, slot.totals):
                if flips.changed(False):
                    yield Point(slot.totals.first, False, slot.totals.first, None)
                continue
            first = slot.bucket + scope.bucket_ms - self.window_ms
            events = slot.totals.events
            for place, (ms, all_, marked) in enumerate(events):
                n, k = n + all_, k + marked
                if place + 1 < len(events) and events[place + 1][0] == ms:
                    continue  # what happens in one millisecond has no order
                bound = self._beyond(n, k)
                bad = bound is not None and self._distinct(slots, first, slot.bucket + scope.bucket_ms, ms)
                if flips.changed(bad):
                    reading = None
                    if bad:
                        end = slot.bucket + scope.bucket_ms
                        reading = Reading(Fraction(k, n), first, end, n, k, bound or None)
                    yield Point(ms, bad, ms, reading)

    def _thinkable(self, n: int, k: int, more: Totals) -> bool:
        """Whether the share can be beyond the threshold at all after some of these events, when k of n came before them."""
        if self.comparison in ("==", "!="):
            return True
        enough = max(n, self.min_events)
        most = (k + more.k, enough) if self.marked_fail else (k, max(n + more.n, enough))
        return self._over(*most)

    def _over(self, k: int, n: int) -> bool:
        return COMPARE[self.comparison](k * self.threshold.denominator, self.threshold.numerator * n)

    def _beyond(self, n: int, k: int) -> float | None:
        """The confidence bound (0.0 where none is wanted), None if the share is not beyond the threshold for sure."""
        if n < self.min_events or not self._over(k, n):
            return None
        return surely(self.comparison, self.threshold, self.z, self.window_ms, k, n)

    def _distinct(self, slots: Slots, start: int, end: int, upto: int) -> bool:
        identities = set()
        for ms, _, identity in slots.samples(start, end, marked=self.marked_fail):
            if ms > upto:
                break
            identities.add(identity)
        return len(identities) >= DISTINCT

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        sliding: Sliding | None = None
        for end in closed_ends(slots, since, scope):
            if sliding is None:
                sliding = Sliding(slots, end, self.window_ms, scope.bucket_ms)
            n, k = sliding.before(end, whole=True)
            if n >= self.min_events and not COMPARE[comparison](Fraction(k, n), threshold):
                return end, Reading(Fraction(k, n), end - self.window_ms, end, n, k)
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
