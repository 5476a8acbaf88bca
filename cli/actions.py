"""`tillwatch actions`: the file, and what is kept of the calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.incidents import asked
from cli.terminal import FAILED, USAGE, counted, fail, note, out, print_json, say

if TYPE_CHECKING:
    from notifier.actions.registered import Registered
    from runtime.settings import Settings
    from schemas.incident import Action, Incident

_STYLES = {"waiting": "bold yellow", "approved": "yellow", "running": "yellow", "done": "green"}
_QUIET = frozenset({"skipped", "refused", "withdrawn"})


def show_all(as_json: bool) -> None:
    """Prints the registered actions, each with its latest call."""
    found = _registered()
    calls = _calls()
    rows = [_as_json(one, calls.get(one.name, [])[:1]) for one in found.values()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("no actions are registered")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("action", "calls", "when", "approval", "latest"):
        table.add_column(name, overflow="fold")
    for row in rows:
        latest = next(iter(row["calls"]), None)
        cells = (row["name"], row["target"], row["when"], row["approval"] + (", dry run" if row["dry_run"] else ""))
        told = Text("never") if latest is None else Text(_call(latest), style=_style(latest["state"]))
        table.add_row(*(Text(cell) for cell in cells), told)
    out().print(table)


def show(name: str, as_json: bool) -> None:
    """Prints one action, with its latest calls."""
    from runtime.suggest import nearest, quoted

    found = _registered()
    if name not in found:
        near = nearest(name, found)
        hint = f" (did you mean {near}?)" if near else ""
        fail(f"no action {quoted(name)} is registered{hint}")
    told = _as_json(found[name], _calls().get(name, []))
    if as_json:
        print_json(told)
        return
    say(name, style="bold")
    say(f"calls {told['target']}" + (" (dry run: nothing is called)" if told["dry_run"] else ""))
    say(f"when {told['when']}")
    approval = f", approval by a responder within {told['approval_within_s']:g} s" if told["approval"] != "none" else ""
    say(f"time limit {told['time_limit_s']:g} s, cool-down {told['cool_down_s']:g} s{approval}")
    for call in told["calls"]:
        say(f"  {_call(call)}" + (f": {call['detail']}" if call["detail"] else ""), style=_style(call["state"]))


def check(file: Path | None) -> int:
    """Prints what is wrong with a file, and on stderr what may be."""
    from notifier.actions.book import load
    from notifier.people.directory import DirectoryError
    from runtime.settings import load_settings

    settings = load_settings()
    path = file or settings.actions
    if path is None:
        fail("which file? Name one, or set TILLWATCH_ACTIONS", USAGE)
    try:
        found = load(path, None)
    except DirectoryError as error:
        for fault in error.faults:
            say(str(fault))
        note(counted(len(error.faults), "error"), style="red")
        return FAILED
    for remark in (*_absent(path), *_remarks(found, settings)):
        note(remark, style="yellow")
    note(f"{counted(len(found), 'action')}, no errors", style="green")
    return 0


def _absent(path: Path) -> Iterator[str]:
    """Secrets that cannot be had here."""
    from notifier.actions.book import load
    from notifier.people.directory import DirectoryError

    try:
        load(path)
    except DirectoryError as error:
        yield from (f"here, {fault.where}: {fault.text}" for fault in error.faults)


def _remarks(found: Mapping[str, Registered], settings: Settings) -> Iterator[str]:
    """What is no error, and yet may not be meant."""
    from fnmatch import fnmatchcase

    from rules.loader import Unreadable, load
    from runtime.suggest import nearest

    try:
        rules = load(None if settings.rules is None else [settings.rules], settings.bucket_ms).rules
    except Unreadable as error:
        yield f"its rules could not be looked at: {error}"
        rules = ()
    names = [name for rule in rules for name in (rule.name, f"{rule.pack}/{rule.name}")]
    for one in found.values():
        for pattern in dict.fromkeys(pattern for on in one.on for pattern in on.rules):
            if names and not any(fnmatchcase(name, pattern) for name in names):
                near = nearest(pattern, names)
                hint = f" (did you mean {near}?)" if near else ""
                yield f"actions.{one.name}.on.rules: no rule in force is called {pattern}{hint}"
        if one.command and not os.access(one.command[0], os.X_OK):
            yield f"actions.{one.name}.command: here, {one.command[0]} is no program that can be run"
        if one.webhook and one.webhook.startswith("http://") and not one.allow:
            yield f"actions.{one.name}.webhook: a public address must be of https, and no private network is allowed"


# --- what is kept -----------------------------------------------------------------------------------------------------


def _registered() -> Mapping[str, Registered]:
    """The actions of the file. What is wrong with it ends the command."""
    from notifier.actions.book import load
    from notifier.people.directory import DirectoryError

    path = installation.settings().actions
    if path is None:
        fail("TILLWATCH_ACTIONS is not set: no actions are registered", USAGE)
    try:
        return load(path, None)
    except DirectoryError as error:
        fail(str(error), USAGE)


def _calls() -> dict[str, list[tuple[Incident, Action]]]:
    """The calls that are kept, by action, the latest first."""
    found: dict[str, list[tuple[Incident, Action]]] = {}
    incidents = asked(lambda counter: counter.all())[0]
    pairs = [(one, call) for one in incidents for call in one.actions]
    for one, call in sorted(pairs, key=lambda pair: pair[1].planned_ms, reverse=True):
        found.setdefault(call.name, []).append((one, call))
    return found


def _as_json(one: Registered, calls: list[tuple[Incident, Action]]) -> dict[str, Any]:
    from notifier.actions.registered import described
    from notifier.channels.base import masked_address
    from schemas.time import rfc3339

    return {
        "name": one.name,
        "means": one.means,
        "target": " ".join(one.command) if one.webhook is None else masked_address(one.webhook or "https://***"),
        "when": described(one.on),
        "approval": "responder" if one.approval else "none",
        "approval_within_s": one.approval_within_s,
        "dry_run": one.dry_run,
        "time_limit_s": one.time_limit_s,
        "cool_down_s": one.cool_down_s,
        "calls": [
            {
                "incident": incident.id,
                "number": incident.number,
                "key": call.key,
                "state": call.state,
                "at": rfc3339(call.at_ms),
                "why": call.why,
                "by": call.by,
                "dry_run": call.trial,
                "detail": call.detail,
            }
            for incident, call in calls
        ],
    }


def _call(call: Mapping[str, Any]) -> str:
    by = f" by {call['by']}" if call["by"] else ""
    dry = " (dry run)" if call["dry_run"] else ""
    return f"{call['at']}  #{call['number']} {call['state'].replace('_', ' ')}{by}{dry}"


def _style(state: str) -> str:
    return "" if state in _QUIET else _STYLES.get(state, "red")
