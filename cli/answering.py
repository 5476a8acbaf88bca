"""`tillwatch incidents`, `silence` and `maintenance`: what a person does at three in the morning."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

incidents = typer.Typer(no_args_is_help=True, help="Incidents: look at them, answer, take notes, resolve.")
silence = typer.Typer(no_args_is_help=True, help="Silences: alerts that page nobody for a while.")
maintenance = typer.Typer(no_args_is_help=True, help="Maintenance windows: planned silences.")

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Which = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its number, or its id.", show_default=False)]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; you unless said.", show_default=False)]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="What to add to the timeline.", show_default=False)]
Matchers = Annotated[
    list[str],
    typer.Argument(metavar="MATCHER...", help="NAME=PATTERN or NAME!=PATTERN; all must hold.", show_default=False),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; whoever is on call wants to know.", show_default=False)
]
For = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 30m or 2h.", show_default=False)]
Ident = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]


class Judged(StrEnum):
    right = "right"
    wrong = "wrong"


class Feels(StrEnum):
    failing = "failing"
    degraded = "degraded"
    ok = "ok"


Over = Annotated[bool, typer.Option("--all", help="Those that are over, too.")]


# --- incidents --------------------------------------------------------------------------------------------------------


@incidents.command("list", epilog="Example: tillwatch incidents list --json")
def list_incidents(
    everything: Over = False,
    as_json: Json = False,
) -> None:
    """List the open incidents, the worst first. Exit code 0 whether or not there are any."""
    from cli.incidents import show_all

    show_all(everything, as_json)


@incidents.command("show", epilog="Example: tillwatch incidents show 41")
def show_incident(incident: Which, as_json: Json = False) -> None:
    """Show one incident: how it stands, its alerts, what changed before, and its timeline."""
    from cli.incidents import show

    show(incident, as_json)


@incidents.command("ack", epilog="Example: tillwatch incidents ack 41")
def ack(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Acknowledge it: you are at work on it, and nobody else is asked."""
    _tell("ack", incident, note, by, as_json)


