"""SQL over the merged tables: DuckDB, reading what a statement names and nothing else.

Tables are `<subject>_10s`, `_1m` and `_1h`, with the columns `bucket` (its start), one for each dimension (NULL where
absent), `count`, and for each measure `_sum`, `_min`, `_max`, `_p50`, `_p95`, `_p99` (NULL where no event carried it;
percentiles also where a measure has no sketch). Measures are in the unit they were declared in. Open buckets are
included. A statement is one SELECT; it runs in `rollups.sandbox`, where nothing else can be reached.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rollups.cells import Cell, Stat
from rollups.sketch import Bins, value_of
from rollups.tables import RESOLUTIONS, Rows, TableStore
from schemas.tables import TABLES, Key, Measure, Table

ANSWER_WITHIN_S = 30.0
"""For planning, and again for running; loading is bounded by LOADED_MOST."""
ROWS_MOST = 100_000
"""Rows of an answer; more is an error, since a cut answer looks like a whole one."""
LOADED_MOST = 2_000_000
"""Rows that one statement may read."""
SQL_MOST = 100_000
_MEMORY = "1GB"
_ADDRESS_BYTES = 4 * 1024**3
_CPU_S = 120
ANSWER_BYTES = 64_000_000
"""Characters of an answer's values, about; more is an error too."""
_LINE_BYTES = 512 * 1024**2
_ROWS_AT_ONCE = 20_000
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_QUANTILE = re.compile(rf"_({'|'.join(_QUANTILES)})$")
_EXTREMES = ("sum", "min", "max")
_ABSENT = Stat()
_KINDS = {"text": "VARCHAR", "bool": "BOOLEAN", "int": "BIGINT"}

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Load = Callable[[str, str, int | None, int | None, bool], AsyncIterator[Rows]]
"""(table, resolution, from, to, whether sketches are wanted) → its rows, in parts. Times in ms, None: no bound."""


class QueryError(ValueError):
    """A statement that cannot be answered; the text says why."""


class Column(NamedTuple):
    """A column of an answer and its DuckDB type."""

    name: str
    type: str


