"""Sums over a window that slides forward, bucket by bucket."""

from __future__ import annotations

from rollups.cells import Stat
from rollups.sketch import add_bins
from rules.series import Slots


class Sliding:
    """The slots of the window that ends with a bucket, as it moves on. A window of D is the bucket that is open and the
    D / bucket - 1 before it."""

    def __init__(self, slots: Slots, start: int, window_ms: int, bucket_ms: int, *, sketch: bool = False) -> None:
        self._slots, self._window_ms, self._bucket_ms, self._sketch = slots, window_ms, bucket_ms, sketch
        self._first = self._end = start
        self._sums = (0, 0, 0, 0)

    def before(self, bucket: int, *, whole: bool = False) -> tuple[int, int]:
        """(events, marked ones) in the buckets of the window of `bucket` that lie before it.
        whole: in the D / bucket buckets before it, for a window that ends there."""
        self._first, self._end = bucket - self._window_ms + (0 if whole else self._bucket_ms), bucket
        self._sums = self._slots.sums(self._first, bucket)
        return self._sums[0], self._sums[1]

    def high(self) -> int:
        """The largest value of the measure that `before` counted last."""
        return max((slot.totals.stat.high or 0 for slot in self._slots.between(self._first, self._end)), default=0)

    def stat(self) -> Stat:
        """The measure over what `before` counted last: how many, their total, and the sketch where one is wanted."""
        total = Stat(self._sums[2], self._sums[3])
        if self._sketch:
            total.bins = {}
            for slot in self._slots.between(self._first, self._end):
                add_bins(total.bins, slot.totals.stat.bins or {})
        return total