@incidents.command("investigate", epilog='Example: tillwatch incidents investigate 41 --note "the gateway times out"')
def investigate(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that you are looking for the cause."""
    _tell("investigate", incident, note, by, as_json)


@incidents.command("mitigate", epilog='Example: tillwatch incidents mitigate 41 --note "traffic goes to another provider"')
def mitigate(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that customers no longer feel it. Alerts that begin anew ask again."""
    _tell("mitigate", incident, note, by, as_json)


@incidents.command("assign", epilog="Example: tillwatch incidents assign 41 thandi")
def assign(
    incident: Which,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Whose it is from now on.", show_default=False)],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Give it to somebody."""
    _tell("assign", incident, person, by, as_json)


@incidents.command("note", epilog='Example: tillwatch incidents note 41 "restarted the webhook consumer"')
def add_note(
    incident: Which,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to add to the timeline.", show_default=False)],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Add a note to its timeline."""
    _tell("note", incident, text, by, as_json)


@incidents.command("escalate", epilog='Example: tillwatch incidents escalate 41 --note "needs a database administrator"')
def escalate(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that you cannot solve it: the next level is asked at once."""
    _tell("escalate", incident, note, by, as_json)


@incidents.command("severity", epilog="Example: tillwatch incidents severity 41 high")
def severity(
    incident: Which,
    name: Annotated[
        str, typer.Argument(metavar="SEVERITY", help="critical, high, medium or low; or P0 to P3.", show_default=False)
    ],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Raise or lower its severity, until one of its alerts is worse than all were."""
    _tell("severity", incident, name, by, as_json)


@incidents.command("resolve", epilog="Example: tillwatch incidents resolve 41")
def resolve(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that it is over. What still fires after a while opens it again."""
    _tell("resolve", incident, note, by, as_json)


@incidents.command("reopen", epilog="Example: tillwatch incidents reopen 41")
def reopen(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Open it again; it then stays open until somebody resolves it."""
    _tell("reopen", incident, note, by, as_json)


@incidents.command("review", epilog='Example: tillwatch incidents review 41 --note "post-mortem in the wiki"')
def review(incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that what is resolved was looked back at."""
    _tell("review", incident, note, by, as_json)


@incidents.command("judge", epilog="Example: tillwatch incidents judge 41 wrong --rule payment_alerts/slow_tail")
def judge(
    incident: Which,
    judgement: Annotated[
        Judged, typer.Argument(metavar="JUDGEMENT", help="right: somebody had to see to it; wrong.", show_default=False)
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="PACK/RULE", help="Of this rule alone; may be repeated.", show_default=False),
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Say whether its alerts were right or wrong: accuracy and false positives are counted from it."""
    from cli.incidents import tell

    raise typer.Exit(tell("judge", incident, judgement.value, by, as_json, rules=tuple(rule or ())))


@incidents.command("publish", epilog='Example: tillwatch incidents publish 41 "Cards fail; EFT works." --felt failing')
def publish(
    incident: Which,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="In the words of customers.", show_default=False)],
    felt: Annotated[
        Feels, typer.Option("--felt", metavar="STATE", help="failing, degraded or ok.", show_default=False)
    ],
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="The sentence above all others.", show_default=False)
    ] = "",
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            metavar="NAME",
            help="What is affected, as the page calls it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Tell customers on the public status page."""
    from cli.incidents import tell
    from schemas.incident import Update

    update = Update(text, felt.value, title, tuple(service or ()))
    raise typer.Exit(tell("publish", incident, "", by, as_json, update=update))


def _tell(kind: str, incident: str, text: str, by: str | None, as_json: bool) -> None:
    from cli.incidents import tell

    raise typer.Exit(tell(kind, incident, text, by, as_json))


# --- silences ---------------------------------------------------------------------------------------------------------


@silence.command("add", epilog='Example: tillwatch silence add provider=ozow --for 2h --reason "they know"')
def add_silence(
    matchers: Matchers,
    duration: For,
    reason: Reason,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Silence alerts from now on. What is silenced is recorded, and what is new and still goes on is announced at the end.

    Names of matchers are rule, pack, severity, level, component, provider, host, and what alerts are grouped by. Patterns
    may hold * and ?.
    """
    from cli.silences import add

    raise typer.Exit(add("silence", matchers, None, duration, reason, by, as_json))


@silence.command("list", epilog="Example: tillwatch silence list")
def list_silences(everything: Over = False, as_json: Json = False) -> None:
    """List silences."""
    from cli.silences import show_all

    show_all("silence", everything, as_json)


@silence.command("end", epilog="Example: tillwatch silence end 4f2a90c1")
def end_silence(ident: Ident, by: By = None, as_json: Json = False) -> None:
    """End a silence now."""
    from cli.silences import end

    raise typer.Exit(end(ident, by, as_json))


@maintenance.command(
    "add",
    epilog='Example: tillwatch maintenance add component=db --from "2026-12-01 22:00" --for 2h --reason "upgrade"',
)
def add_maintenance(
    matchers: Matchers,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help='When it begins, such as "2026-12-01 22:00".', show_default=False)
    ],
    duration: For,
    reason: Reason,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Plan a maintenance window. A time without a zone is in that of teams.toml's calendar."""
    from cli.silences import add

    raise typer.Exit(add("maintenance", matchers, start, duration, reason, by, as_json))


@maintenance.command("list", epilog="Example: tillwatch maintenance list --json")
def list_maintenance(everything: Over = False, as_json: Json = False) -> None:
    """List maintenance windows."""
    from cli.silences import show_all

    show_all("maintenance", everything, as_json)


@maintenance.command("end", epilog="Example: tillwatch maintenance end 4f2a90c1")
def end_maintenance(ident: Ident, by: By = None, as_json: Json = False) -> None:
    """End a maintenance window now, or call it off."""
    from cli.silences import end

    raise typer.Exit(end(ident, by, as_json))
