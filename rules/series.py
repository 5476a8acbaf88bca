"""What a rule's test looks at: for each group and bucket the cells that it selects, and what they add up to.

A cell that still knows the exact times of its events is taken apart into them; one that does not counts as a whole from
its bucket's start on. So a judge sees the same whether cells came one event at a time or all at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from rollups.cells import Cell, Sample, Stat
from rules.signals import Filter
from schemas.tables import OTHER, TABLES, Key, Value

if TYPE_CHECKING:
    from rules.learned import Learned

Group = tuple[Value, ...]
"""Values of the dimensions by which a rule groups, in their order."""
ROUTES = 50_000


@dataclass(frozen=True, slots=True)
class Query:
    """Which cells of a table a test wants, and how they are grouped. `where` selects; of those, `of` marks some. measure:
    its place among the stats; sketch: with its quantiles."""

    table: str
    by: tuple[str, ...]
    where: Filter
    of: Filter
    measure: int | None = None
    sketch: bool = False


class Slot:
    """The cells of one group and bucket, each with whether `of` marks it."""

    __slots__ = ("_measure", "_sketch", "_totals", "bucket", "cells", "memo")

    def __init__(self, bucket: int, measure: int | None, sketch: bool) -> None:
        self.bucket, self._measure, self._sketch = bucket, measure, sketch
        self.cells: dict[Key, tuple[bool, Cell]] = {}
        self._totals: Totals | None = None
        self.memo: object = None

    def put(self, key: Key, marked: bool, cell: Cell) -> None:
        self.cells[key] = (marked, cell)
        self._totals = self.memo = None

    @property
    def totals(self) -> Totals:
        """What the cells add up to; worked out when first asked for."""
        if self._totals is None:
            self._totals = Totals(self.bucket, self.cells, self._measure, self._sketch)
        return self._totals


class Totals:
    """The sum of a slot's cells.

    n, k: events in all, and those that are marked. stat: the measure. first, last: the earliest and the latest time that is
    known.
    """

    __slots__ = ("_bucket", "_cells", "_events", "first", "k", "last", "n", "stat")

    def __init__(self, bucket: int, cells: Mapping[Key, tuple[bool, Cell]], measure: int | None, sketch: bool) -> None:
        self.n = self.k = 0
        self.stat = Stat()
        self._bucket, self._cells = bucket, cells
        self._events: list[tuple[int, int, int]] | None = None
        first, last = [], []
        for marked, cell in cells.values():
            self.n += cell.count
            if marked:
                self.k += cell.count
            times = cell.times or (bucket,)
            first.append(min(times))
            last.append(max(times))
            if measure is not None and measure < len(cell.stats):
                stat = cell.stats[measure]
                self.stat.add(stat if sketch else Stat(stat.n, stat.total, stat.low, stat.high))
        self.first, self.last = min(first, default=bucket), max(last, default=bucket)

    @property
    def events(self) -> list[tuple[int, int, int]]:
        """(time, of all, of the marked), in order of time; put together when first asked for, since a judge that sees from
        the sums that nothing is wrong does not ask."""
        if self._events is None:
            self._events = []
            for marked, cell in self._cells.values():
                one = 1 if marked else 0
                if cell.times is None:
                    self._events.append((self._bucket, cell.count, one * cell.count))
                else:
                    self._events += [(ms, 1, one) for ms in cell.times]
            self._events.sort()
        return self._events


class Slots:
    """The slots of one group, in order of time."""

    __slots__ = ("_by_bucket", "_measure", "_sketch", "_sums", "buckets", "first", "learned")

    def __init__(self, measure: int | None = None, sketch: bool = False) -> None:
        self._measure, self._sketch = measure, sketch
        self.first: int | None = None
        """The earliest bucket there ever was."""
        self.buckets: list[int] = []
        self._sums: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
        self._by_bucket: dict[int, Slot] = {}
        self.learned: dict[object, Learned] = {}
        """The baselines of the tests that look at it, by their judges."""

    def slot(self, bucket: int) -> Slot:
        del self._sums[bisect_left(self.buckets, bucket) + 1 :]
        held = self._by_bucket.get(bucket)
        if held is None:
            held = self._by_bucket[bucket] = Slot(bucket, self._measure, self._sketch)
            self.first = bucket if self.first is None else min(self.first, bucket)
            insort(self.buckets, bucket)
        return held

    def between(self, start: int, end: int | None = None) -> Iterator[Slot]:
        """The slots of buckets that start in [start, end), those that exist, in order."""
        for at in range(bisect_left(self.buckets, start), len(self.buckets)):
            bucket = self.buckets[at]
            if end is not None and bucket >= end:
                return
            yield self._by_bucket[bucket]

    def latest(self, count: int) -> list[Slot]:
        """The last slots, at most so many, in order."""
        return [self._by_bucket[bucket] for bucket in self.buckets[-count:]]

    def last(self) -> int | None:
        """The latest bucket."""
        return self.buckets[-1] if self.buckets else None

    def before(self, bucket: int) -> int | None:
        """The latest bucket before this one."""
        at = bisect_left(self.buckets, bucket)
        return self.buckets[at - 1] if at else None

    def forget(self, before: int) -> None:
        """Frees the buckets before this one."""
        at = bisect_left(self.buckets, before)
        for bucket in self.buckets[:at]:
            del self._by_bucket[bucket]
        del self.buckets[:at]
        self._sums = self._sums[at:] or [(0, 0, 0, 0)]

    def sums(self, start: int, end: int) -> tuple[int, int, int, int]:
        """(events, marked ones, events with the measure, their total) in the buckets that start in [start, end)."""
        first, last = bisect_left(self.buckets, start), bisect_left(self.buckets, end)
        sums = self._sums
        while len(sums) <= last:
            totals, (n, k, measured, total) = self._by_bucket[self.buckets[len(sums) - 1]].totals, sums[-1]
            sums.append((n + totals.n, k + totals.k, measured + totals.stat.n, total + totals.stat.total))
        low, high = sums[first], sums[last]
        return high[0] - low[0], high[1] - low[1], high[2] - low[2], high[3] - low[3]

    def samples(self, start: int, end: int, *, marked: bool) -> list[Sample]:
        """The samples of the marked (or the unmarked) cells of [start, end), in order of time."""
        return sorted(
            sample
            for slot in self.between(start, end)
            for mark, cell in slot.cells.values()
            if mark is marked
            for sample in cell.samples
        )


class Series:
    """One query's slots, by group. Fed with every cell of its table."""

    def __init__(self, query: Query) -> None:
        self.query = query
        dimensions = TABLES[query.table].dimensions
        self._where = [(dimensions.index(name), frozenset(values)) for name, values in query.where]
        self._of = [(dimensions.index(name), frozenset(values)) for name, values in query.of]
        self._by = [dimensions.index(name) for name in query.by]
        self._closed = TABLES[query.table].closed
        self._open = [at for at, name in zip(self._by, query.by, strict=True) if name not in self._closed]
        self._routes: dict[Key, tuple[Group, bool] | None] = {}
        self.groups: dict[Group, Slots] = {}
        self.full: set[int] = set()
        """Buckets in which cells went to `other`: a group may have lost some there."""

    def update(self, bucket: int, key: Key, cell: Cell) -> Group | None:
        """Takes in a cell as it is now; returns the group that it belongs to, None if it is none of ours."""
        route = self.route(key)
        if route is None:
            return None
        group, marked = route
        if self._open and any(key[at] == OTHER for at in self._open):
            self.full.add(bucket)
            return None
        self.of(group).slot(bucket).put(key, marked, cell)
        return group

    def of(self, group: Group) -> Slots:
        """The slots of a group, made where there are none."""
        slots = self.groups.get(group)
        if slots is None:
            slots = self.groups[group] = Slots(self.query.measure, self.query.sketch)
        return slots

    def route(self, key: Key) -> tuple[Group, bool] | None:
        """The group that a key belongs to, and whether `of` marks it; None if it is none of ours."""
        try:
            return self._routes[key]
        except KeyError:
            return self._route(key)

    def _route(self, key: Key) -> tuple[Group, bool] | None:
        if len(self._routes) >= ROUTES:
            self._routes.clear()
        route = None
        if all(key[at] in values for at, values in self._where):
            route = tuple(key[at] for at in self._by), all(key[at] in values for at, values in self._of)
        self._routes[key] = route
        return route

    def forget(self, before: int) -> list[Group]:
        """Frees the buckets before this one; returns the groups that have nothing left, which are gone then."""
        empty = []
        for group, slots in self.groups.items():
            slots.forget(before)
            if not slots.buckets and not slots.learned:
                empty.append(group)
        for group in empty:
            del self.groups[group]
        self.full = {bucket for bucket in self.full if bucket >= before}
        return empty


def each_of(query: Query, each: tuple[str, ...]) -> itemgetter[Key]:
    """Tells apart the cells of a slot by these dimensions."""
    dimensions = TABLES[query.table].dimensions
    return itemgetter(*(dimensions.index(name) for name in each))
