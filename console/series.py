"""Rows of tables as pages need them: added up over the dimensions that nobody asks for, and kept until they change.

A page of six hours at a thousand cells a bucket is made of 360,000 cells. So what a step of time holds is kept, and read
again only when the table says that one of its rows changed (`TableStore.changes`): a number on a page is the one that SQL
tells at the same moment. What is open is put together from finer rows, which are kept in the same way.

Lives in one thread (console/aside.py); cells that it gives out are shared and must not be changed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from console.readings import ANSWER_WITHIN_S, MINUTE_MS, Totals, Window
from console.span import View
from rollups.cells import Cell
from rollups.tables import DAY, RESOLUTIONS, Mark, TableStore
from schemas.tables import TABLES, Key, Table

KEPT_CELLS = 400_000
"""Of all pages together: some 150 MB at the most, without sketches."""
_LARGE = {"1m": 10 * MINUTE_MS, "1h": DAY}
SETTLED_MS = 120_000
"""A step that ended so long ago is read as it stands; one that is younger still changes, and is made of finer ones."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is read of a table: the dimensions that are kept apart, and whether percentiles are asked for."""

    table: str
    by: frozenset[str]
    sketches: bool = False


@dataclass(slots=True)
class _Kept:
    """The steps of one cut at one resolution, the one that was used last at the end."""

    steps: OrderedDict[int, Totals] = field(default_factory=OrderedDict)


class Series:
    """The reader of pages. Methods raise what redis raises when it is away, and TimeoutError."""

    def __init__(self, tables: TableStore, now_ms: Callable[[], int]) -> None:
        self._tables, self._now_ms = tables, now_ms
        self._kept: dict[tuple[Cut, str, int], _Kept] = {}
        self._marks: dict[str, Mark] = {}
        self._cells = 0
        self._beside: tuple[Cut, ...] = ()
        self._reading = asyncio.Lock()

    async def steps(self, cut: Cut, view: View, beside: Iterable[Cut] = ()) -> dict[int, Totals]:
        """What each step of the view holds, by its start; steps without anything are left out. beside: cuts of the same table
        that are asked for next, for which the rows that are read now need not be read again."""
        async with self._reading, asyncio.timeout(ANSWER_WITHIN_S * 2):
            await self._refresh(cut.table)
            self._beside = tuple(beside)
            try:
                return await self._steps(cut, view.resolution, view.step_ms, view.window)
            finally:
                self._beside = ()

    async def totals(self, cut: Cut, window: Window) -> Totals:
        """What the window holds, in whole 10 s."""
        total: Totals = {}
        async with self._reading, asyncio.timeout(ANSWER_WITHIN_S * 2):
            await self._refresh(cut.table)
            for resolution, start, end in window.pieces():
                for step, part in _grouped(resolution, Window(start, end)):
                    for held in (await self._steps(cut, resolution, step, part)).values():
                        add(total, held, cut.sketches)
        return total

    async def _refresh(self, table: str) -> None:
        """Forgets what changed since the last time."""
        self._marks[table], changed = await self._tables.changes(table, self._marks.get(table))
        for (cut, _, step), kept in self._kept.items():
            if cut.table != table:
                continue
            gone = list(kept.steps) if changed is None else {bucket - bucket % step for bucket in changed}
            for start in gone:
                self._cells -= len(kept.steps.pop(start, ()))

    async def _steps(self, cut: Cut, resolution: str, step: int, window: Window) -> dict[int, Totals]:
        kept = self._kept.setdefault((cut, resolution, step), _Kept()).steps
        wanted = range(window.start_ms, window.end_ms, step)
        missing = [start for start in wanted if start not in kept]
        parts = _parts(resolution, step)
        young = self._now_ms() - SETTLED_MS - step
        old = [start for start in missing if parts is None or start < young]
        if old:
            await self._read(cut, resolution, step, old, kept)
        for start in missing:
            if parts is not None and start >= young:
                total: Totals = {}
                for held in (await self._steps(cut, *parts, Window(start, start + step))).values():
                    add(total, held, cut.sketches)
                self._keep(kept, start, total)
        found = {}
        for start in wanted:
            kept.move_to_end(start)
            if kept[start]:
                found[start] = kept[start]
        self._trim()
        return found

    async def _read(
        self, cut: Cut, resolution: str, step: int, starts: list[int], kept: OrderedDict[int, Totals]
    ) -> None:
        """Reads steps, in runs that follow one another. Each is kept once it is whole: who is out of time goes on there."""
        table, cuts = TABLES[cut.table], (cut, *self._beside)
        sketches = any(one.sketches for one in cuts)
        places = [kept, *(self._kept.setdefault((one, resolution, step), _Kept()).steps for one in self._beside)]
        for first, end in _runs(starts, step):
            totals: dict[int, list[Totals]] = {start: [{} for _ in cuts] for start in range(first, end, step)}
            async for rows in self._tables.chunks(cut.table, resolution, first, end, sketches=sketches):
                for bucket, cells in rows.items():
                    for one, total in zip(cuts, totals[bucket - bucket % step], strict=True):
                        add(total, projected(table, one.by, cells, one.sketches), one.sketches)
                for start in [start for start in totals if start + step <= max(rows, default=first)]:
                    self._keep_all(places, start, totals.pop(start))
            for start, found in totals.items():
                self._keep_all(places, start, found)

    def _keep_all(self, places: Iterable[OrderedDict[int, Totals]], start: int, found: Iterable[Totals]) -> None:
        for kept, total in zip(places, found, strict=True):
            self._keep(kept, start, total)

    def _keep(self, kept: OrderedDict[int, Totals], start: int, total: Totals) -> None:
        self._cells += len(total) - len(kept.get(start, ()))
        kept[start] = total

    def _trim(self) -> None:
        """The steps that were not used for longest go first, of the largest cut."""
        while self._cells > KEPT_CELLS:
            largest = max(self._kept.values(), key=lambda one: sum(map(len, one.steps.values())))
            for _ in range(len(largest.steps) // 2 + 1):
                if largest.steps:
                    self._cells -= len(largest.steps.popitem(last=False)[1])


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
        return resolution, width
    return None if finer is None else (finer, RESOLUTIONS[finer].width_ms)


def _runs(starts: list[int], step: int) -> Iterable[tuple[int, int]]:
    """[first, end) of starts that follow one another."""
    first = previous = starts[0]
    for start in starts[1:]:
        if start != previous + step:
            yield first, previous + step
            first = start
        previous = start
    yield first, previous + step


def projected(table: Table, by: frozenset[str], cells: Totals, sketches: bool = True) -> Totals:
    """The cells added up over the dimensions that are not in `by`, which are None in the keys."""
    if by >= set(table.dimensions):
        return cells
    places = [at if name in by else None for at, name in enumerate(table.dimensions)]
    total: Totals = {}
    for key, cell in cells.items():
        group: Key = tuple(None if at is None else key[at] for at in places)
        held = total.get(group)
        if held is None:
            held = total[group] = Cell()
        held.add(cell, sketches=sketches)
    return total


def add(total: Totals, cells: Totals, sketches: bool = False) -> None:
    """Adds cells to a total of the caller's own."""
    for key, cell in cells.items():
        held = total.get(key)
        if held is None:
            held = total[key] = Cell()
        held.add(cell, sketches=sketches)


def whole(steps: dict[int, Totals], sketches: bool = False) -> Totals:
    """What all steps hold together."""
    total: Totals = {}
    for held in steps.values():
        add(total, held, sketches)
    return total
