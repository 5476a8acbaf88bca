"""Rows of tables as pages need them: added up over the dimensions that nobody asks for, and kept until they change.

A page of six hours at a thousand cells a bucket is made of 360,000 cells. So what a step of time holds is kept, and read
again only when the table says that one of its rows changed (`TableStore.changes`): a number on a page is the one that SQL
tells at the same moment. What is open is put together from finer rows, which are kept in the same way. A row that is read is
added up for all who asked for it before, so that many pages cost hardly more than one.

Lives in one thread (console/aside.py); cells that it gives out are shared and must not be changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import Any, TypeVar

from console.readings import MINUTE_MS, Totals, Window
from console.span import View
from rollups.cells import Cell
from rollups.rows import Sums, add_rows
from rollups.tables import DAY, HOUR, RESOLUTIONS, Mark, TableStore
from schemas.tables import TABLES, Key, Value

KEPT_CELLS, BINS_A_CELL = 600_000, 8
"""Of all pages together: some 400 MB at the most. A sketch counts as so many cells as its bins take."""
KEPT_SUMS, SUMS_MOST = 150_000, 300
"""Cells of windows, beside their steps, and so many windows at the most."""
KEPT_MADE = 600
"""Of what pages make of steps."""
TURN_S, READ_IN_TURN, TURN_WITHIN_S = 0.03, 20, 8.0
"""About how long rows are read for one page before others have their turn; how many the first time; how long the store may
take for that."""
LOOK_AGAIN_S, READ_MOST, FEW_TURNS = 0.01, 400, 4
WAIT_S = 0.5
"""Who must read much waits so long at the most, between two turns, until who need not is done."""


@dataclass(slots=True)
class _Look:
    """What is read for one answer. `asked_s`: what was found out since then need not be found out again; `turns`: that it took
    so far beside the first of each part."""

    asked_s: float = inf
    turns: int = 0

    @property
    def long(self) -> bool:
        return self.turns > FEW_TURNS


_LOOK: ContextVar[_Look] = ContextVar("look")
_LARGE = {"1m": 10 * MINUTE_MS, "1h": DAY}
TOLD_MS, FINE_KEPT_S = 15 * MINUTE_MS, 120.0
"""What ended so long ago has no sketches any more where it is told without; rows of 10 s that nobody used for so long go."""
SETTLED_MS = 120_000
"""A step that ended so long ago is read as it stands; one that is younger still changes, and is made of finer ones."""
CALM_MS = 20_000
"""What happened so long ago hardly changes any more: its sum is kept."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is read of a table: the dimensions that are kept apart, and whether percentiles are asked for. `only`: one of these
    dimensions and its value, where no other rows are wanted. `measures`: those that are asked for, None: all. `told`: what is
    made of a step with its sketches (`made` has it), so that these need not be kept."""

    table: str
    by: frozenset[str]
    sketches: bool = False
    only: tuple[str, Value] | None = None
    measures: frozenset[str] | None = None
    told: Callable[[Totals], object] | None = None


TotalsOf = Callable[[Sequence[Cut], Window], Awaitable[Mapping[str, Totals]]]
"""Reads what a window holds of some cuts, each of another table: by table."""
T = TypeVar("T")
COUNTS: frozenset[str] = frozenset()
"""The measures of who asks for counts alone."""


class Step(dict[Key, Cell]):
    """What a step holds, which never changes, and what was made of it. `used_s`: when it was asked for last."""

    __slots__ = ("made", "used_s")

    def __init__(self, cells: Mapping[Key, Cell] = MappingProxyType({}), made: dict[Hashable, Any] | None = None) -> None:
        super().__init__(cells)
        self.made: dict[Hashable, Any] = {} if made is None else made
        self.used_s = time.monotonic()


def made(cells: Totals, what: Hashable, make: Callable[[Totals], T]) -> T:
    """What is made of these cells: once for a step, however often it is asked for."""
    if not isinstance(cells, Step):
        return make(cells)
    if what not in cells.made:
        cells.made[what] = make(cells)
    found: T = cells.made[what]
    return found


_Place = tuple[Cut, str, int]
"""A cut at a resolution, by the step."""


class Series:
    """The reader of pages. Methods raise what redis raises when it is away, and TimeoutError."""

    def __init__(self, tables: TableStore, now_ms: Callable[[], int]) -> None:
        self._tables, self._now_ms = tables, now_ms
        self._kept: dict[_Place, OrderedDict[int, Step]] = {}
        """Steps by their start, the one that was used last at the end."""
        self._lost: dict[tuple[str, str, int], dict[int, set[Cut]]] = {}
        """Table, resolution and step → start → cuts of which that step was forgotten: they are read again together."""
        self._sums_weight = 0
        self._sums: OrderedDict[tuple[Cut, str, Window], Totals] = OrderedDict()
        self._made: OrderedDict[tuple[object, ...], tuple[Sequence[Totals], Any]] = OrderedDict()
        self._marks: dict[str, Mark] = {}
        self._refreshed: dict[str, float] = {}
        self._looks: list[_Look] = []
        self._pace: dict[str, float] = {}
        """Rows of a table that are read in a turn, as quick as it went."""
        self._weights: dict[_Place, int] = {}
        self._reading = asyncio.Lock()

    async def together(self, read: Callable[[Series], Coroutine[Any, Any, T]]) -> T:
        """What is read for one answer: each table is asked once for what changed, at the earliest now."""
        look = _Look(time.monotonic())
        before = _LOOK.set(look)
        self._looks.append(look)
        try:
            return await read(self)
        finally:
            self._looks.remove(look)
            _LOOK.reset(before)

    async def _let_others(self) -> None:
        """Between two turns of who must read much: who need not goes first."""
        mine, begun = _LOOK.get(_Look()), time.monotonic()
        mine.turns += 1
        while mine.long and time.monotonic() - begun < WAIT_S and not all(look.long for look in self._looks):
            await asyncio.sleep(LOOK_AGAIN_S)

    async def steps(self, cut: Cut, view: View, beside: Sequence[Cut] = ()) -> dict[int, Totals]:
        """What each step of the view holds, by its start; steps without anything are left out. beside: cuts of the same table
        that are asked for next, for which the rows that are read now need not be read again."""
        place = cut, view.resolution, view.step_ms
        while True:
            async with asyncio.timeout(TURN_WITHIN_S), self._reading:
                await self._refresh(cut.table)
                if await (self._fill if cut.told is None else self._tell)(place, view.window, beside):
                    found = {start: cells for start, cells in self._held(place, view.window) if cells}
                    self._trim()
                    return found
            await self._let_others()

    async def totals(
        self, cut: Cut, window: Window, beside: Sequence[Cut] = (), *, coarsest: str = "1h"
    ) -> Totals:
        """What the window holds, in whole 10 s; `beside` as of `steps`. coarsest: of no coarser rows than these."""
        while True:
            async with asyncio.timeout(TURN_WITHIN_S), self._reading:
                await self._refresh(cut.table)
                calm, rest = _parted(window, self._now_ms() - CALM_MS)
                before = await self._summed(cut, coarsest, calm, beside)
                after = None if before is None else await self._summed(cut, coarsest, rest, beside)
                if before is not None and after is not None:
                    self._trim()
                    return merged(before, after, cut.sketches)
            await self._let_others()

    def remembered(self, what: str, of: Sequence[Totals], make: Callable[[], T]) -> T:
        """What was made of these steps, made anew once one of them is another."""
        key = (what, *map(id, of))
        held = self._made.pop(key, None) or (of, make())  # as long as the steps are held, nothing else has their ids
        self._made[key] = held
        if len(self._made) > KEPT_MADE:
            self._made.popitem(last=False)
        found: T = held[1]
        return found

    async def _refresh(self, table: str) -> None:
        """Forgets what changed since the last time."""
        if self._refreshed.get(table, -inf) >= _LOOK.get(_Look()).asked_s:
            return
        begun = time.monotonic()
        self._marks[table], changed = await self._tables.changes(table, self._marks.get(table))
        self._refreshed[table] = begun
        if changed is not None and not changed:
            return
        for (cut, resolution, step), kept in self._kept.items():
            if cut.table != table:
                continue
            lost = self._lost.setdefault((table, resolution, step), {})
            for start in list(kept) if changed is None else {bucket - bucket % step for bucket in changed}:
                if start in kept:
                    self._forget((cut, resolution, step), start)
                    lost.setdefault(start, set()).add(cut if cut.told is None else replace(cut, told=None))
        for one in [*self._sums]:
            cut, _, window = one
            if cut.table == table and (changed is None or any(window.start_ms <= at < window.end_ms for at in changed)):
                self._drop(one)

    async def _sum(self, cut: Cut, coarsest: str, window: Window, beside: Sequence[Cut]) -> Totals | None:
        """What the window holds; None while something is left to be read."""
        places = [
            ((cut, resolution, step), part)
            for resolution, start, end in window.pieces(coarsest)
            for step, part in _grouped(resolution, Window(start, end))
        ]
        for place, part in places:
            if not await self._fill(place, part, beside):
                return None
        total: Totals = {}
        for place, part in places:
            for _, cells in self._held(place, part):
                add(total, cells, cut.sketches)
        return total

    async def _summed(self, cut: Cut, coarsest: str, window: Window, beside: Sequence[Cut]) -> Totals | None:
        """What the window holds, which is kept; None while something is left to be read."""
        found = self._drop((cut, coarsest, window))
        if found is None:
            found = await self._longer(cut, coarsest, window, beside)
        if found is not None:
            self._sums[cut, coarsest, window] = found
            self._sums_weight += _weight(cut, found)
            while self._sums_weight > KEPT_SUMS or len(self._sums) > SUMS_MOST:
                self._drop(next(iter(self._sums)))
        return found

    def _drop(self, key: tuple[Cut, str, Window]) -> Totals | None:
        found = self._sums.pop(key, None)
        self._sums_weight -= 0 if found is None else _weight(key[0], found)
        return found

    async def _longer(self, cut: Cut, coarsest: str, window: Window, beside: Sequence[Cut]) -> Totals | None:
        """What the window holds: of one that ended earlier, where that is kept, and what came after."""
        same = (one for of, rows, one in self._sums if one.start_ms == window.start_ms and rows == coarsest and of == cut)
        ends = [one.end_ms for one in same]
        known = max((end for end in ends if end < window.end_ms), default=window.start_ms)
        if cut.sketches and known // HOUR != window.end_ms // HOUR:
            known = window.start_ms  # of an hour that is over: it is told by its own row, whose sketches may be cut
        more = await self._sum(cut, coarsest, Window(known, window.end_ms), beside)
        if more is None or known == window.start_ms:
            return more
        return merged(self._sums[cut, coarsest, Window(window.start_ms, known)], more, cut.sketches)

    async def _tell(self, place: _Place, window: Window, beside: Sequence[Cut]) -> bool:
        """As `_fill`, of a cut that says what is made of its steps: of those that hardly change any more the sketches go."""
        cut, resolution, step = place
        of = replace(cut, told=None), resolution, step
        assert cut.told is not None
        known, full = (self._kept.setdefault(one, OrderedDict()) for one in (place, of))
        missing = [start for start in range(window.start_ms, window.end_ms, step) if start not in known]
        now_ms = self._now_ms()
        for first, end in _runs(missing, step):
            whole = await self._fill(of, Window(first, end), beside)
            for start in range(first, min(end, now_ms - SETTLED_MS - step), step):
                if start in full:
                    made(full[start], cut.told, cut.told)
                    told: Totals = {}
                    add(told, full[start])
                    self._keep(place, start, Step(told, full[start].made))
                    if start + step < now_ms - TOLD_MS:
                        self._forget(of, start)
            if not whole:
                return False
        return True

    async def _fill(self, place: _Place, window: Window, beside: Sequence[Cut]) -> bool:
        """Reads what is missing of these steps, so much in one turn; whether that was all."""
        cut, resolution, step = place
        kept = self._kept.setdefault(place, OrderedDict())
        missing = [start for start in range(window.start_ms, window.end_ms, step) if start not in kept]
        parts, young = _parts(resolution, step), self._now_ms() - SETTLED_MS - step
        finer = None if parts is None else (cut, *parts)
        # Of the same rows, that is: sketches of a coarser one may be cut (rollups.rows), and tell a little otherwise.
        alike = finer is not None and (finer[1] == resolution or not cut.sketches)
        old = [
            start
            for start in missing
            if finer is None or (start < young and not (alike and self._has(finer, start, step)))
        ]
        pace = self._pace.get(cut.table, READ_IN_TURN)
        some = old[: max(1, int(pace) * RESOLUTIONS[resolution].width_ms // step)]
        if some:
            begun = time.monotonic()
            await self._read(place, some, beside)
            rows = len(some) * step // RESOLUTIONS[resolution].width_ms
            self._pace[cut.table] = max(1.0, min(rows * TURN_S / (time.monotonic() - begun), 2 * pace, READ_MOST))
        if finer is None or len(some) < len(old):
            return len(some) == len(old)
        for start in (start for start in missing if start not in kept):
            part = Window(start, start + step)
            if not await self._fill(finer, part, beside):
                return False
            total: Totals = {}
            for _, cells in self._held(finer, part):
                add(total, cells, cut.sketches)
            self._keep(place, start, total)
        return True

    def _has(self, place: _Place, start: int, length: int) -> bool:
        """Whether all steps of a stretch are kept."""
        kept = self._kept.get(place, ())
        return all(one in kept for one in range(start, start + length, place[2]))

    async def _read(self, place: _Place, starts: Sequence[int], beside: Sequence[Cut]) -> None:
        """Reads steps, in runs that follow one another. Each is kept once it is whole: who is out of time goes on there."""
        cut, resolution, step = place
        table, lost = TABLES[cut.table], self._lost.get((cut.table, resolution, step), {})

        def asked(start: int) -> dict[Cut, Sums]:
            others = dict.fromkeys((*beside, *lost.get(start, ())))
            some = [one for one in others if start not in self._kept.get((one, resolution, step), ())]
            return {one: Sums(one.by, one.sketches, one.only, one.measures) for one in (cut, *some)}

        def keep(start: int, sums: dict[Cut, Sums]) -> None:
            for one, found in sums.items():
                self._keep((one, resolution, step), start, found.cells)
            lost.pop(start, None)

        for first, end in _runs(starts, step):
            waiting = {start: asked(start) for start in range(first, end, step)}
            async for rows in self._tables.packed(cut.table, resolution, first, end):
                for bucket, values in rows.items():
                    sums = [*waiting[bucket - bucket % step].values()]
                    for value in values:
                        add_rows(table, value, sums)
                for start in [start for start in waiting if start + step <= max(rows, default=first)]:
                    keep(start, waiting.pop(start))
            for start, found in waiting.items():
                keep(start, found)

    def _held(self, place: _Place, window: Window) -> Iterable[tuple[int, Totals]]:
        """The steps of a window, all of which are kept."""
        cut, resolution, step = place
        now_s, kept = time.monotonic(), self._kept[place]
        full = kept if cut.told is None else self._kept[replace(cut, told=None), resolution, step]
        for start in range(window.start_ms, window.end_ms, step):
            of = kept if start in kept else full
            of.move_to_end(start)
            of[start].used_s = now_s
            yield start, of[start]

    def _keep(self, place: _Place, start: int, total: Totals) -> None:
        kept = self._kept.setdefault(place, OrderedDict())
        before = kept.get(start)
        kept[start] = total if isinstance(total, Step) else Step(total)
        gone = 0 if before is None else _weight(place[0], before)
        self._weights[place] = self._weights.get(place, 0) + _weight(place[0], total) - gone

    def _forget(self, place: _Place, start: int) -> None:
        self._weights[place] -= _weight(place[0], self._kept[place].pop(start))

    def _trim(self) -> None:
        """Rows of 10 s that are not used any more go, then the steps that were not used for longest, of the largest cut."""
        unused_s = time.monotonic() - FINE_KEPT_S
        for place, kept in self._kept.items():
            while place[1] == "10s" and kept and next(iter(kept.values())).used_s < unused_s:
                self._forget(place, next(iter(kept)))
        while sum(self._weights.values()) > KEPT_CELLS:
            place = max(self._weights, key=self._weights.__getitem__)
            for start in [*islice(self._kept[place], len(self._kept[place]) // 2 + 1)]:
                self._forget(place, start)


def _weight(cut: Cut, cells: Totals) -> int:
    """How much it takes to keep them, in cells."""
    if not cut.sketches or cut.told is not None:
        return len(cells)
    return len(cells) + sum([len(stat.bins or ()) for cell in cells.values() for stat in cell.stats]) // BINS_A_CELL


def _parted(window: Window, at_ms: int) -> tuple[Window, Window]:
    """Before and after the minute of a moment."""
    edge = min(max(at_ms - at_ms % MINUTE_MS, window.start_ms), window.end_ms)
    return Window(window.start_ms, edge), Window(edge, window.end_ms)


def _grouped(resolution: str, window: Window) -> Iterable[tuple[int, Window]]:
    """A window of many rows as (step, part of it), with large steps in its middle: fewer are to be added up again each time."""
    width, large = RESOLUTIONS[resolution].width_ms, _LARGE.get(resolution)
    first = last = window.start_ms
    if large is not None and window.end_ms - window.start_ms >= 2 * large:
        first, last = -(-window.start_ms // large) * large, window.end_ms - window.end_ms % large
        yield large, Window(first, last)
    for start, end in ((window.start_ms, first), (last, window.end_ms)):
        if start < end:
            yield width, Window(start, end)


def _parts(resolution: str, step: int) -> tuple[str, int] | None:
    """The next finer steps that make up one, None for rows of 10 s."""
    width, finer = RESOLUTIONS[resolution].width_ms, RESOLUTIONS[resolution].finer
    if step > width:
        return _part(resolution, step)
    return None if finer is None else _part(finer, step)


def _part(resolution: str, step: int) -> tuple[str, int]:
    """Large steps of rows where some make up one."""
    width, large = RESOLUTIONS[resolution].width_ms, _LARGE.get(resolution, step)
    return resolution, width if large >= step or step % large else large


def _runs(starts: Sequence[int], step: int) -> Iterable[tuple[int, int]]:
    """[first, end) of starts that follow one another."""
    at = 0
    for place, start in enumerate(starts):
        if place + 1 == len(starts) or starts[place + 1] != start + step:
            yield starts[at], start + step
            at = place + 1


def add(total: Totals, cells: Totals, sketches: bool = False) -> None:
    """Adds cells to a total of the caller's own."""
    for key, cell in cells.items():
        held = total.get(key)
        if held is None:
            total[key] = cell.tallied(sketches=sketches)
        elif cell.stats:
            held.tally(cell, sketches=sketches)
        else:
            held.count += cell.count


def merged(one: Totals, other: Totals, sketches: bool = False) -> Totals:
    """What both hold; cells that one of them has alone are its own."""
    less, more = sorted((one, other), key=len)
    total = dict(more)
    for key, cell in less.items():
        held = more.get(key)
        if held is None:
            total[key] = cell
        elif cell.stats or held.stats:
            both = total[key] = held.tallied(sketches=sketches)
            both.tally(cell, sketches=sketches)
        else:
            total[key] = Cell(count=held.count + cell.count, times=None)
    return total


def whole(steps: dict[int, Totals], sketches: bool = False) -> Totals:
    """What all steps hold together."""
    total: Totals = {}
    for held in steps.values():
        add(total, held, sketches)
    return total
