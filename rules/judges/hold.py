"""`over W for D`: another judge's verdict that has to last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rules.judges.base import Judge, Over, Point, Reading, Scope
from rules.series import Slots


@dataclass(frozen=True, slots=True)
class HoldJudge:
    """True once the inner verdict has been true at every evaluation for `hold_ms`: at every event, and at the end of every
    closed bucket."""

    inner: Judge
    hold_ms: int

    @property
    def reach_ms(self) -> int:
        return self.inner.reach_ms + self.hold_ms

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        last = slots.last()
        if last is None:
            return
        seen = last + scope.bucket_ms if scope.closed is None else max(last + scope.bucket_ms, scope.closed)
        stretches = list(self._stretches(slots, start - self.reach_ms, scope))
        told = False
        for begin, end, reading in stretches:
            due = begin + self.hold_ms
            if due > min(end, seen):
                continue
            if not told and start <= due:
                told = True
                yield Point(start, False, start, None)
            if end >= start:
                yield Point(max(due, start), True, begin, reading)
            if end < seen and end >= start:
                yield Point(end, False, end, None)

    def _stretches(self, slots: Slots, start: int, scope: Scope) -> Iterator[tuple[int, int, Reading | None]]:
        """(begin, end, what was read at its begin) of each time during which the inner verdict is true; one that goes on
        ends beyond all bounds."""
        begin: Point | None = None
        for point in self.inner.points(slots, start, scope):
            if begin is not None:
                over = self.inner.over(slots, begin.at, scope)
                end = point.at if over is None else min(over[0], point.at)
                if not point.bad or end < point.at:
                    yield begin.at, end, begin.reading
                    begin = None
            if point.bad and begin is None:
                begin = point
        if begin is not None:
            over = self.inner.over(slots, begin.at, scope)
            yield begin.at, 2**62 if over is None else over[0], begin.reading

    def pending(self, slots: Slots, scope: Scope) -> int | None:
        """Since when the inner verdict has been true, where it is but has not lasted long enough."""
        last = slots.last()
        if last is None:
            return None
        seen = max(last + scope.bucket_ms, scope.closed or 0)
        stretches = list(self._stretches(slots, seen - self.reach_ms, scope))
        begin, end = stretches[-1][:2] if stretches else (0, 0)
        return begin if end > seen and begin + self.hold_ms > seen else None

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        return self.inner.over(slots, since, scope)

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return self.inner.settled(slots, since, scope)
