"""Completeness: of what sources say that they have sent, how much has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from rollups.cells import Cell
from rules.judges.base import COMPARE, Flips, Over, Point, Reading, Scope, closed_ends, settled_at_close
from rules.series import Slots
from schemas.tables import Key


@dataclass(slots=True)
class _Source:
    """One source in one window. first, last: times of its first and its latest word in it; sent: how many events it says
    it sent between them; came: events with their times, or the bucket of some whose times are not known."""

    first: int | None = None
    last: int = 0
    said: int = 0
    sent: int = 0
    times: list[int] = field(default_factory=list)
    buckets: list[tuple[int, int]] = field(default_factory=list)

    def tell(self, bucket: int, cell: Cell, measure: int, bucket_ms: int) -> None:
        """Takes in what it says in a bucket: a count that only grows, until it starts again and counts from zero."""
        stat = cell.stats[measure]
        low, high = stat.low or 0, stat.high or 0
        last = max(cell.times) if cell.times else bucket + bucket_ms - 1
        if self.first is None:
            self.first, self.said = last, high
        elif low >= self.said:
            self.sent, self.said = self.sent + high - self.said, high
        elif high >= self.said:  # it spoke, started again and spoke again
            self.sent, self.said = self.sent + high - self.said + low, low
        else:
            self.sent, self.said = self.sent + high, high
        self.last = last

    def came(self, bucket_ms: int) -> int:
        """Events between its first and its latest word, at most: of the two buckets of these words all of those count whose
        times are not known. So it never says that something is missing which is not."""
        if self.first is None:
            return 0
        exact = sum(self.first < ms <= self.last for ms in self.times)
        whole = sum(count for bucket, count in self.buckets if self.first < bucket + bucket_ms and bucket <= self.last)
        return min(exact + whole, self.sent)


@dataclass(frozen=True, slots=True)
class CompletenessJudge:
    """True when a closed window lacks more than it may. Marked cells are what sources say, the others are their events.

    source: tells the sources of a group apart; measure: the place of the running count among the stats.
    """

    comparison: str
    threshold: Fraction
    resolve: tuple[str, Fraction]
    window_ms: int
    min_events: int
    measure: int
    source: Callable[[Key], object]

    @property
    def reach_ms(self) -> int:
        return self.window_ms

    def _read(self, slots: Slots, end: int, bucket_ms: int) -> Reading | None:
        sources: dict[object, _Source] = {}
        for slot in slots.between(end - self.window_ms, end):
            for key, (marked, cell) in slot.cells.items():
                one = sources.setdefault(self.source(key), _Source())
                if marked:
                    one.tell(slot.bucket, cell, self.measure, bucket_ms)
                elif cell.times is not None:
                    one.times += cell.times
                else:
                    one.buckets.append((slot.bucket, cell.count))
        sent = sum(one.sent for one in sources.values())
        came = sum(one.came(bucket_ms) for one in sources.values())
        return Reading(Fraction(came, sent), end - self.window_ms, end, sent, came) if sent >= self.min_events else None

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        for end in closed_ends(slots, start, scope):
            reading = self._read(slots, end, scope.bucket_ms)
            bad = reading is not None and COMPARE[self.comparison](reading.value, self.threshold)
            if flips.changed(bad):
                yield Point(end - 1, bad, end - 1, reading if bad else None)

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        comparison, threshold = self.resolve
        for end in closed_ends(slots, since, scope):
            reading = self._read(slots, end, scope.bucket_ms)
            if reading is not None and not COMPARE[comparison](reading.value, threshold):
                return end, reading
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
