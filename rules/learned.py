"""The baselines of the tests that ask for one: a guard for each test and group, fed as the watermark closes minutes.

What a guard knows cannot be worked out again from the cells that are held, so it is kept beside the alert states
(`changed`, `restore`). Where nothing is kept, since a rule or an installation is new, it is learned from the merged rows
and from what was imported (`tables`, `remember`, `learn`).
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollups.cells import Cell
from rules.baseline import day
from rules.baseline.calendar import Calendar
from rules.baseline.day import Day
from rules.baseline.guard import MINUTE_MS, Guard, Reading, State
from rules.baseline.history import Row, warm
from rules.baseline.words import said as in_words
from rules.rule import Part, Rule
from rules.series import Group, Query, Series, Slots
from schemas.tables import TABLES, Key, Value

if TYPE_CHECKING:
    from rules.judges.baseline import BaselineJudge

READINGS = 300
"""Minutes of which is known what was said: an episode that begins or ends is among the latest."""
LEARNED_AT_ONCE = 500
MOST_GROUPS = 500
"""Of one test. A guard costs some 60 kB of memory and 50 µs a minute."""


@dataclass(eq=False, slots=True)
class Learned:
    """The baseline of one test and group. imported: id of the file that its history began with, if there was one. changed:
    since it was kept last."""

    group: Group
    guard: Guard | Day
    calendar: Calendar
    imported: str | None = None
    readings: list[Reading] = field(default_factory=list)
    changed: bool = True

    @property
    def until(self) -> int | None:
        """The end of the last minute that was judged."""
        return self.guard.next_ms

    @property
    def state(self) -> State:
        """How it judged the last minute, or would."""
        if self.readings:
            return self.readings[-1].state
        return "learning" if self.guard.learning else "unknown"

    def advance(self, value: Callable[[int], float | None], start: int, end: int) -> int | None:
        """Judges the minutes from `start` on that end by `end`; returns the first after which the verdict was another."""
        flipped: int | None = None
        for minute in range(max(start, self.until or start), end - MINUTE_MS + 1, MINUTE_MS):
            before = bool(self.readings) and self.readings[-1].breach
            self.readings.append(self.guard.step(minute, value(minute)))
            self.changed = True
            if self.readings[-1].breach != before and flipped is None:
                flipped = self.readings[-1].end_ms
        del self.readings[:-READINGS]
        return flipped

    def from_(self, start: int) -> list[Reading]:
        """What was said of the minutes that ended at `start` or later, and the last word before."""
        at = bisect_right(self.readings, start - 1, key=lambda one: one.end_ms)
        return self.readings[max(at - 1, 0) :]

    def after(self, since: int) -> list[Reading]:
        """What was said of the minutes that ended after `since`."""
        return self.readings[bisect_right(self.readings, since, key=lambda one: one.end_ms) :]

    def words(self, reading: Reading) -> str:
        """`41 in 15 min, expected 118 (105 to 131) from the last 7 days at 14:15, down 65 %, …`"""
        return day.said(reading) if isinstance(self.guard, Day) else in_words(reading, self.calendar)


@dataclass(frozen=True, slots=True)
class Imported:
    """History from a file: rows of `step_ms` for the series of a signal and group. `id` changes with each import."""

    id: str
    signal: str
    group: Mapping[str, Value]
    step_ms: int
    rows: list[Row]


@dataclass(eq=False, slots=True)
class _Test:
    """One test with a baseline, and the rules that ask for it. mark: names it and how it judges."""

    mark: str
    part: Part
    judge: BaselineJudge
    rules: list[Rule] = field(default_factory=list)
    found: dict[Group, Learned] = field(default_factory=dict)
    history: defaultdict[Group, dict[int, dict[int, float]]] = field(default_factory=lambda: defaultdict(dict))
    """Of each group, by the width of rows: {start: value}."""

    @property
    def query(self) -> Query:
        return self.part.query

    def of(self, imports: Iterable[Imported]) -> dict[Group, Imported]:
        """What was imported for its groups."""
        groups = ((self.part.group_of(one.signal, one.group), one) for one in imports)
        return {group: one for group, one in groups if group is not None}


class Baselines:
    """All baselines of a set of rules. `series`: the slots of each query, which the judges look at."""

    def __init__(self, rules: Iterable[Rule], series: Mapping[Query, Series], calendar: Calendar) -> None:
        self._series, self._calendar = series, calendar
        self._tests: dict[str, _Test] = {}
        self._rows: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        """Starts of the rows that were shown, by table and width: of a group that is in none of them nothing happened."""
        self._wanted: dict[str, set[Group] | None] = {}
        """Tests that history is to be learned for: all groups (None), or these."""
        for rule in rules:
            for part in rule.parts:
                if part.baseline is not None:
                    mark = _mark(part.query, part.baseline)
                    self._tests.setdefault(mark, _Test(mark, part, part.baseline)).rules.append(rule)
        self._wanted = dict.fromkeys(self._tests)

    # --- minute by minute -----------------------------------------------------------------------------------------

    def step(self, closed: Callable[[str], int | None], known: Callable[[str], int]) -> Iterator[tuple[Query, Group, int]]:
        """Judges the minutes that are closed by now. closed: up to where a table is; known: from where on all of its cells are
        held. Yields where a verdict became another: (query, group, when)."""
        for test in self._tests.values():
            table = test.query.table
            end = closed(table)
            if end is None:
                continue
            end -= end % MINUTE_MS
            first = -(-known(table) // MINUTE_MS) * MINUTE_MS
            series = self._series[test.query]
            for group, slots in series.groups.items():
                learned = test.found.get(group)
                if learned is None:
                    if len(test.found) >= MOST_GROUPS or slots.first is None:
                        continue
                    learned = self._new(test, group, slots)
                if learned.until is not None and learned.until >= end:
                    continue
                start = max(first, learned.until or -(-(slots.first or 0) // MINUTE_MS) * MINUTE_MS)
                flipped = learned.advance(_values(series, slots, test.judge.total), start, end)
                if flipped is not None:
                    yield test.query, group, flipped

    def _new(self, test: _Test, group: Group, slots: Slots | None = None) -> Learned:
        judge = test.judge
        share, calendar = float(judge.share), self._calendar
        guard: Guard | Day
        if judge.day is not None:
            guard = Day(judge.comparison, float(judge.day))
        elif judge.upward:
            guard = Guard(MINUTE_MS, judge.window_ms, rise=share, direction="rise", calendar=calendar)
        else:
            guard = Guard(MINUTE_MS, judge.window_ms, share, calendar=calendar)
        learned = test.found[group] = Learned(group, guard, self._calendar)
        held = self._series[test.query].of(group) if slots is None else slots
        held.learned[judge] = learned
        return learned

    def of(self, rule: Rule) -> list[Learned]:
        """The baselines of a rule."""
        return [one for test in self._tests.values() if rule in test.rules for one in test.found.values()]

    def all(self) -> Iterator[tuple[Rule, Learned]]:
        """Every baseline, with the first of the rules that ask for it."""
        for test in self._tests.values():
            for learned in test.found.values():
                yield test.rules[0], learned

    # --- what is kept ---------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, dict[str, Any]]:
        """What is to be kept of the baselines that changed: {name: plain JSON values}. `kept` says that it was."""
        return {
            _name(test.mark, group): {
                "test": test.mark,
                "group": list(group),
                "imported": learned.imported,
                "guard": learned.guard.snapshot(),
            }
            for test in self._tests.values()
            for group, learned in test.found.items()
            if learned.changed
        }

    def kept(self) -> None:
        """What was `changed` is kept now."""
        for test in self._tests.values():
            for learned in test.found.values():
                learned.changed = False

    def restore(self, kept: Mapping[str, Mapping[str, Any]], imported: Iterable[Imported]) -> list[str]:
        """Takes over what was kept, but for what an import has changed since; returns the names that mean nothing any more."""
        strangers = []
        imports = list(imported)
        for name, one in kept.items():
            test = self._tests.get(one["test"])
            if test is None:
                strangers.append(name)
                continue
            group = tuple(one["group"])
            found = test.of(imports).get(group)
            if found is not None and found.id != one["imported"]:
                continue
            learned = self._new(test, group)
            try:
                learned.guard.restore(one["guard"])
            except ValueError:  # of another release: it is learned again
                del test.found[group]
                continue
            learned.imported, learned.changed = one["imported"], False
        for mark, test in self._tests.items():
            if test.found:
                self._wanted[mark] = {*test.of(imports)} - {*test.found}
        return strangers

    @property
    def groups(self) -> Iterator[tuple[Query, Group]]:
        """Those that have a baseline."""
        for test in self._tests.values():
            for group in test.found:
                yield test.query, group

    def since(self, table: str) -> int | None:
        """The time from which on cells of a table are still to be judged."""
        untils = [
            one.until
            for test in self._tests.values()
            if test.query.table == table
            for one in test.found.values()
            if one.until is not None
        ]
        return min(untils, default=None)

    # --- history --------------------------------------------------------------------------------------------------

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose history is wanted."""
        return frozenset(self._tests[mark].query.table for mark, groups in self._wanted.items() if groups is None or groups)

    def remember(self, table: str, width_ms: int, rows: Mapping[int, Mapping[Key, Cell]]) -> None:
        """Merged rows of a table, in order of time."""
        wanted = [test for mark, test in self._tests.items() if test.query.table == table and self._wants(mark)]
        self._rows[table, width_ms] += rows
        for test in wanted:
            series, total, measure = self._series[test.query], test.judge.total, test.query.measure
            for start, cells in rows.items():
                for key, cell in cells.items():
                    route = series.route(key)
                    if route is None or (total and (measure is None or measure >= len(cell.stats))):
                        continue
                    held = test.history[route[0]].setdefault(width_ms, {})
                    more = cell.stats[measure].total if total and measure is not None else cell.count
                    held[start] = held.get(start, 0.0) + more

    def _wants(self, mark: str) -> bool:
        groups = self._wanted[mark]
        return groups is None or bool(groups)

    def learn(self, imported: Iterable[Imported]) -> Iterator[None]:
        """Learns from what was remembered and imported; yields now and then, since it takes a while."""
        imports = list(imported)
        for mark, test in self._tests.items():
            wanted, given = self._wanted.pop(mark, set()), test.of(imports)
            for group in dict.fromkeys([*test.history, *given]):
                if group not in test.found and (wanted is None or group in wanted) and len(test.found) < MOST_GROUPS:
                    yield from self._learn(test, group, given.get(group))
            test.history.clear()
        self._wanted = {mark: set() for mark in self._tests}
        self._rows.clear()

    def _learn(self, test: _Test, group: Group, imported: Imported | None) -> Iterator[None]:
        """Its own rows as far as they go back, what was imported before them; hours first, then minutes."""
        learned = self._new(test, group)
        table, own = test.query.table, test.history.get(group, {})
        firsts = [min(rows) for rows in own.values() if rows]
        parts: list[tuple[int, list[Row]]] = []
        if imported is not None:
            learned.imported = imported.id
            first = min(firsts, default=None)
            rows = [row for row in imported.rows if first is None or row[0] + imported.step_ms <= first]
            parts.append((imported.step_ms, rows))
        for width in sorted(own, reverse=True):
            begin = min(own[width], default=0)
            starts = sorted(start for start in set(self._rows[table, width]) if start >= begin)
            parts.append((width, [(start, own[width].get(start, 0.0)) for start in starts]))
        for width, rows in parts:
            rows = [row for row in rows if learned.until is None or row[0] >= learned.until]
            at_once = LEARNED_AT_ONCE if width == MINUTE_MS else max(len(rows), 1)
            for at in range(0, len(rows), at_once):
                if isinstance(learned.guard, Day):
                    learned.guard.take(rows[at : at + at_once], width)
                else:
                    warm(learned.guard, rows[at : at + at_once], width)
                yield


def _values(series: Series, slots: Slots, total: bool) -> Callable[[int], float | None]:
    """What a minute held; None where some of it may have gone to `other`."""

    def value(minute: int) -> float | None:
        end = minute + MINUTE_MS
        if any(minute <= bucket < end for bucket in series.full):
            return None
        n, _, _, measured = slots.sums(minute, end)
        return float(measured if total else n)

    return value


def _mark(query: Query, judge: BaselineJudge) -> str:
    """Names a test and how it judges: the same in every rule and after every restart."""
    assert query.table in TABLES
    return _digest(
        [
            query.table, query.by, query.where, query.of, query.measure,
            judge.comparison, str(judge.share), judge.window_ms, judge.total, str(judge.day),
        ]
    )  # fmt: skip


def _name(mark: str, group: Group) -> str:
    return f"{mark}:{_digest(list(group))}"


def kept_as(part: Part, group: Group) -> str:
    """The name under which the baseline of a test and group is kept."""
    assert part.baseline is not None, f"{part.signal.name} is compared with no baseline"
    return _name(_mark(part.query, part.baseline), group)


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()[:24]
