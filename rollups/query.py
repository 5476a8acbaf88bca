"""SQL over the merged tables: DuckDB, reading what a statement names and nothing else.

Tables are `<subject>_10s`, `_1m` and `_1h`, with the columns `bucket` (its start), one for each dimension (NULL where
absent), `count`, and for each measure `_sum`, `_min`, `_max`, `_p50`, `_p95`, `_p99` (NULL where no event carried it;
percentiles also where a measure has no sketch). Measures are in the unit they were declared in. Open buckets are
included. A statement is one SELECT; it runs in `rollups.sandbox`, where nothing else can be reached.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rollups.cells import Cell, Stat
from rollups.sketch import value_of
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
_LINE_BYTES = 512 * 1024**2
_ROWS_AT_ONCE = 20_000
_QUANTILES = (0.5, 0.95, 0.99)
_KINDS = {"text": "VARCHAR", "bool": "BOOLEAN", "int": "BIGINT"}

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Load = Callable[[str, str, int | None, int | None], AsyncIterator[Rows]]
"""(table, resolution, from, to) → its rows, in parts. Times in ms, None: no bound."""


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

    def objects(self) -> list[dict[str, Json]]:
        """One object for each row. Of columns of the same name the second is called name_1, and so on."""
        names: list[str] = []
        for column in self.columns:
            name, number = column.name, 0
            while name in names:
                number += 1
                name = f"{column.name}_{number}"
            names.append(name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]


async def query(store: TableStore, sql: str, now: float | None = None) -> Answer:
    """Answers one SELECT. `now`: the present as epoch seconds, for `now()`; None: the wall clock's.

    Raises QueryError, and what redis raises when it is away.
    """
    return await run(sql, store.chunks, now)


async def run(sql: str, load: Load, now: float | None = None) -> Answer:
    """Answers one SELECT over the rows that `load` gives. Raises QueryError, and what `load` raises."""
    if len(sql) > SQL_MOST:
        raise QueryError(f"the statement is longer than {SQL_MOST} characters")
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
        return await _Conversation(process).hold(sql, load, now)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Conversation:
    """The other side of `rollups.sandbox`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def hold(self, sql: str, load: Load, now: float | None) -> Answer:
        task = {
            "sql": sql,
            "tables": CATALOG,
            "now": now,
            "rows": ROWS_MOST,
            "memory": _MEMORY,
            "address_bytes": _ADDRESS_BYTES,
            "cpu_s": _CPU_S,
        }
        await self._tell(task)
        loaded = 0
        for name, (start, end) in (await self._hear())["scans"].items():
            table, resolution = _parse(name)
            if start is not None:
                start = RESOLUTIONS[resolution].start(start)
            async for rows in load(table.name, resolution, start, end):
                for cells in _parts(rows):
                    loaded += len(cells)
                    if loaded > LOADED_MOST:
                        raise QueryError(
                            f"the query reads more than {LOADED_MOST} rows: ask for less time (where bucket >= …) "
                            "or a coarser table"
                        )
                    await self._hand_in(name, table, cells)
        await self._tell({"table": None})
        answer = await self._hear()
        return Answer([Column(name, kind) for name, kind in answer["columns"]], answer["rows"])

    async def _hand_in(self, name: str, table: Table, cells: Sequence[tuple[int, Key, Cell]]) -> None:
        columns = [msgspec.json.encode(column) for column in columns_of(table, cells)]
        await self._tell({"table": name, "lengths": [len(column) for column in columns]}, *columns)

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
        columns += [(f"{measure.name}_p{round(q * 100)}", "DOUBLE") for q in _QUANTILES]
    return columns


CATALOG = {f"{name}_{resolution}": schema(table) for name, table in TABLES.items() for resolution in RESOLUTIONS}
"""Every table that a statement may name, and its columns."""


def _parse(name: str) -> tuple[Table, str]:
    subject, _, resolution = name.rpartition("_")
    return TABLES[subject], resolution


def _parts(rows: Rows) -> list[list[tuple[int, Key, Cell]]]:
    flat = [(bucket, key, cell) for bucket, cells in rows.items() for key, cell in cells.items()]
    return [flat[first : first + _ROWS_AT_ONCE] for first in range(0, len(flat), _ROWS_AT_ONCE)]


def columns_of(table: Table, cells: Sequence[tuple[int, Key, Cell]]) -> list[Sequence[object]]:
    """The values of each column of `schema`; the bucket in ms."""
    columns: list[Sequence[object]] = [[bucket for bucket, _, _ in cells]]
    columns += [[key[at] for _, key, _ in cells] for at in range(len(table.dimensions))]
    columns.append([cell.count for _, _, cell in cells])
    for at, measure in enumerate(table.measures):
        values = [_values(cell.stats[at] if at < len(cell.stats) else None, measure) for _, _, cell in cells]
        columns += list(zip(*values, strict=True)) if values else [()] * 6
    return columns


def _values(stat: Stat | None, measure: Measure) -> tuple[float | None, ...]:
    if stat is None or stat.low is None or stat.high is None:
        return (None,) * 6
    quantiles = _quantiles(stat) if measure.sketch and stat.bins else (None,) * 3
    if not measure.thousandths:
        return (stat.total, stat.low, stat.high, *quantiles)
    return (
        stat.total / 1000,
        stat.low / 1000,
        stat.high / 1000,
        *(None if one is None else one / 1000 for one in quantiles),
    )


def _quantiles(stat: Stat) -> tuple[float, ...]:
    """As rollups.sketch.quantile, all in one pass."""
    assert stat.bins
    each = iter(sorted(stat.bins.items()))
    last = sum(stat.bins.values()) - 1
    found, seen, number = [], 0, 0
    for q in _QUANTILES:
        while seen <= q * last:
            number, hits = next(each)
            seen += hits
        found.append(value_of(number))
    return tuple(found)
