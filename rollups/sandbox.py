"""Runs one SELECT in a process of its own, which `rollups.query` starts, feeds and ends.

DuckDB's memory limit does not hold for every function, and not every function heeds an interrupt; a process that is
limited from outside and can be killed does. It gets no settings and no secrets, and its DuckDB opens no file, loads no
extension and changes no setting.

Each message is a line of JSON: in, the statement and the empty tables; out, which tables and columns it reads and from
when to when; in, their rows, each part followed by its columns as JSON arrays; out, the answer. `{"error": text}` may
come at any time.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

import duckdb

_FETCHED = 1_000
# A condition on the time of a table's rows, as a scan in the plan shows it. The planner has evaluated it and moved it here.
_CLAUSE = r"\(*(?:optional: )?\(*bucket (>=|>|<=|<|=|!=) '([^']*)'::TIMESTAMP WITH TIME ZONE\)*"
_CLAUSES = re.compile(rf"{_CLAUSE}(?: AND {_CLAUSE})*")
_NOW = ("now", "current_timestamp", "get_current_timestamp", "transaction_timestamp")
_TODAY = ("today", "current_date")
_EXPLAIN = "EXPLAIN (FORMAT json)\n"


class _Scan(NamedTuple):
    """What is read of a table: columns, and the rows from `low` to `high` in ms (None: no bound)."""

    low: int | None
    high: int | None
    columns: frozenset[str]

    def with_(self, other: _Scan) -> _Scan:
        low = None if self.low is None or other.low is None else min(self.low, other.low)
        high = None if self.high is None or other.high is None else max(self.high, other.high)
        return _Scan(low, high, self.columns | other.columns)


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
        scans = _scans(database, task["sql"], task["tables"])
        answer({"scans": {name: [one.low, one.high, sorted(one.columns)] for name, one in scans.items()}})
        while (part := json.loads(source.readline()))["table"]:
            _insert(database, part, dict(task["tables"][part["table"]]), source)
        for name, one in _scans(database, task["sql"], task["tables"]).items():
            if not one.columns <= scans[name].columns:
                raise _Refused(f"the plan changed while {name} was read: ask again")
        answer(_answer(database, task["sql"], task["rows"], task["answer_bytes"]))
    except _Refused as refused:
        answer({"error": str(refused)})
    except (MemoryError, duckdb.OutOfMemoryException):
        answer({"error": f"the query needs more than {task['memory']} of memory: ask for less time or fewer columns"})
    except (duckdb.Error, ValueError, OverflowError) as error:
        answer({"error": _told(error, task["tables"])[:2_000]})


def _told(error: Exception, tables: Mapping[str, object]) -> str:
    """What DuckDB says, without advice that cannot be followed here."""
    text = str(error) or type(error).__name__
    missing = re.search(r"Table with name (\S+) does not exist", text)
    if missing is not None:
        of_it = [name for name in tables if name.rpartition("_")[0] == missing[1].lower()]
        if of_it:
            return f"there is no table {missing[1]}: did you mean {', '.join(of_it[:-1])} or {of_it[-1]}?"
    if isinstance(error, duckdb.PermissionException):
        return f"only the rollup tables can be read: {text}"
    if "extension" in text and "INSTALL" in text:
        return f"no extension can be loaded: {text.partition(chr(10))[0]}"
    text = text.partition(' Use "SET')[0].partition("\nUse SET")[0]
    return re.sub(r"^LINE (\d+): ", lambda line: f"LINE {int(line[1]) - 1 or 1}: ", text, flags=re.MULTILINE)


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
        if any(one.type == duckdb.StatementType.MULTI for one in statements):
            raise _Refused("PIVOT needs to be told its values: PIVOT … ON outcome IN ('succeeded', 'failed') USING …")
        found = " and ".join(str(one.type).rpartition(".")[2] for one in statements[:3]) or "nothing"
        raise _Refused(f"expected one SELECT statement, got {found}")


# --- what it reads ----------------------------------------------------------------------------------------------------


def _scans(
    database: duckdb.DuckDBPyConnection, sql: str, tables: Mapping[str, Sequence[Sequence[str]]]
) -> dict[str, _Scan]:
    """All that the plan reads, as narrow as its conditions and its columns say."""
    scans: dict[str, _Scan] = {}
    for _, text in database.execute(_EXPLAIN + sql).fetchall():
        for name, more in _walk(json.loads(text)):
            if name in tables:
                found = _scan(more, [column for column, _ in tables[name]])
                scans[name] = scans[name].with_(found) if name in scans else found
    for name in _named(database, sql, tables):
        if name in tables and name not in scans:  # planned away, as long as it is empty
            scans[name] = _Scan(None, None, frozenset(column for column, _ in tables[name]))
    return scans


def _named(database: duckdb.DuckDBPyConnection, sql: str, tables: Iterable[str]) -> set[str]:
    """The tables that a statement names, perhaps some more."""
    try:
        return {name.lower() for name in database.get_table_names(sql)}
    except duckdb.BinderException:  # COLUMNS('…') looks for columns, and here there are none
        return {name for name in tables if name in sql.lower()}


def _walk(nodes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for node in nodes:
        more = node.get("extra_info", {})
        table = more.get("Table")
        if isinstance(table, str):
            yield table.rpartition(".")[2].strip('"'), more
        yield from _walk(node.get("children", []))


def _scan(more: Mapping[str, Any], columns: Sequence[str]) -> _Scan:
    filters = more.get("Filters", [])
    told = json.dumps({name: value for name, value in more.items() if name != "Table"})
    # A column whose name stands in it for another reason is one too many, which does no harm.
    return _Scan(
        *_span([filters] if isinstance(filters, str) else filters), frozenset(one for one in columns if one in told)
    )


def _span(filters: Sequence[str]) -> tuple[int | None, int | None]:
    low: int | None = None
    high: int | None = None
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
    database: duckdb.DuckDBPyConnection, part: Mapping[str, Any], kinds: Mapping[str, str], source: BinaryIO
) -> None:
    """Reading JSON is several times faster than binding values one by one."""
    values = []
    for name in part["columns"]:
        held = "BIGINT" if name == "bucket" else kinds[name]
        value = f"unnest(from_json(?, '[\"{held}\"]'))"
        values.append(f"make_timestamptz({value} * 1000)" if name == "bucket" else value)
    given = [source.read(length).decode() for length in part["lengths"]]
    listed = ", ".join(f'"{name}"' for name in part["columns"])
    database.execute(f'INSERT INTO "{part["table"]}" ({listed}) SELECT {", ".join(values)}', given)


def _answer(database: duckdb.DuckDBPyConnection, sql: str, most: int, most_bytes: int) -> dict[str, Any]:
    database.execute("BEGIN TRANSACTION READ ONLY")  # a SELECT may have an INSERT in its WITH
    result = database.execute(sql)
    columns = [(str(column[0]), str(column[1])) for column in result.description or ()]
    rows: list[list[Any]] = []
    size = 0
    while some := result.fetchmany(_FETCHED):
        for row in some:
            rows.append([_plain(value) for value in row])
            size += sum(len(value) if isinstance(value, str) else len(str(value)) for value in rows[-1])
            if size > most_bytes:
                raise _Refused(
                    f"the answer is longer than {most_bytes / 1e6:g} MB: add a LIMIT, or ask for fewer columns"
                )
        if len(rows) > most:
            raise _Refused(f"the answer has more than {most} rows: add a LIMIT, or group it")
    return {"columns": columns, "rows": rows}


def _plain(value: Any) -> Any:
    """As JSON has it: times in RFC 3339 UTC, intervals in seconds, bytes in hex, NaN and infinity (of times too) as null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        if value.replace(tzinfo=None) in (datetime.max, datetime.min):
            return None
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
