"""Failures in a row, in the order of event time; one success ends the row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import COMPARE, Flips, Over, Point, Reading, Scope, settled_at_close
from rules.series import Slot, Slots
from schemas.tables import Key

REACH_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class StreakJudge:
    """True when the longest row of marked events, among those that `each` tells apart, compares so with the threshold."""

    comparison: str
    threshold: Fraction
    each: Callable[[Key], object]

    @property
    def reach_ms(self) -> int:
        return REACH_MS

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips = Flips()
        rows: dict[object, list[int]] = defaultdict(list)
        for slot in slots.between(start - REACH_MS, scope.end):
            if not rows and not any(failed for failed, _ in slot.cells.values()):
                if slot.bucket >= start and flips.changed(COMPARE[self.comparison](0, self.threshold)):
                    at = self._events(slot)[0][0]
                    yield Point(at, COMPARE[self.comparison](0, self.threshold), at, None)
                continue
            for ms, which, failed in self._events(slot):
                row = rows[which]
                if failed:
                    row.append(ms)
                else:
                    del rows[which]
                longest = max(rows.values(), key=len, default=[])
                bad = COMPARE[self.comparison](len(longest) * self.threshold.denominator, self.threshold.numerator)
                if slot.bucket >= start and flips.changed(bad):
                    reading = Reading(Fraction(len(longest)), longest[0], ms + 1, len(longest)) if bad else None
                    yield Point(ms, bad, ms, reading)

    def _events(self, slot: Slot) -> list[tuple[int, object, bool]]:
        """What happened in a bucket, in order; of the same millisecond, successes last."""
        if slot.memo is None:
            events = []
            for key, (failed, cell) in slot.cells.items():
                times = cell.times if cell.times is not None else cell.recent or [slot.bucket]
                which = self.each(key)
                events += [(ms, not failed, str(which), which, failed) for ms in times]
            events.sort(key=lambda event: event[:3])
            slot.memo = [(ms, which, failed) for ms, _, _, which, failed in events]
        return slot.memo  # type: ignore[return-value]

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        bucket = since - since % scope.bucket_ms
        for point in self.points(slots, bucket, scope):
            if point.at > since and not point.bad:
                return point.at, None
        return None

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return settled_at_close(since, scope)
