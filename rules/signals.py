"""Signals: what a rule can compare, as data. Those that ship are in signals.yaml, which also says what each key means."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, get_args

from yaml.nodes import Node, ScalarNode

from rules.condition import ConditionError, is_name, parse_duration
from rules.document import NULL, Document, plain, shown
from runtime.suggest import nearest, quoted
from schemas.tables import TABLES, Measure, Table, Value

Aggregate = Literal[
    "count", "sum", "mean", "quantile", "ratio", "share", "max", "last", "streak", "silence", "completeness", "daily"
]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
Unit = Literal["ratio", "percent", "s", "count", "minor"]
UNITS: tuple[Unit, ...] = get_args(Unit)
_REQUIRED = ("title", "table", "aggregate", "unit")
_NEEDS: dict[Aggregate, tuple[str, ...]] = {
    "count": (),
    "sum": ("measure",),
    "mean": ("measure",),
    "quantile": ("measure", "q"),
    "ratio": ("of", "bad"),
    "share": ("of", "bad"),
    "max": ("measure",),
    "last": ("measure",),
    "streak": ("of", "bad", "each"),
    "silence": (),
    "completeness": ("measure", "of", "bad", "each"),
    "daily": (),
}
"""What an aggregate needs beside what every signal needs."""
_MAY: dict[Aggregate, tuple[str, ...]] = {"share": ("of_table", "delay", "lag")}
"""What an aggregate may have beside that."""
_OWN = tuple(dict.fromkeys(key for keys in (*_NEEDS.values(), *_MAY.values()) for key in keys))
KEYS = (*_REQUIRED, "where", "by", "all", "one", *_OWN)

FILE = Path(__file__).resolve().with_name("signals.yaml")
"""The signals that ship."""
T = TypeVar("T", Aggregate, Unit)

Filter = tuple[tuple[str, tuple[Value, ...]], ...]
"""(dimension, values that it may have), in the order of names; empty: everything."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal; see signals.yaml for what the fields mean."""

    name: str
    title: str
    tables: tuple[str, ...]
    aggregate: Aggregate
    unit: Unit
    where: Filter = ()
    of: Filter = ()
    measure: str | None = None
    q: float = 0.5
    by: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    all: str = "events"
    bad: str = ""
    one: str = ""
    of_table: str | None = None
    delay_ms: int = 0
    lag_ms: int = 0

    def table(self, dimensions: Iterable[str]) -> Table | None:
        """The first of its tables that has its measure and all of these dimensions, None if no table has."""
        return table_with(self.tables, dimensions, self.measure)

    @property
    def needed(self) -> frozenset[str]:
        """The dimensions that it looks at itself, whatever a rule asks for."""
        marked = () if self.aggregate == "share" else self.of
        return frozenset({*(name for name, _ in (*self.where, *marked)), *self.each})

    def measured(self, table: Table | None = None) -> tuple[int, Measure]:
        """The place of its measure in a cell's stats, and the measure; in the first of its tables unless said."""
        measures = (table or TABLES[self.tables[0]]).measures
        return next((at, one) for at, one in enumerate(measures) if one.name == self.measure)

    @property
    def scale(self) -> int:
        """By what a stored integer of the measure is to be divided to be in the signal's unit."""
        if self.measure is None:
            return 1
        return (1000 if self.measured()[1].thousandths else 1) * (1000 if self.unit == "s" else 1)

    def counted(self, n: int | Fraction) -> str:
        """What it counts, in the number that goes with n: `payment` or `payments`."""
        return self.one if n == 1 and self.one else self.all


def table_with(tables: Iterable[str], dimensions: Iterable[str], measure: str | None) -> Table | None:
    """The first of these tables that has all of these dimensions and the measure (if any is given)."""
    wanted = set(dimensions)
    for name in tables:
        table = TABLES[name]
        if wanted <= set(table.dimensions) and (measure is None or measure in {one.name for one in table.measures}):
            return table
    return None


def read(document: Document, taken: Container[str] = ()) -> dict[str, Signal | None]:
    """The signals of a file, None for those with errors, which the document knows. `taken`: names that it must not give."""
    found: dict[str, Signal | None] = {}
    if document.root is None:
        return found
    for name, (key, node) in document.items(document.root, "signals by name").items():
        before = len(document.problems)
        if name in taken:
            document.wrong(key, f"{name} is a signal that ships: give yours another name")
            continue
        if not is_name(name):
            document.wrong(key, "a signal's name is of letters, digits and _, and no word of the language")
        signal = _Reader(document, name, key, node).read()
        found[name] = signal if len(document.problems) == before else None
    return found


