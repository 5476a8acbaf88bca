"""Counts. One that can only grow is judged event by event, to the millisecond; 'less than' only on what is closed."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import COMPARE, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.series import Slots
from rules.window import Sliding

QUIET_MS = 300_000
"""So long without an event, by the watermark, ends what a test without a span began."""
LONGEST_CHAIN_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class CountJudge:
    """True when more events than the threshold fall into some span of `window_ms` that ends with an event."""

    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    window_ms: int

    @property
    def reach_ms(self) -> int:
        return self.window_ms

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        held: deque[tuple[int, int]] = deque()
        count = 0
        for slot in slots.between(start - self.window_ms, scope.end):
            events = slot.totals.events
            for place, (ms, all_, _) in enumerate(events):
                held.append((ms, all_))
                count += all_
                if slot.bucket < start or (place + 1 < len(events) and events[place + 1][0] == ms):
                    continue
                while held[0][0] <= ms - self.window_ms:
                    count -= held.popleft()[1]
                bad = COMPARE[self.comparison](Fraction(count), self.threshold)
                if flips.changed(bad):
                    reading = Reading(Fraction(count), ms - self.window_ms + 1, ms + 1, count) if bad else None
                    yield Point(ms, bad, ms, reading)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        sliding: Sliding | None = None
        for end in closed_ends(slots, since, scope):
            if sliding is None:
                sliding = Sliding(slots, end, self.window_ms, scope.bucket_ms)
            n, _ = sliding.before(end, whole=True)
            if not COMPARE[comparison](Fraction(n), threshold):
                return end, Reading(Fraction(n), end - self.window_ms, end, n)
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)


@dataclass(frozen=True, slots=True)
class SpanlessJudge:
    """True as soon as one event makes it so; over after five minutes of watermark without another."""

    comparison: str
    threshold: Fraction

    @property
    def reach_ms(self) -> int:
        return min(QUIET_MS * (int(self.threshold) + 1), LONGEST_CHAIN_MS)

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        count, first, last = 0, 0, None
        for slot in slots.between(start - self.reach_ms, scope.end):
            for ms, all_, _ in slot.totals.events:
                if last is None or ms - last >= QUIET_MS:
                    count, first = 0, ms
                count, last = count + all_, ms
                bad = COMPARE[self.comparison](Fraction(count), self.threshold)
                if ms >= start and flips.changed(bad):
                    yield Point(ms, bad, ms, Reading(Fraction(count), first, ms + 1, count) if bad else None)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        last = self.last(slots, since, scope.end)
        end = last + QUIET_MS
        if scope.closed is None or scope.closed < end:
            return None
        return end, Reading(Fraction(0), last + 1, end, 0)

    def last(self, slots: Slots, since: int, end: int) -> int:
        """The latest event of the chain that `since` belongs to."""
        last = since
        if slots.buckets and slots.buckets[0] > since:  # what lies between is known no more; it was not over then
            last = slots.buckets[0]
        for slot in slots.between(since - since % 10_000, end):
            for ms, _, _ in slot.totals.events:
                if last < ms < last + QUIET_MS:
                    last = ms
        return last

    def grown(self, slots: Slots, since: int, end: int) -> Reading:
        """The whole chain that `since` belongs to, as it is known by now."""
        events = [event for slot in slots.between(since - self.reach_ms, end) for event in slot.totals.events]
        times = [ms for ms, _, _ in events]
        at = bisect_right(times, since) - 1
        low = high = max(at, 0)
        while low > 0 and times[low] - times[low - 1] < QUIET_MS:
            low -= 1
        while high + 1 < len(times) and times[high + 1] - times[high] < QUIET_MS:
            high += 1
        count = sum(all_ for _, all_, _ in events[low : high + 1])
        first, last = (times[low], times[high]) if times else (since, since)
        return Reading(Fraction(count), first, last + 1, count)

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return self.last(slots, since, scope.end)


@dataclass(frozen=True, slots=True)
class BelowJudge:
    """True when a closed window holds less than the threshold (or, of a sum, adds up to less). A window that began before
    the group was first seen is not judged."""

    comparison: str
    threshold: Fraction
    window_ms: int
    measure: int | None = None
    scale: int = 1

    @property
    def reach_ms(self) -> int:
        return self.window_ms

    def _read(self, sliding: Sliding, end: int) -> Reading:
        n, _ = sliding.before(end, whole=True)
        value = Fraction(n) if self.measure is None else Fraction(sliding.stat().total, self.scale)
        return Reading(value, end - self.window_ms, end, n)

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        began = slots.first
        if began is None:
            return
        begin = max(start, began + self.window_ms - scope.bucket_ms)
        sliding = Sliding(slots, begin, self.window_ms, scope.bucket_ms)
        for end in closed_ends(slots, begin, scope):
            reading = self._read(sliding, end)
            bad = COMPARE[self.comparison](reading.value, self.threshold)
            if flips.changed(bad):
                yield Point(end - 1, bad, end - 1, reading if bad else None)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        sliding = Sliding(slots, since - since % scope.bucket_ms, self.window_ms, scope.bucket_ms)
        for end in closed_ends(slots, since, scope):
            reading = self._read(sliding, end)
            if not COMPARE[self.comparison](reading.value, self.threshold):
                return end, reading
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
