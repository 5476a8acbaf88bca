"""An answer of SQL as a file: CSV, Parquet, or an Arrow IPC stream, written in memory by Arrow itself."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from rollups.query import Answer, Json
from schemas.time import epoch_ms

Form = Literal["csv", "parquet", "arrow"]
MEDIA_TYPES: dict[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


def exported(answer: Answer, form: Form) -> bytes:
    """The whole answer in this form. Names of columns are told apart as `Answer.objects` does."""
    return _csv(answer) if form == "csv" else _arrow(answer, form)


def _csv(answer: Answer) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.names)
    for row in answer.rows:
        writer.writerow(["" if value is None else as_text(value) for value in row])
    return text.getvalue().encode()


def as_text(value: Json) -> str:
    """A value as a cell of CSV has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _arrow(answer: Answer, form: Form) -> bytes:
    from arro3.core import Array, DataType, Table
    from arro3.io import write_ipc_stream, write_parquet

    # By DuckDB's names of types; what is not among them, and an integer of more than 64 bits, is text.
    kinds: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "BOOLEAN": (DataType.bool, bool),
        "DOUBLE": (DataType.float64, float),
        "FLOAT": (DataType.float64, float),
        **dict.fromkeys(_INTEGERS, (DataType.int64, int)),
        **dict.fromkeys(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"), (DataType.int64, epoch_ms)),
    }
    arrays = []
    for at, column in enumerate(answer.columns):
        values = [row[at] for row in answer.rows]
        kind, convert = kinds.get(column.type, (DataType.utf8, as_text))
        if column.type == "HUGEINT" and _fit(values):
            kind, convert = DataType.int64, int
        array = Array([None if value is None else convert(value) for value in values], kind())
        if convert is epoch_ms:
            array = array.cast(DataType.timestamp("ms", tz="UTC"))
        arrays.append(array)
    if not arrays:
        raise ValueError("an answer without columns is no table")
    table, file = Table.from_arrays(arrays, names=answer.names), io.BytesIO()
    if form == "parquet":
        write_parquet(table, file)
    else:
        write_ipc_stream(table, file)
    return file.getvalue()


def _fit(values: Sequence[Json]) -> bool:
    return all(value is None or (isinstance(value, int) and -(2**63) <= value < 2**63) for value in values)
