"""`tillwatch query`: SQL over the rollup tables."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli import installation
from cli.errors import explained
from cli.terminal import USAGE, fail, note, out, print_json

if TYPE_CHECKING:
    from rollups.export import Form
    from rollups.query import Answer


_FORMS: dict[str, Form] = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


def query(sql: str, *, as_json: bool, as_csv: bool, file: Path | None = None) -> int:
    """Prints the answer, or writes it to a file. Any error, also that of a server, ends with 2."""
    from rollups.query import QueryError

    if as_json + as_csv + (file is not None) > 1:
        fail("one of --json, --csv and --out, not several", USAGE)
    if file is not None and file.suffix not in _FORMS:
        fail(f"--out {file}: its name says what it becomes: one that ends with {', '.join(_FORMS)}", USAGE)
    try:
        answer = asyncio.run(_ask(sql))
    except QueryError as error:
        fail(str(error), USAGE)
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        fail(told[0], USAGE)
    if file is not None:
        _write(answer, file)
    elif as_json:
        print_json(answer.objects())
    elif as_csv:
        _csv(answer)
    else:
        _table(answer)
    return 0


async def _ask(sql: str) -> Answer:
    from rollups.query import query as answer
    from rollups.tables import TableStore
    from runtime.redis import check, connect

    settings = installation.settings()
    redis = connect(settings)
    try:
        await check(redis)
        return await answer(TableStore(redis, settings.names), sql, installation.clock(settings).now())
    finally:
        await redis.aclose()


def _csv(answer: Answer) -> None:
    from rollups.export import exported

    sys.stdout.write(exported(answer, "csv").decode())
    sys.stdout.flush()


def _write(answer: Answer, file: Path) -> None:
    from rollups.export import exported

    try:
        file.write_bytes(exported(answer, _FORMS[file.suffix]))
    except OSError as error:
        fail(f"--out {file}: {error.strerror}", USAGE)
    note(f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'} in {file}", style="dim")


def _table(answer: Answer) -> None:
    from rich.table import Table
    from rich.text import Text

    from rollups.export import as_text

    table = Table(box=None, pad_edge=False)
    numbers = [any(isinstance(row[at], int | float) for row in answer.rows) for at in range(len(answer.columns))]
    for column, number in zip(answer.columns, numbers, strict=True):
        table.add_column(Text(column.name), justify="right" if number else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text("") if value is None else Text(as_text(value)) for value in row))
    out().print(table)
    note(f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'}", style="dim")
