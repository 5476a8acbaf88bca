"""A question about one rollup table: from the parameters of a request to rows. Pure.

Rows are added up over the dimensions that are not asked for, sketches included, so their percentiles are those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.problems import Refused, unknown
from console.span import moment
from rollups.cells import Cell
from rollups.query import columns_of, schema
from rollups.tables import HOUR, RESOLUTIONS, Resolution, Rows
from runtime.suggest import quoted
from schemas.tables import TABLES, Key, Table, Value
from schemas.time import rfc3339

BUCKETS_MOST = 1_500
ROWS_MOST = 10_000
CELLS_MOST = 300_000
"""Cells that one question may read."""
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """Rows of a table from `start_ms` to `end_ms`, by these dimensions, of those that have one of these values."""

    table: Table
    resolution: Resolution
    start_ms: int
    end_ms: int
    by: tuple[str, ...]
    where: Mapping[str, frozenset[Value]]

    @property
    def sketched(self) -> bool:
        """Whether there are percentiles to tell."""
        return any(measure.sketch for measure in self.table.measures)


def question(
    table: str, resolution: str, start: str | None, end: str | None, by: Iterable[str], where: Iterable[str], now_ms: int
) -> Question:
    """Times are RFC 3339, the last hour unless said; `by`: dimensions, with commas or one by one; `where`: dimension=value, of
    which several mean any of them, and `none` an absent one. Raises Refused."""
    if table not in TABLES:
        raise unknown("table", table, TABLES, 404)
    if resolution not in RESOLUTIONS:
        raise unknown("resolution", resolution, RESOLUTIONS)
    of, grain = TABLES[table], RESOLUTIONS[resolution]
    high = now_ms + 1 if end is None else moment("to", end)
    low = grain.start(high - max(HOUR, grain.width_ms) if start is None else moment("from", start))
    if low >= high:
        raise Refused(400, "'from' is not before 'to'")
    buckets = -(-(high - low) // grain.width_ms)
    if buckets > BUCKETS_MOST:
        much = f"that is {buckets} buckets, and at most {BUCKETS_MOST} are told at once"
        raise Refused(400, f"{much}: ask for less time, or a coarser resolution")
    wanted = tuple(dict.fromkeys(name for text in by for name in text.split(",") if name))
    for name in wanted:
        _known(of, name)
    chosen: dict[str, set[Value]] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise Refused(400, f"where={quoted(text)}: expected dimension=value, such as where=outcome=failed")
        _known(of, name)
        chosen.setdefault(name, set()).add(_value(of, name, value))
    return Question(of, grain, low, high, wanted, {name: frozenset(values) for name, values in chosen.items()})


def _known(table: Table, name: str) -> None:
    if name not in table.dimensions:
        raise unknown(f"dimension of {table.name}", name, table.dimensions)


def _value(table: Table, name: str, text: str) -> Value:
    if text == _NONE:
        return None
    kind = table.kinds[name]
    if kind == "bool":
        if text not in ("true", "false"):
            raise Refused(400, f"where={name}={quoted(text)}: expected true, false or none")
        return text == "true"
    if kind == "int":
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Refused(400, f"where={name}={quoted(text)}: expected an integer or none")
        return int(text)
    return text


@dataclass(slots=True)
class Answer:
    """The rows of a question, put together from parts of the table."""

    asked: Question
    _cells: dict[tuple[int, Key], Cell] = field(default_factory=dict)
    _read: int = 0

    def add(self, rows: Rows) -> None:
        """Raises Refused where it becomes too much."""
        dimensions = self.asked.table.dimensions
        chosen = [(at, self.asked.where[name]) for at, name in enumerate(dimensions) if name in self.asked.where]
        kept = [name in self.asked.by for name in dimensions]
        for bucket, cells in rows.items():
            self._read += len(cells)
            for key, cell in cells.items():
                if any(key[at] not in values for at, values in chosen):
                    continue
                group = tuple(value if keep else None for value, keep in zip(key, kept, strict=True))
                self._cells.setdefault((bucket, group), Cell()).add(cell)
        if self._read > CELLS_MOST:
            raise Refused(400, f"that reads more than {CELLS_MOST} cells: ask for less time, or a coarser resolution")
        if len(self._cells) > ROWS_MOST:
            raise Refused(400, f"that is more than {ROWS_MOST} rows: ask for less time, or by fewer dimensions")

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        asked = self.asked
        left = {name for name in asked.table.dimensions if name not in asked.by}
        names = [name for name, _ in schema(asked.table) if name not in left]
        cells = [(bucket, key, cell) for (bucket, key), cell in sorted(self._cells.items(), key=_order)]
        columns = columns_of(asked.table, cells, names)
        rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        for row in rows:
            row["bucket"] = rfc3339(row["bucket"])
        return {
            "table": asked.table.name,
            "resolution": asked.resolution.name,
            "from": rfc3339(asked.start_ms),
            "to": rfc3339(asked.end_ms),
            "by": list(asked.by),
            "rows": rows,
        }


def _order(item: tuple[tuple[int, Key], Cell]) -> tuple[int, list[tuple[str, str]]]:
    (bucket, key), _ = item
    return bucket, [(type(value).__name__, str(value)) for value in key]
