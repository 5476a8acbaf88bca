"""`tillwatch query`: SQL over the rollup tables."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from typing import TYPE_CHECKING

from cli import installation
from cli.errors import explained
from cli.terminal import USAGE, fail, note, out, print_json

if TYPE_CHECKING:
    from rollups.query import Answer


def query(sql: str, *, as_json: bool, as_csv: bool) -> int:
    """Prints the answer. Any error, also that of a server, ends with 2."""
    from rollups.query import QueryError

    if as_json and as_csv:
        fail("--json or --csv, not both", USAGE)
    try:
        answer = asyncio.run(_ask(sql))
    except QueryError as error:
        fail(str(error), USAGE)
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        fail(told[0], USAGE)
    if as_json:
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
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.name for column in answer.columns])
    for row in answer.rows:
        writer.writerow(["" if value is None else _text(value) for value in row])
    sys.stdout.flush()


def _table(answer: Answer) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    numbers = [any(isinstance(row[at], int | float) for row in answer.rows) for at in range(len(answer.columns))]
    for column, number in zip(answer.columns, numbers, strict=True):
        table.add_column(Text(column.name), justify="right" if number else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text("") if value is None else Text(_text(value)) for value in row))
    out().print(table)
    note(f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'}", style="dim")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
