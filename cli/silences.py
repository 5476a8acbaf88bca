"""`tillwatch silence` and `maintenance`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.duration import seconds
from cli.incidents import asked, author, handed_in, new_id
from cli.terminal import USAGE, fail, out, print_json, say

if TYPE_CHECKING:
    from runtime.settings import Settings
    from schemas.incident import Silence


def add(
    kind: str, matchers: Iterable[str], start: str | None, duration: str, reason: str, by: str | None, as_json: bool
) -> int:
    """Adds a silence that begins at `start`, now unless said."""
    from notifier.silences import BadSilence, check, matcher
    from schemas.incident import Command, Silence

    settings, lasts_ms = installation.settings(), int(seconds(duration) * 1000)
    now_ms = int(installation.clock(settings).now() * 1000)
    start_ms = now_ms if start is None else _moment(start, settings)
    ident, who = new_id(), by or author()
    try:
        found = tuple(matcher(one) for one in matchers)
        silence = Silence(ident, kind, found, start_ms, start_ms + lasts_ms, who, reason)  # type: ignore[arg-type]
        check(silence, now_ms)
    except BadSilence as error:
        fail(str(error), USAGE)
    return handed_in(Command(ident, "silence", who, silence=silence), as_json)


def end(ident: str, by: str | None, as_json: bool) -> int:
    """Ends a silence."""
    from schemas.incident import Command

    return handed_in(Command(new_id(), "unsilence", by or author(), text=ident), as_json)


def show_all(kind: str, everything: bool, as_json: bool) -> None:
    """Prints those that are planned or active, or all that are kept."""
    found = [
        one for one in asked(lambda counter: counter.all())[1] if one.kind == kind and (everything or one.phase != "over")
    ]
    rows = [_as_json(one) for one in found]
    if as_json:
        print_json(rows)
    elif not rows:
        say("no silences" if kind == "silence" else "no maintenance windows")
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for name in ("id", "phase", "matchers", "start", "end", "author", "reason"):
            table.add_column(name, overflow="fold")
        for row in rows:
            cells = {**row, "id": row["id"][:8], "matchers": " ".join(row["matchers"])}
            table.add_row(*(Text(cells[column.header]) for column in table.columns))  # type: ignore[index]
        out().print(table)


def _as_json(one: Silence) -> dict[str, Any]:
    from schemas.incident import silence_event

    told: dict[str, Any] = silence_event("", "added", one, 0).data.model_dump(mode="json")
    return told | {"phase": one.phase}


def _moment(text: str, settings: Settings) -> int:
    """A time as people write it, in epoch ms."""
    from notifier.people.directory import builtin, load

    zone = (builtin() if settings.teams is None else load(settings.teams)).calendar.zone
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f'--from {text!r}: expected a time such as "2026-12-01 22:00"', USAGE)
    return int((found if found.tzinfo else found.replace(tzinfo=zone)).timestamp() * 1000)
