"""What each signal is now: rows in, its value in every group out. Pure, but for `read`.

A window of five minutes, the open 10 s included; a signal that is judged later (conversion) looks at an hour that is as far
back, a daily one at a day. Signals that are judged event by event (failures in a row, silence, completeness) have no value
here: how the rules stand that compare them is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from console import kpis
from console.kpis import Held
from console.readings import FINE_MS, Pulse, Totals, Window, window_of
from console.series import COUNTS, Cut, Series
from console.shapes import Shape, Span, Target
from console.span import View
from rollups.tables import DAY, HOUR
from rules.engine import GRAVEST
from rules.rule import Rule
from rules.signals import Signal, Unit, shipped
from schemas.alert import Instant
from schemas.tables import TABLES

NOW_MS = 5 * 60_000
GROUPS_MOST = 50
"""Groups of a signal that are told, those with the most events; the others are counted."""
EVENT_BY_EVENT = frozenset({"streak", "silence", "completeness", "last"})
USUAL_BY = ("provider", "component")
"""By which a signal is told as well, where its tables have it."""


class SignalGroup(Shape):
    """A signal in one group: `{}` is all of it."""

    group: dict[str, str | int | bool | None]
    value: float | None = Field(description="in the unit; null where there is nothing to judge")


class SignalNow(Shape):
    """A signal. `state`: the gravest of the rules that compare it, `missed` where only its target is, `unknown` where nothing
    is known of either. `age_s`: of the newest event in its table."""

    signal: str
    title: str
    unit: Unit
    window: Span
    values: list[SignalGroup]
    groups_more: int
    target: Target | None
    state: str
    rules: list[str]
    age_s: float | None


class Signals(Shape):
    """All signals. `stale`: newer events may have happened that are not in them."""

    signals: list[SignalNow]
    as_of: Instant | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tables hold: of each window (by its length and how far back it ends), and each table's newest 10 s that hold an
    event, where there are any in the last five minutes."""

    now_ms: int
    pulse: Pulse
    held: Mapping[tuple[int, int], Held]
    newest: Mapping[str, int]


def span_of(signal: Signal) -> tuple[int, int]:
    """(length, how far back it ends) of the window that a signal is told of, in ms."""
    if signal.aggregate == "daily":
        return DAY, 0
    return (HOUR, signal.delay_ms) if signal.delay_ms else (NOW_MS, 0)


def groupings(signal: Signal) -> list[tuple[str, ...]]:
    """By which dimensions it is told: as a whole, unless it has groups by its nature, and by provider or component."""
    tables = [TABLES[name] for name in (signal.tables[0], signal.of_table) if name is not None]
    found = [signal.by] if signal.by else [(), *((name,) for name in USUAL_BY)]
    return [by for by in dict.fromkeys(found) if all(name in table.dimensions for name in by for table in tables)]


def wanted(names: Iterable[str]) -> dict[tuple[int, int], dict[str, bool]]:
    """What is to be read for these signals: (length, back) → table → whether with sketches."""
    found: dict[tuple[int, int], dict[str, bool]] = {}
    for name in names:
        signal = shipped()[name]
        tables = found.setdefault(span_of(signal), {})
        for table in (signal.tables[0], signal.of_table):
            if table is not None:
                tables[table] = tables.get(table, False) or signal.aggregate == "quantile"
    return found


def window(now_ms: int, length_ms: int, back_ms: int) -> Window:
    """It ends with the open 10 s, or so far back."""
    return window_of(now_ms - back_ms, length_ms)


async def read(series: Series, names: Sequence[str], now_ms: int, pulse: Pulse) -> Seen:
    """Raises what redis raises when it is away."""
    held: dict[tuple[int, int], Held] = {}
    newest: dict[str, int] = {}
    for (length, back), needed in wanted(names).items():
        part: dict[str, Totals] = {}
        now = window(now_ms, length, back)
        for table, sketches in needed.items():
            told_by = (dimension for name in names for by in groupings(shipped()[name]) for dimension in by)
            cut = kpis.cut_of(table, *told_by, sketches=sketches)
            if length == NOW_MS:
                steps = await series.steps(Cut(table, COUNTS, measures=COUNTS), View(now, "10s", FINE_MS, True), (cut,))
                newest |= {table: max(steps)} if steps else {}
            part[table] = await series.totals(cut, now)
        held[length, back] = part
    return Seen(now_ms, pulse, held, newest)


def signals(seen: Seen, names: Iterable[str], rules: Iterable[Rule]) -> Signals:
    """What is known of these signals."""
    in_force = [rule for rule in rules if rule.enabled]
    return Signals(
        signals=[_now(shipped()[name], seen, in_force) for name in names],
        as_of=seen.pulse.as_of_ms,
        stale=seen.pulse.state != "live",
    )


def _now(signal: Signal, seen: Seen, rules: Sequence[Rule]) -> SignalNow:
    length, back = span_of(signal)
    held = seen.held[length, back]
    values: list[SignalGroup] = []
    more = 0
    if signal.aggregate not in EVENT_BY_EVENT:
        for by in groupings(signal):
            found = _values(signal, by, held)
            values += found[:GROUPS_MOST]
            more += len(found) - len(found[:GROUPS_MOST])
    whole = next((one.value for one in values if not one.group), None)
    target = kpis.target(signal.name, whole) if signal.name in kpis.TARGETS else None
    comparing = [rule for rule in rules if any(part.signal.name == signal.name for part in rule.parts)]
    newest = seen.newest.get(signal.tables[0])
    part = window(seen.now_ms, length, back)
    return SignalNow(
        signal=signal.name,
        title=signal.title,
        unit=signal.unit,
        window=Span(start=part.start_ms, end=part.end_ms),
        values=values,
        groups_more=more,
        target=target,
        state=_state(comparing, seen.pulse, target),
        rules=[rule.name for rule in comparing],
        age_s=None if newest is None else max(seen.now_ms - newest - FINE_MS, 0) / 1000,
    )


def _values(signal: Signal, by: tuple[str, ...], held: Held) -> list[SignalGroup]:
    if not by:
        return [SignalGroup(group={}, value=kpis.value(signal.name, held))]
    counts: dict[tuple[object, ...], int] = {}
    table = TABLES[signal.tables[0]]
    places = [table.dimensions.index(name) for name in by]
    for key, cell in held[table.name].items():
        group = tuple(key[at] for at in places)
        counts[group] = counts.get(group, 0) + cell.count
    found = kpis.grouped(signal.name, by, held)
    order = sorted(found, key=lambda group: (-counts.get(group, 0), str(group)))
    return [SignalGroup(group=dict(zip(by, group, strict=True)), value=found[group]) for group in order]


def _state(rules: Sequence[Rule], pulse: Pulse, target: Target | None) -> str:
    names = {rule.name for rule in rules}
    judged = pulse.state in ("live", "behind") and pulse.leader is not None
    told = ((pulse.leader or {}).get("rules") or {}).get("states", ()) if judged else ()
    states = [str(one["state"]) for one in told if one["rule"] in names]
    if states:
        return min(states, key=GRAVEST.index)
    if target is not None and target.met is False:
        return "missed"
    known = (names and judged) or (target is not None and target.met)
    return "ok" if known else "unknown"