@cache
def shipped() -> Mapping[str, Signal]:
    """The signals that come with Tillwatch."""
    document = Document(FILE.name, FILE.read_bytes())
    found = read(document)
    if document.problems:
        raise ValueError("\n".join(map(str, document.problems)))
    return {name: signal for name, signal in found.items() if signal is not None}


class _Reader:
    """Reads one signal."""

    def __init__(self, document: Document, name: str, key: Node, node: Node) -> None:
        self._document, self._name, self._key = document, name, key
        self._items = document.items(node, f"a mapping with {', '.join(_REQUIRED)}")
        self._empty = not self._items

    def read(self) -> Signal | None:
        document, items = self._document, self._items
        for item, (key, _) in items.items():
            if item not in KEYS:
                document.wrong(key, f"a signal has no {quoted(item)}; it has {', '.join(KEYS)}", nearest(item, KEYS))
        if self._empty:
            return None
        self._need(_REQUIRED)
        names = self._names("table", "a table", TABLES)
        aggregate, unit = self._one("aggregate", AGGREGATES), self._one("unit", UNITS)
        title = self._text("title")
        if not names or aggregate is None or unit is None or title is None:
            return None
        self._need(_NEEDS[aggregate])
        for item in _OWN:
            if item in items and item not in (*_NEEDS[aggregate], *_MAY.get(aggregate, ())):
                document.wrong(items[item][0], f"a {aggregate} has no {item!r}")
        tables = [TABLES[name] for name in names]
        measure = self._measure(tables, aggregate, unit)
        q = document.number(items["q"][1], "a quantile", 0.001, 0.999) if "q" in items else 0.5
        others = self._names("of_table", "a table", TABLES)
        marked = [TABLES[others[0]]] if others else tables
        signal = Signal(
            self._name,
            title,
            names,
            aggregate,
            unit,
            where=self._filter("where", tables),
            of=self._filter("of", marked),
            measure=measure,
            q=0.5 if q is None else float(q),
            by=self._dimensions("by", tables),
            each=self._dimensions("each", tables),
            all=self._text("all") or "events",
            bad=self._text("bad") or "",
            one=self._text("one") or "",
            of_table=others[0] if others else None,
            delay_ms=self._duration("delay"),
            lag_ms=self._duration("lag"),
        )
        self._check(signal)
        return signal

    def _need(self, wanted: Iterable[str]) -> None:
        for item in wanted:
            if item not in self._items:
                self._document.wrong(self._key, f"{self._name} has no {item}")

    def _names(self, item: str, what: str, known: Iterable[str]) -> tuple[str, ...]:
        return self._document.names(self._items[item][1], what, known) if item in self._items else ()

    def _one(self, item: str, known: tuple[T, ...]) -> T | None:
        if item not in self._items:
            return None
        node = self._items[item][1]
        text = self._document.text(node, f"the {item}")
        for choice in known:
            if text == choice:
                return choice
        if text is not None:
            choices = [str(choice) for choice in known]
            self._document.wrong(node, f"no {item} {quoted(text)}; there are {', '.join(choices)}", nearest(text, choices))
        return None

    def _text(self, item: str) -> str | None:
        return self._document.text(self._items[item][1], "a text") if item in self._items else None

    def _duration(self, item: str) -> int:
        text = self._text(item)
        if text is None:
            return 0
        try:
            return parse_duration(text)
        except ConditionError as error:
            self._document.wrong_in(self._items[item][1], error.column, error.text, error.near)
            return 0

    def _measure(self, tables: list[Table], aggregate: Aggregate, unit: Unit) -> str | None:
        measures = list(dict.fromkeys(one.name for table in tables for one in table.measures))
        found = self._names("measure", "a measure", measures)
        measure = found[0] if found else None
        if "measure" in _NEEDS[aggregate] and measure is None:
            return None
        expected = unit_of(aggregate, measure)
        if unit != expected:
            of = f" of {measure}" if measure is not None else ""
            self._document.wrong(self._items["unit"][1], f"the unit of a {aggregate}{of} is {expected}, not {unit}", expected)
        wide = [table for table in tables if any(one.name == measure for one in table.measures)]
        if aggregate == "quantile" and not any(one.sketch for one in wide[0].measures if one.name == measure):
            self._document.wrong(self._items["measure"][1], f"{measure} has no quantiles")
        if aggregate == "max" and not any(one.name == "interval_s" for one in wide[0].measures):
            text = f"a max is a gauge, of samples that carry interval_s; {measure} has none"
            self._document.wrong(self._items["measure"][1], text)
        return measure

    def _dimensions(self, item: str, tables: list[Table]) -> tuple[str, ...]:
        return self._names(item, "a dimension", dict.fromkeys(name for table in tables for name in table.dimensions))

    def _filter(self, item: str, tables: list[Table]) -> Filter:
        return filter_of(self._document, self._items[item][1], tables) if item in self._items else ()

    def _check(self, signal: Signal) -> None:
        """What only shows once all of it is known."""
        document = self._document
        if signal.table({*signal.needed, *signal.by}) is None:
            wanted = [*sorted(signal.needed), *(name for name in signal.by if name not in signal.needed)]
            together = " and ".join([", ".join(wanted), *([signal.measure] if signal.measure else [])])
            document.wrong(self._items["table"][1], f"no table has {together} together")
        if signal.aggregate == "streak" and not TABLES[signal.tables[0]].keeps_recent:
            kept = [name for name, table in TABLES.items() if table.keeps_recent]
            document.wrong(self._items["table"][1], f"the order of events is known in {', '.join(kept)} alone")
        if signal.aggregate == "share":
            self._check_share(signal)
            return
        where = dict(signal.where)
        for dimension, values in signal.of:
            for value in values:
                if value not in where.get(dimension, (value,)):
                    document.wrong(
                        self._items["of"][1], f"'of' is a part of 'where', where {dimension} is never {shown_value(value)}"
                    )


    def _check_share(self, signal: Signal) -> None:
        """What is counted above must not be counted below, or it would be a ratio."""
        table = TABLES[signal.of_table or signal.tables[0]]
        missing = [name for name in signal.by if name not in table.dimensions]
        if missing:
            self._document.wrong(self._items["by"][1], f"{table.name} has no {', '.join(missing)}")
        of = dict(signal.of)
        apart = any(not {*values} & {*of.get(name, values)} for name, values in signal.where)
        if table.name in signal.tables and not apart:
            text = "of a share, 'of' is no part of 'where': of what is, make a ratio"
            self._document.wrong(self._items["of"][1], text, None)


