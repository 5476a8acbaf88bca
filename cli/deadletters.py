"""`tillwatch deadletters`: what was refused, and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.records import latest
from cli.terminal import out, print_json, say

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

SHOWN_CHARS = 300


def show(count: int, as_json: bool) -> None:
    """Prints the latest dead letters, oldest first."""
    settings = installation.settings()
    letters = [_letter(record) for record in asyncio.run(latest(settings, settings.names.deadletters, count))]
    if as_json:
        print_json(letters)
    elif not letters:
        say("no dead letters")
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for name in ("time", "reason", "detail", "from", "value"):
            table.add_column(name, overflow="fold")
        for one in letters:
            place = f"{one['topic']}[{one['partition']}] at {one['offset']}"
            cells = (one["time"], one["reason"], one["detail"], place, (one["value"] or "")[:SHOWN_CHARS])
            table.add_row(*(Text(str(cell)) for cell in cells))
        out().print(table)


def _letter(record: ConsumerRecord) -> dict[str, Any]:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return {
        "time": headers.get("tw_time"),
        "reason": headers.get("tw_reason"),
        "detail": headers.get("tw_detail"),
        "topic": headers.get("tw_topic"),
        "partition": _number(headers.get("tw_partition")),
        "offset": _number(headers.get("tw_offset")),
        "length": _number(headers.get("tw_length")),
        "key": None if record.key is None else record.key.decode("utf-8", "replace"),
        "value": None if record.value is None else record.value.decode("utf-8", "replace"),
    }


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
