"""Silence: how long nothing has come from a group that was heard of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rules.judges.base import Flips, Over, Point, Reading, Scope
from rules.series import Slots


@dataclass(frozen=True, slots=True)
class SilenceJudge:
    """True once the watermark has passed the latest event by more than `limit_ms`; over with the next event."""

    limit_ms: int

    @property
    def reach_ms(self) -> int:
        return self.limit_ms

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        flips, last = Flips(), None
        for ms in self._times(slots, start - self.limit_ms, scope.end):
            if last is not None:
                yield from self._silent(flips, last, ms, start)
            if ms >= start and flips.changed(False):
                yield Point(ms, False, ms, None)
            last = ms
        if last is not None and scope.closed is not None:
            yield from self._silent(flips, last, scope.closed, start)

    def _silent(self, flips: Flips, last: int, until: int, start: int) -> Iterator[Point]:
        """What a gap between two events, or up to what is closed, comes to."""
        at = last + self.limit_ms
        if until > at and at >= start and flips.changed(True):
            yield Point(at, True, at, Reading(Fraction(until - last, 1000), last, until, 0))

    @staticmethod
    def _times(slots: Slots, start: int, end: int) -> Iterator[int]:
        for slot in slots.between(start - start % 10_000, end):
            for ms, _, _ in slot.totals.events:
                yield ms

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        return next(((ms, None) for ms in self._times(slots, since, scope.end) if ms > since), None)

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        return since