def unit_of(aggregate: Aggregate, measure: str | None) -> Unit:
    """The unit that a signal has."""
    if aggregate in ("ratio", "share", "completeness"):
        return "ratio"
    if aggregate == "silence":
        return "s"
    if measure is None:
        return "count"
    return "s" if measure.endswith("_ms") else "minor" if measure == "amount" else "percent" if measure == "value" else "count"


def shown_value(value: Value) -> str:
    """The value of a dimension as it is written in a rule; `none` where it is absent."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def filter_of(document: Document, node: Node, tables: Iterable[Table]) -> Filter:
    """A filter on the dimensions of these tables."""
    kinds = {name: kind for table in tables for name, kind in table.kinds.items()}
    found: list[tuple[str, tuple[Value, ...]]] = []
    for dimension, (key, value) in document.items(node, "dimensions with their values").items():
        if dimension not in kinds:
            text = f"no dimension {quoted(dimension)}; there are {', '.join(kinds)}"
            document.wrong(key, text, nearest(dimension, kinds))
            continue
        values: list[Value] = []
        for item in document.each(value):
            one: Value = plain(item)
            if isinstance(item, ScalarNode) and item.tag == NULL:
                values.append(None)
                continue
            wrong = wrong_kind(kinds[dimension], one)
            if wrong is not None:
                document.wrong(item, f"expected {wrong} for {dimension}, got {shown(item)}")
            else:
                values.append(one)
        found.append((dimension, tuple(values)))
    return tuple(sorted(found, key=lambda item: item[0]))


def wrong_kind(kind: str, value: Value) -> str | None:
    """What was to be expected of a dimension of this kind (`text`, `bool`, `int`), None where the value is that."""
    if kind == "bool":
        return None if isinstance(value, bool) else "true or false"
    if kind == "int":
        return None if isinstance(value, int) and not isinstance(value, bool) else "an integer"
    return None if isinstance(value, str) else "a text"
