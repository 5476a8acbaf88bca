"""`tillwatch tail alerts`: alert events as they are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from cli import installation
from cli.records import follow
from cli.terminal import note, out, print_json

_STYLES = {"firing": "bold red", "updated": "yellow", "resolved": "green", "no_data": "magenta", "retracted": "dim"}


def alerts(*, from_start: bool, as_json: bool, count: int | None, seconds: float | None) -> None:
    """Prints alerts until `count` are seen, the time is up, or Ctrl-C."""
    try:
        asyncio.run(_alerts(from_start, as_json, count, seconds))
    except KeyboardInterrupt:
        return


async def _alerts(from_start: bool, as_json: bool, count: int | None, seconds: float | None) -> None:
    settings = installation.settings()
    seen = 0
    names: dict[str, str] = {}
    """Fingerprint → rule, of the alerts that were seen."""
    if count is not None and count <= 0:
        return
    async with aclosing(follow(settings, settings.names.alerts, from_start=from_start, seconds=seconds)) as records:  # type: ignore[type-var]
        async for record in records:
            event = _event(record.value)
            if event is None:
                note(f"offset {record.offset} of {record.topic} is no alert; left out", style="yellow")
                continue
            if as_json:
                print_json(event, indent=None)
            else:
                _show(event, names)
            seen += 1
            if seen == count:
                return


def _event(value: bytes | None) -> dict[str, Any] | None:
    """The alert event, None where it is none."""
    try:
        found = json.loads(value or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("data"), dict) else None


def _show(event: Mapping[str, Any], names: dict[str, str]) -> None:
    from rich.text import Text

    data = event["data"]
    transition = str(event.get("type", "")).rsplit(".", 1)[-1]
    group = ", ".join(f"{name}={value}" for name, value in (data.get("group") or {}).items())
    marks = [word for word in ("late", "historical", "flapping") if data.get(word)]
    names[str(data.get("fingerprint"))] = str(data.get("rule"))
    inhibitor = data.get("inhibited_by")
    if inhibitor:
        marks.append(f"pages nobody: {names.get(inhibitor, str(inhibitor)[:12])} says it already")
    line = Text(no_wrap=False)
    line.append(str(event.get("time", "")), style="dim")
    line.append(f"  {transition:9} ", style=_STYLES.get(transition, ""))
    line.append(f"{data.get('level', '')} {data.get('rule', '')}", style="bold")
    if group:
        line.append(f" [{group}]")
    line.append(f"  {data.get('summary', '')}")
    if marks:
        line.append(f"  ({', '.join(marks)})", style="dim")
    out().print(line, soft_wrap=True)
