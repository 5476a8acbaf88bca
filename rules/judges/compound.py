"""`and`, `or`, `not`: verdicts on several tests of one rule and group, as one."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rules.judges.base import Flips, Judge, Over, Point, Reading, Scope
from rules.series import Slots


class Verdict(Protocol):
    """A whole condition. `many`: the slots of each of its tests, from left to right."""

    @property
    def reach_ms(self) -> int: ...

    def points(self, many: Sequence[Slots], start: int, scope: Scope) -> Iterator[Point]: ...

    def over(self, many: Sequence[Slots], since: int, scope: Scope) -> Over | None: ...

    def settled(self, many: Sequence[Slots], since: int, scope: Scope) -> int: ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """One test."""

    place: int
    judge: Judge

    @property
    def reach_ms(self) -> int:
        return self.judge.reach_ms

    def points(self, many: Sequence[Slots], start: int, scope: Scope) -> Iterator[Point]:
        for point in self.judge.points(many[self.place], start, scope):
            yield point._replace(reading=self._placed(point.reading))

    def over(self, many: Sequence[Slots], since: int, scope: Scope) -> Over | None:
        found = self.judge.over(many[self.place], since, scope)
        return None if found is None else (found[0], self._placed(found[1]))

    def settled(self, many: Sequence[Slots], since: int, scope: Scope) -> int:
        return self.judge.settled(many[self.place], since, scope)

    def _placed(self, reading: Reading | None) -> Reading | None:
        return reading if reading is None or not self.place else replace(reading, place=self.place)


@dataclass(frozen=True, slots=True)
class Negation:
    """True where the part is known and not true."""

    part: Verdict

    @property
    def reach_ms(self) -> int:
        return self.part.reach_ms

    def points(self, many: Sequence[Slots], start: int, scope: Scope) -> Iterator[Point]:
        for point in self.part.points(many, start, scope):
            yield Point(point.at, not point.bad, point.at, point.reading)

    def over(self, many: Sequence[Slots], since: int, scope: Scope) -> Over | None:
        begin = since - since % scope.bucket_ms
        return next(
            ((point.at, point.reading) for point in self.part.points(many, begin, scope) if point.bad and point.at > since),
            None,
        )

    def settled(self, many: Sequence[Slots], since: int, scope: Scope) -> int:
        return since


@dataclass(frozen=True, slots=True)
class Combination:
    """All of the parts, or any of them."""

    parts: tuple[Verdict, ...]
    every: bool

    @property
    def reach_ms(self) -> int:
        return max(part.reach_ms for part in self.parts)

    def points(self, many: Sequence[Slots], start: int, scope: Scope) -> Iterator[Point]:
        flips, held = Flips(), [False] * len(self.parts)
        since, reading = start, None
        # Parts say nothing between two of their changes, so each is asked from where it may have changed last.
        begin = start - self.reach_ms
        streams = [self._numbered(number, part.points(many, begin, scope)) for number, part in enumerate(self.parts)]
        for _, number, point in heapq.merge(*streams, key=lambda item: item[:2]):
            held[number] = point.bad
            bad = all(held) if self.every else any(held)
            if point.bad:
                since, reading = point.since, point.reading or reading
            if point.at >= start and flips.changed(bad):
                yield Point(point.at, bad, since if bad else point.at, reading if bad else None)

    @staticmethod
    def _numbered(number: int, points: Iterator[Point]) -> Iterator[tuple[int, int, Point]]:
        for point in points:
            yield point.at, number, point

    def over(self, many: Sequence[Slots], since: int, scope: Scope) -> Over | None:
        ends: list[Over] = []
        for part in self.parts:
            end = part.over(many, since, scope)
            if end is not None:
                ends.append(end)
            elif not self.every:
                return None
        if not ends:
            return None
        return min(ends, key=lambda end: end[0]) if self.every else max(ends, key=lambda end: end[0])

    def settled(self, many: Sequence[Slots], since: int, scope: Scope) -> int:
        return since
