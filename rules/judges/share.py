"""Shares of what is counted apart: of the payments begun in a window, how many succeeded.

What is counted above is no part of what is counted below (of a ratio it is), and comes later, or from another table. So a
share is judged on closed windows alone, and `delay_ms` after them where its signal says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import COMPARE, UPWARD, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.judges.chance import DISTINCT, surely
from rules.series import Slots
from rules.window import Sliding


@dataclass(frozen=True, slots=True)
class ShareVerdict:
    """True when `above` / `below` compares so with the threshold, on at least `min_events` events below of which `DISTINCT`
    fail, and that is no chance. A whole verdict, since it looks at the slots of two tests.

    below, above: their places among the rule's parts. lag_ms: what is above comes so much later, at most. In a rush that has
    just begun most of it is still to come, so it is counted in the window that is so much later as well, and the larger
    count is taken. So there may be more above than below; the bound takes such a share as 1. z: as in `RatioJudge`.
    apart: what is above comes from a table of its own; while that has had no event at all, the installation does not send
    such events, and there is nothing to judge.
    """

    below: int
    above: int
    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    window_ms: int
    delay_ms: int
    lag_ms: int
    min_events: int
    z: float
    apart: bool = False

    @property
    def reach_ms(self) -> int:
        return self.window_ms + self.delay_ms + self.lag_ms

    def points(self, many: Sequence[Slots], start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        for at, n, k in self._counts(many, start, scope):
            bound = self._beyond(n, k)
            if flips.changed(bound is not None):
                reading = None if bound is None else self._reading(at, n, k, bound or None)
                yield Point(at - 1, bound is not None, at - 1, reading)

    def over(self, many: Sequence[Slots], since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        for at, n, k in self._counts(many, since, scope):
            if n >= self.min_events and not COMPARE[comparison](Fraction(k, n), threshold):
                return at, self._reading(at, n, k, None)
        return None

    def settled(self, many: Sequence[Slots], since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)

    def _counts(self, many: Sequence[Slots], since: int, scope: Scope) -> Iterator[tuple[int, int, int]]:
        """(time of the verdict, events below, events above) of each window that may be judged after `since`."""
        windows: list[Sliding] = []
        if self.apart and many[self.above].first is None:
            return
        for at in closed_ends(many[self.below], since, scope):
            later = at - self.delay_ms
            ends = (later - self.lag_ms, later - self.lag_ms, later)
            if not windows:
                windows = [
                    Sliding(many[place], end, self.window_ms, scope.bucket_ms)
                    for place, end in zip((self.below, self.above, self.above), ends, strict=True)
                ]
            counts = [window.before(end, whole=True)[0] for window, end in zip(windows, ends, strict=True)]
            yield at, counts[0], max(counts[1:])

    def _reading(self, at: int, n: int, k: int, bound: float | None) -> Reading:
        end = at - self.delay_ms - self.lag_ms
        return Reading(Fraction(k, n), end - self.window_ms, end, n, k, bound, self.below)

    def _beyond(self, n: int, k: int) -> float | None:
        """The confidence bound (0.0 where none is wanted), None if the share is not beyond the threshold for sure."""
        if n < self.min_events or not COMPARE[self.comparison](Fraction(k, n), self.threshold):
            return None
        upward = self.comparison in UPWARD
        if (k if upward else n - k) < DISTINCT:
            return None
        return surely(self.comparison, self.threshold, self.z, self.window_ms, min(k, n), n)
