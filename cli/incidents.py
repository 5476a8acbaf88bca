"""`tillwatch incidents`: what is kept of them, and commands to the notifier."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cli import installation
from cli.terminal import FAILED, fail, note, out, print_json, say

if TYPE_CHECKING:
    from notifier.store import Counter
    from schemas.incident import Answer, Command, Incident

T = TypeVar("T")

ANSWER_WITHIN_S = 10.0
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def show_all(everything: bool, as_json: bool) -> None:
    """Prints the open incidents, or all that are kept."""
    from schemas.severity import SEVERITIES

    found = [one for one in asked(lambda counter: counter.all())[0] if everything or one.open]
    order = list(SEVERITIES)
    found.sort(key=lambda one: (not one.open, order.index(one.severity), one.number))
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    if not found:
        say("no incidents" if everything else "no open incidents", style="green")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("#", "level", "status", "since", "who", "alerts", "what"):
        table.add_column(name, overflow="fold")
    for one in found:
        told = _as_json(one)
        who = one.assignee or (f"asked: {one.rung}" if one.rung else "nobody is asked")
        cells = (f"#{one.number}", told["level"], one.status, told["since"], who, str(told["alerts"]), one.title)
        table.add_row(*(Text(cell) for cell in cells), style=_STYLES[one.severity] if one.open else "dim")
    out().print(table)


def show(wanted: str, as_json: bool) -> None:
    """Prints one incident."""
    from notifier.desk import Refused, found_among

    incidents = asked(lambda counter: counter.all())[0]
    try:
        one = found_among(incidents, wanted)
    except Refused as error:
        fail(str(error))
    told = _as_json(one, whole=True)
    if as_json:
        print_json(told)
        return
    say(f"#{one.number} {told['level']} {one.title}", style=_STYLES[one.severity])
    say(f"{one.status} since {told['since']}, team {one.team}" + (f", {one.assignee} has it" if one.assignee else ""))
    for name in ("component", "provider", "host"):
        if one.affected(name):
            say(f"{name}: {', '.join(one.affected(name))}")
    if told["impact"]:
        say(f"impact: {told['impact']['failed_payments']} failed payments, at risk {told['impact']['amounts']}")
    if one.runbook:
        say(f"runbook: {one.runbook}")
    _section("Before it", [f"{item['at']}  {item['kind']} {item['component']} {item['text']}" for item in told["changes"]])
    _section("Alerts", [_alert(item) for item in told["members"]] + _more(one.members_more, "alert"))
    entries = [f"{item['at']}  {item['text']}" for item in told["timeline"]]
    _section("Timeline", entries + _more(one.timeline_more, "entry", "entries"))


def _more(count: int, what: str, many: str | None = None) -> list[str]:
    from cli.terminal import counted

    return [f"({counted(count, what, many)} more were counted and not kept)"] if count else []


def _alert(item: dict[str, Any]) -> str:
    group = ", ".join(f"{name}={value}" for name, value in item["group"].items())
    state = "goes on" if item["active"] else "over"
    return f"{item['severity']:8}  {state:7}  {item['rule']}" + (f" [{group}]" if group else "") + f"  {item['summary']}"


def _section(title: str, lines: Sequence[str]) -> None:
    if lines:
        say(title, style="bold")
        for line in lines:
            say(f"  {line}")


def _as_json(one: Incident, *, whole: bool = False) -> dict[str, Any]:
    """As the lifecycle event tells it; `whole`: with its alerts, the changes before it and its timeline."""
    from schemas.incident import incident_event
    from schemas.time import rfc3339

    data = incident_event("", "noted", one, one.timeline if whole else ()).data
    told: dict[str, Any] = data.model_dump(mode="json")
    entries = told.pop("entries")
    if whole:
        told["timeline"] = entries
        told["changes"] = [
            {"at": rfc3339(change.at_ms), "kind": change.kind, "component": change.component, "text": change.text}
            for change in one.changes
        ]
        told["members"] = [
            {
                "rule": member.rule,
                "pack": member.pack,
                "severity": member.severity,
                "active": member.active,
                "pages": member.loud,
                "group": member.group,
                "summary": member.summary,
                "arithmetic": member.arithmetic,
            }
            for member in one.members
        ]
    return told


def tell(kind: str, incident: str, text: str, by: str | None, as_json: bool, **more: Any) -> int:
    """Hands a command in, and prints what came of it. more: what else the command says."""
    from schemas.incident import Command

    return handed_in(Command(new_id(), kind, by or author(), incident, text, **more), as_json)  # type: ignore[arg-type]


def handed_in(command: Command, as_json: bool) -> int:
    """Hands a command in, waits for the answer and prints it; 1 where it was not done."""
    answer = asked(lambda counter: counter.send(command, ANSWER_WITHIN_S))
    return answered(answer, as_json)


def answered(answer: Answer | None, as_json: bool) -> int:
    """Prints what came of a command."""
    if answer is None:
        text = f"no notifier answered within {ANSWER_WITHIN_S:g} s; it is done once one runs ('tillwatch notifier')"
        if as_json:
            print_json({"done": False, "text": text, "id": None})
        note(text, style="yellow")
        return FAILED
    if as_json:
        print_json({"done": answer.done, "text": answer.text, "id": answer.id})
        return 0 if answer.done else FAILED
    if not answer.done:
        fail(answer.text)
    say(answer.text, style="green")
    return 0


def asked(ask: Callable[[Counter], Awaitable[T]]) -> T:
    """What is answered at the counter of the installation."""
    return asyncio.run(_asked(ask))


async def _asked(ask: Callable[[Counter], Awaitable[T]]) -> T:
    from notifier.store import Counter
    from runtime.redis import connect

    settings = installation.settings()
    redis = connect(settings)
    try:
        return await ask(Counter(redis, settings.names))
    finally:
        await redis.aclose()


def author() -> str:
    """Who sits here."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def new_id() -> str:
    return secrets.token_hex(32)