class Answer(NamedTuple):
    """Columns, and rows as JSON has them: times in RFC 3339 UTC, NaN as None."""

    columns: list[Column]
    rows: list[list[Json]]

    @property
    def names(self) -> list[str]:
        """The columns' names. Of columns of the same name the second is called name_1, and so on."""
        names: list[str] = []
        for column in self.columns:
            name, number = column.name, 0
            while name in names:
                number += 1
                name = f"{column.name}_{number}"
            names.append(name)
        return names

    def objects(self) -> list[dict[str, Json]]:
        """One object for each row, by `names`."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


async def query(
    store: TableStore, sql: str, now: float | None = None, *, rows: int = ROWS_MOST, answer_bytes: int = ANSWER_BYTES
) -> Answer:
    """Answers one SELECT. `now`: the present as epoch seconds, for `now()`; None: the wall clock's. `rows`, `answer_bytes`: at
    most so many rows, and characters of values.

    Raises QueryError, and what redis raises when it is away.
    """
    return await run(sql, store.chunks, now, rows=rows, answer_bytes=answer_bytes)


async def run(
    sql: str, load: Load, now: float | None = None, *, rows: int = ROWS_MOST, answer_bytes: int = ANSWER_BYTES
) -> Answer:
    """Answers one SELECT over the rows that `load` gives. Raises QueryError, and what `load` raises."""
    if len(sql) > SQL_MOST:
        raise QueryError(f"the statement is longer than {SQL_MOST} characters")
    if not sql.isascii():
        try:
            sql.encode()
        except UnicodeEncodeError:
            raise QueryError("the statement is not Unicode text") from None
    now = time.time() if now is None else now
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(__file__).with_name("sandbox.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
        limit=_LINE_BYTES,
    )
    try:
        return await _Conversation(process).hold(sql, load, now, rows, answer_bytes)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Conversation:
    """The other side of `rollups.sandbox`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def hold(self, sql: str, load: Load, now: float, most: int, most_bytes: int) -> Answer:
        task = {
            "sql": sql,
            "tables": CATALOG,
            "now": now,
            "rows": most,
            "answer_bytes": most_bytes,
            "memory": _MEMORY,
            "address_bytes": _ADDRESS_BYTES,
            "cpu_s": _CPU_S,
        }
        await self._tell(task)
        loaded = 0
        for name, (start, end, wanted) in (await self._hear())["scans"].items():
            table, resolution = _parse(name)
            # Where no column is wanted the rows are counted all the same.
            columns = tuple(column for column, _ in CATALOG[name] if column in wanted) or ("bucket",)
            sketches = any(_QUANTILE.search(column) for column in columns)
            if start is not None:
                start = RESOLUTIONS[resolution].start(start)
            async for rows in load(table.name, resolution, start, end, sketches):
                for cells in _parts(rows):
                    loaded += len(cells)
                    if loaded > LOADED_MOST:
                        raise QueryError(
                            f"the query reads more than {LOADED_MOST} rows: ask for less time (where bucket >= …) "
                            "or a coarser table"
                        )
                    await self._hand_in(name, table, cells, columns)
        await self._tell({"table": None})
        answer = await self._hear()
        return Answer([Column(name, kind) for name, kind in answer["columns"]], answer["rows"])

    async def _hand_in(
        self, name: str, table: Table, cells: Sequence[tuple[int, Key, Cell]], columns: Sequence[str]
    ) -> None:
        values = [msgspec.json.encode(column) for column in columns_of(table, cells, columns)]
        head = {"table": name, "columns": columns, "lengths": [len(value) for value in values]}
        await self._tell(head, *values)

    async def _tell(self, message: dict[str, Any], *parts: bytes) -> None:
        self._in.write(msgspec.json.encode(message) + b"\n")
        for part in parts:
            self._in.write(part)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._in.drain()
        except TimeoutError:
            raise QueryError(_SLOW) from None
        except ConnectionError:
            pass  # it has ended: `_hear` says why

    async def _hear(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                line = await self._out.readline()
        except TimeoutError:
            raise QueryError(_SLOW) from None
        except ValueError:
            raise QueryError(f"the answer is longer than {_LINE_BYTES} bytes") from None
        if not line:
            raise QueryError("the query was ended: it needs more memory or time than a query may have")
        message: dict[str, Any] = msgspec.json.decode(line)
        if "error" in message:
            raise QueryError(message["error"])
        return message


_SLOW = f"the query takes longer than {ANSWER_WITHIN_S:g} s: ask for less time or a coarser table"


# --- tables -----------------------------------------------------------------------------------------------------------


def schema(table: Table) -> list[tuple[str, str]]:
    """The columns of a table and their DuckDB types."""
    columns = [("bucket", "TIMESTAMPTZ")]
    columns += [(name, _KINDS[table.kinds[name]]) for name in table.dimensions]
    columns.append(("count", "BIGINT"))
    for measure in table.measures:
        whole = "DOUBLE" if measure.thousandths else "BIGINT"
        columns.append((f"{measure.name}_sum", "DOUBLE" if measure.thousandths else "HUGEINT"))
        columns += [(f"{measure.name}_min", whole), (f"{measure.name}_max", whole)]
        columns += [(f"{measure.name}_{name}", "DOUBLE") for name in _QUANTILES]
    return columns


CATALOG = {f"{name}_{resolution}": schema(table) for name, table in TABLES.items() for resolution in RESOLUTIONS}
"""Every table that a statement may name, and its columns."""


def _parse(name: str) -> tuple[Table, str]:
    subject, _, resolution = name.rpartition("_")
    return TABLES[subject], resolution


def _parts(rows: Rows) -> list[list[tuple[int, Key, Cell]]]:
    flat = [(bucket, key, cell) for bucket, cells in rows.items() for key, cell in cells.items()]
    return [flat[first : first + _ROWS_AT_ONCE] for first in range(0, len(flat), _ROWS_AT_ONCE)]


def columns_of(table: Table, cells: Sequence[tuple[int, Key, Cell]], wanted: Sequence[str]) -> list[Sequence[object]]:
    """The values of these columns of `schema`; the bucket in ms."""
    held: dict[str, Sequence[object]] = {}
    if "bucket" in wanted:
        held["bucket"] = [bucket for bucket, _, _ in cells]
    if "count" in wanted:
        held["count"] = [cell.count for _, _, cell in cells]
    for at, name in enumerate(table.dimensions):
        if name in wanted:
            held[name] = [key[at] for _, key, _ in cells]
    for at, measure in enumerate(table.measures):
        parts = [part for part in (*_EXTREMES, *_QUANTILES) if f"{measure.name}_{part}" in wanted]
        if parts:
            stats = [cell.stats[at] if at < len(cell.stats) else _ABSENT for _, _, cell in cells]
            held |= _values(stats, measure, parts)
    return [held[name] for name in wanted]


def _values(stats: Sequence[Stat], measure: Measure, parts: Sequence[str]) -> dict[str, list[float | None]]:
    """{column: values}; None of a measure that no event carried."""
    values: dict[str, list[float | None]] = {}
    for part in parts:
        if part == "sum":
            values[part] = [stat.total if stat.n else None for stat in stats]
        elif part == "min":
            values[part] = [stat.low for stat in stats]
        elif part == "max":
            values[part] = [stat.high for stat in stats]
    quantiles = [part for part in parts if part in _QUANTILES]
    if quantiles:
        wanted = [_QUANTILES[part] for part in quantiles]
        found = [
            _quantiles(stat.bins, wanted) if measure.sketch and stat.bins else (None,) * len(wanted) for stat in stats
        ]
        values |= {part: [each[at] for each in found] for at, part in enumerate(quantiles)}
    if measure.thousandths:
        values = {part: [None if one is None else one / 1000 for one in each] for part, each in values.items()}
    return {f"{measure.name}_{part}": each for part, each in values.items()}


def _quantiles(bins: Bins, wanted: Sequence[float]) -> tuple[float, ...]:
    """As rollups.sketch.quantile, several in one pass; `wanted` in their order."""
    each = iter(sorted(bins.items()))
    last = sum(bins.values()) - 1
    found, seen, number = [], 0, 0
    for q in wanted:
        while seen <= q * last:
            number, hits = next(each)
            seen += hits
        found.append(value_of(number))
    return tuple(found)
