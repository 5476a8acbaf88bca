"""`tillwatch test-alerts`: a marked message through every channel, and what came of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.terminal import FAILED, USAGE, fail, note, out, print_json

if TYPE_CHECKING:
    from notifier.people.directory import Directory
    from notifier.trial import Trial
    from runtime.settings import Settings


def test_alerts(team: str | None, channel: str | None, as_json: bool) -> int:
    """Sends, and prints what came of each; 1 unless every channel took what it was given."""
    from cli.oncall import directory_of
    from notifier.channels.registry import ChannelsError
    from notifier.people.directory import DirectoryError
    from runtime.settings import load_settings
    from runtime.suggest import nearest, quoted

    settings = load_settings()
    directory = directory_of(settings)
    if team is not None and team not in directory.teams:
        near = nearest(team, directory.teams)
        hint = f" (did you mean {near}?)" if near else ""
        fail(f"no team {quoted(team)}; there are {', '.join(directory.teams)}{hint}", USAGE)
    try:
        trials = asyncio.run(_run(settings, directory, team, channel))
    except (DirectoryError, ChannelsError) as error:
        fail(str(error), USAGE)
    except KeyError:
        fail(f"no channel {quoted(channel or '')}: teams.toml has none, and nobody on call has a contact for it", USAGE)
    if as_json:
        print_json([_as_json(one) for one in trials])
    else:
        _show(trials)
    failed = [one for one in trials if not one.delivered]
    if not as_json:
        what = "message was" if len(trials) == 1 else "messages were"
        note(f"{len(trials) - len(failed)} of {len(trials)} {what} taken", style="red" if failed else "green")
    return FAILED if failed else 0


async def _run(settings: Settings, directory: Directory, team: str | None, channel: str | None) -> list[Trial]:
    from notifier.channels.settings import Around
    from notifier.trial import run

    said = {} if settings.teams is None else {name: directory.channel(name) for name in directory.channels}
    around = Around(outbox=settings.data / "outbox", clock=installation.clock(settings))
    return await run(directory, said, around, team, channel)


def _as_json(one: Trial) -> dict[str, Any]:
    last = one.last
    at = None if last is None else datetime.fromtimestamp(last.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "channel": one.channel,
        "recipient": one.recipient or None,
        "address": last.address if last is not None else None,
        "delivered": one.delivered,
        "result": last.result if last is not None else "no_channel" if one.recipient else "no_address",
        "detail": _detail(one),
        "receipt": None if last is None else last.receipt,
        "at": None if at is None else at.replace("+00:00", "Z"),
        "took_ms": None if last is None else last.took_ms,
    }


def _detail(one: Trial) -> str:
    if one.last is not None:
        return one.last.detail
    return (
        "teams.toml has no such channel"
        if one.recipient
        else "nobody on call has an address for it, nor has it its own"
    )


def _show(trials: list[Trial]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("channel", "recipient", "address", "result"):
        table.add_column(name, overflow="fold")
    table.add_column("receipt", no_wrap=True, max_width=24)  # the whole of it is in the JSON
    table.add_column("took", no_wrap=True)
    table.add_column("", overflow="fold")
    for one in trials:
        told = _as_json(one)
        took = "" if told["took_ms"] is None else f"{told['took_ms']} ms"
        cells = (told["channel"], told["recipient"] or "", told["address"] or "")
        table.add_row(
            *map(Text, cells),
            Text(told["result"], style="green" if one.delivered else "bold red"),
            *map(Text, (told["receipt"] or "", took, told["detail"])),
        )
    out().print(table)
