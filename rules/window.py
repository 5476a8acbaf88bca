"""Sums over a window that slides forward, bucket by bucket."""

from __future__ import annotations

from collections import deque

from rollups.cells import Stat
from rollups.sketch import add_bins
from rules.series import Slots, Totals


class Sliding:
    """The slots of the window that ends with a bucket, as it moves on. A window of D is the bucket that is open and the
    D / bucket - 1 before it."""

    def __init__(self, slots: Slots, start: int, window_ms: int, bucket_ms: int, *, sketch: bool = False) -> None:
        self._window_ms, self._bucket_ms, self._sketch = window_ms, bucket_ms, sketch
        self._coming = iter(slots.between(start - window_ms))
        self._next = next(self._coming, None)
        self._held: deque[tuple[int, Totals]] = deque()
        self._n = self._k = 0
        self._measured = self._total = 0

    def before(self, bucket: int, *, whole: bool = False) -> tuple[int, int]:
        """(events, marked ones) in the buckets of the window of `bucket` that lie before it; `bucket` must not go back.
        whole: in the D / bucket buckets before it, for a window that ends there."""
        first = bucket - self._window_ms + (0 if whole else self._bucket_ms)
        while self._next is not None and self._next.bucket < bucket:
            totals = self._next.totals
            self._held.append((self._next.bucket, totals))
            self._n, self._k = self._n + totals.n, self._k + totals.k
            self._measured, self._total = self._measured + totals.stat.n, self._total + totals.stat.total
            self._next = next(self._coming, None)
        while self._held and self._held[0][0] < first:
            _, totals = self._held.popleft()
            self._n, self._k = self._n - totals.n, self._k - totals.k
            self._measured, self._total = self._measured - totals.stat.n, self._total - totals.stat.total
        return self._n, self._k

    def stat(self) -> Stat:
        """The measure over what `before` counted last: how many, their total, and the sketch where one is wanted."""
        total = Stat(self._measured, self._total)
        if self._sketch:
            total.bins = {}
            for _, totals in self._held:
                add_bins(total.bins, totals.stat.bins or {})
        return total
