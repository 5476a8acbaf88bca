"""Runs one SELECT in a process of its own, which `rollups.query` starts, feeds and ends.

DuckDB's memory limit does not hold for every function, and not every function heeds an interrupt; a process that is
limited from outside and can be killed does. It gets no settings and no secrets, and its DuckDB opens no file, loads no
extension and changes no setting.

Each message is a line of JSON: in, the statement and the empty tables; out, which tables it reads and from when to when;
in, their rows, each part followed by its columns as JSON arrays; out, the answer. `{"error": text}` may come at any time.
"""

import contextlib
import json
import math
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO

import duckdb

_FETCHED = 1_000
# A condition on the time of a table's rows, as a scan in the plan shows it. The planner has evaluated it and moved it here.
_CLAUSE = r"\(*(?:optional: )?\(*bucket (>=|>|<=|<|=|!=) '([^']*)'::TIMESTAMP WITH TIME ZONE\)*"
_CLAUSES = re.compile(rf"{_CLAUSE}(?: AND {_CLAUSE})*")
_NOW = ("now", "current_timestamp", "get_current_timestamp", "transaction_timestamp")
_TODAY = ("today", "current_date")
_NO_TIME: tuple[int | None, int | None] = (None, None)


class _Refused(Exception):
    """The statement cannot be answered; the text says why."""


def main(source: BinaryIO, answers: BinaryIO) -> None:
    """Answers one statement."""

    def answer(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        answers.flush()

    task = json.loads(source.readline())
    _limit(task["address_bytes"], task["cpu_s"])
    try:
        database = _prepared(task)
        _check(database, task["sql"])
        answer({"scans": _scans(database, task["sql"], task["tables"])})
        while (part := json.loads(source.readline()))["table"]:
            _insert(database, part, task["tables"][part["table"]], source)
        answer(_answer(database, task["sql"], task["rows"]))
    except _Refused as refused:
        answer({"error": str(refused)})
    except (MemoryError, duckdb.OutOfMemoryException):
        answer({"error": f"the query needs more than {task['memory']} of memory: ask for less time or fewer columns"})
    except (duckdb.Error, ValueError, OverflowError) as error:
        answer({"error": str(error)[:2_000] or type(error).__name__})


def _limit(address_bytes: int, cpu_s: int) -> None:
    """What holds even if whoever started us is gone, where the system knows it."""
    for kind, most in (
        (resource.RLIMIT_AS, address_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def _prepared(task: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """A database with empty tables in which nothing but these can be reached."""
    database = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": task["memory"],
            "threads": "2",
            "temp_directory": "",
        },
    )
    database.execute("SET TimeZone = 'UTC'")
    for name, columns in task["tables"].items():
        listed = ", ".join(f'"{column}" {kind}' for column, kind in columns)
        database.execute(f'CREATE TABLE "{name}" ({listed})')
    if task["now"] is not None:
        present = datetime.fromtimestamp(task["now"], UTC).isoformat()
        for name in _NOW:
            database.execute(f"CREATE MACRO \"{name}\"() AS TIMESTAMPTZ '{present}'")
        for name in _TODAY:
            database.execute(f"CREATE MACRO \"{name}\"() AS DATE '{present[:10]}'")
    # Else the planner would drop what it knows of empty tables, and the plan would not show what is read.
    database.execute("SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def _check(database: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        found = " and ".join(str(one.type).rpartition(".")[2] for one in statements[:3]) or "nothing"
        raise _Refused(f"expected one SELECT statement, got {found}")


# --- what it reads ----------------------------------------------------------------------------------------------------


def _scans(
    database: duckdb.DuckDBPyConnection, sql: str, tables: Mapping[str, object]
) -> dict[str, tuple[int | None, int | None]]:
    """{table: (from, to)} in ms of all that the plan reads, as narrow as its conditions say; None: no bound."""
    named = database.get_table_names(sql)
    scans: dict[str, tuple[int | None, int | None]] = {}
    for _, text in database.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall():
        for name, low, high in _walk(json.loads(text)):
            if name in scans:
                before = scans[name]
                low = None if low is None or before[0] is None else min(low, before[0])
                high = None if high is None or before[1] is None else max(high, before[1])
            scans[name] = (low, high)
    for name in named:
        scans.setdefault(name.lower(), _NO_TIME)  # planned away, as long as it is empty
    return {name: span for name, span in scans.items() if name in tables}


def _walk(nodes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int | None, int | None]]:
    for node in nodes:
        more = node.get("extra_info", {})
        table = more.get("Table")
        if isinstance(table, str):
            filters = more.get("Filters", [])
            yield (table.rpartition(".")[2].strip('"'), *_span([filters] if isinstance(filters, str) else filters))
        yield from _walk(node.get("children", []))


def _span(filters: Sequence[str]) -> tuple[int | None, int | None]:
    low, high = _NO_TIME
    for text in filters:
        if not _CLAUSES.fullmatch(text):
            continue  # about another column, or not a plain 'and'
        for operator, moment in re.findall(_CLAUSE, text):
            try:
                ms = math.floor(datetime.fromisoformat(moment).timestamp() * 1_000)
            except ValueError:
                continue  # infinity, or beyond the year 9999
            if operator in (">", ">=", "="):
                low = ms if low is None else max(low, ms)
            if operator in ("<", "<=", "="):
                high = ms + 1 if high is None else min(high, ms + 1)
    return low, high


# --- rows in, answer out ----------------------------------------------------------------------------------------------


def _insert(
    database: duckdb.DuckDBPyConnection, part: Mapping[str, Any], columns: Sequence[Sequence[str]], source: BinaryIO
) -> None:
    """Reading JSON is several times faster than binding values one by one."""
    values = []
    for name, kind in columns:
        held = "BIGINT" if name == "bucket" else kind
        value = f"unnest(from_json(?, '[\"{held}\"]'))"
        values.append(f"make_timestamptz({value} * 1000)" if name == "bucket" else value)
    given = [source.read(length).decode() for length in part["lengths"]]
    database.execute(f'INSERT INTO "{part["table"]}" SELECT {", ".join(values)}', given)


def _answer(database: duckdb.DuckDBPyConnection, sql: str, most: int) -> dict[str, Any]:
    result = database.execute(sql)
    columns = [(str(column[0]), str(column[1])) for column in result.description or ()]
    rows: list[list[Any]] = []
    while some := result.fetchmany(_FETCHED):
        rows += [[_plain(value) for value in row] for row in some]
        if len(rows) > most:
            raise _Refused(f"the answer has more than {most} rows: add a LIMIT, or group it")
    return {"columns": columns, "rows": rows}


def _plain(value: Any) -> Any:
    """As JSON has it: times in RFC 3339 UTC, intervals in seconds, bytes in hex, NaN and infinity as null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
