"""Signals: what a rule can compare, as data. Those that ship are in signals.yaml, which also says what each key means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from yaml.nodes import Node

from rules.condition import nearest
from rules.document import Document, plain, shown
from schemas.tables import TABLES, Measure, Table, Value

Aggregate = Literal["count", "sum", "mean", "quantile", "ratio", "max", "streak"]
AGGREGATES: tuple[Aggregate, ...] = ("count", "sum", "mean", "quantile", "ratio", "max", "streak")
Unit = Literal["ratio", "percent", "s", "count", "minor"]
UNITS: tuple[Unit, ...] = ("ratio", "percent", "s", "count", "minor")
KEYS = ("title", "table", "aggregate", "where", "of", "measure", "q", "unit", "by", "each", "all", "bad")

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

    def table(self, dimensions: frozenset[str]) -> Table | None:
        """The first of its tables that has all of these dimensions, None if no table has."""
        return next((TABLES[name] for name in self.tables if dimensions <= set(TABLES[name].dimensions)), None)

    def measured(self) -> tuple[int, Measure]:
        """The place of its measure in a cell's stats, and the measure."""
        measures = TABLES[self.tables[0]].measures
        return next((at, one) for at, one in enumerate(measures) if one.name == self.measure)

    @property
    def scale(self) -> int:
        """By what a stored integer of the measure is to be divided to be in the signal's unit."""
        if self.measure is None:
            return 1
        return (1000 if self.measured()[1].thousandths else 1) * (1000 if self.unit == "s" else 1)


def read(document: Document) -> dict[str, Signal]:
    """The signals of a file; those with errors are left out, and the document knows the errors."""
    if document.root is None:
        return {}
    found = {}
    for name, (key, node) in document.items(document.root, "signals by name").items():
        before = len(document.problems)
        signal = _signal(document, name, key, node)
        if signal is not None and len(document.problems) == before:
            found[name] = signal
    return found


@cache
def shipped() -> Mapping[str, Signal]:
    """The signals that come with Tillwatch."""
    path = Path(__file__).with_name("signals.yaml")
    document = Document(path.name, path.read_text(encoding="utf-8"))
    found = read(document)
    if document.problems:
        raise ValueError("\n".join(map(str, document.problems)))
    return found


def _signal(document: Document, name: str, key: Node, node: Node) -> Signal | None:
    items = document.items(node, f"what {name} is")
    for item, (where, _) in items.items():
        if item not in KEYS:
            document.wrong(where, f"a signal has no {item}; it has {', '.join(KEYS)}", nearest(item, KEYS))
    missing = [item for item in ("title", "table", "aggregate", "unit") if item not in items]
    if missing:
        document.wrong(key, f"{name} has no {missing[0]}")
        return None
    tables = document.names(items["table"][1], "table", TABLES)
    aggregate = document.names(items["aggregate"][1], "aggregate", AGGREGATES)
    unit = document.names(items["unit"][1], "unit", UNITS)
    title = document.text(items["title"][1], "a title")
    if not tables or len(aggregate) != 1 or len(unit) != 1 or title is None:
        return None
    table = TABLES[tables[0]]
    measures = [measure.name for measure in table.measures]
    measure = document.names(items["measure"][1], "measure", measures) if "measure" in items else ()
    if not measure and aggregate[0] in ("sum", "mean", "quantile", "max"):
        document.wrong(key, f"{name} has no measure; {table.name} has {', '.join(measures) or 'none'}")
    if "of" not in items and aggregate[0] in ("ratio", "streak"):
        document.wrong(key, f"{name} has no 'of'")
    q = document.number(items["q"][1], "a quantile", 0.0, 1.0) if "q" in items else 0.5
    texts = {word: document.text(items[word][1], "words") or "" for word in ("all", "bad") if word in items}
    return Signal(
        name,
        title,
        tables,
        aggregate[0],  # type: ignore[arg-type]
        unit[0],  # type: ignore[arg-type]
        where=_filter(document, items, "where", table),
        of=_filter(document, items, "of", table),
        measure=measure[0] if measure else None,
        q=0.5 if q is None else float(q),
        by=document.names(items["by"][1], "dimension", table.dimensions) if "by" in items else (),
        each=document.names(items["each"][1], "dimension", table.dimensions) if "each" in items else (),
        **texts,
    )


def _filter(document: Document, items: Mapping[str, tuple[Node, Node]], name: str, table: Table) -> Filter:
    return filter_of(document, items[name][1], table) if name in items else ()


def filter_of(document: Document, node: Node, table: Table) -> Filter:
    """A filter on the dimensions of a table."""
    found: list[tuple[str, tuple[Value, ...]]] = []
    for dimension, (key, value) in document.items(node, "dimensions with their values").items():
        if dimension not in table.dimensions:
            document.wrong(
                key,
                f"{table.name} has no dimension {dimension!r}; it has {', '.join(table.dimensions)}",
                nearest(dimension, table.dimensions),
            )
            continue
        values: list[Value] = []
        for item in document.each(value):
            one: Value = plain(item)
            kind = {"bool": bool, "int": int}.get(table.kinds[dimension], str)
            if not isinstance(one, kind) or (kind is int and isinstance(one, bool)):
                word = {bool: "true or false", int: "an integer"}.get(kind, "a text")
                document.wrong(item, f"expected {word} for {dimension}, got {shown(item)}")
            else:
                values.append(one)
        found.append((dimension, tuple(values)))
    return tuple(sorted(found, key=lambda item: item[0]))
