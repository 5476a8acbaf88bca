"""`tillwatch report`, `metrics` and `payment`: how things were, and how they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

payment = typer.Typer(no_args_is_help=True, help="The payment integration: what it needs, and where to look at it.")

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Text = Annotated[bool, typer.Option("--text", help="Plain text, also into a file.")]
Day = Annotated[
    str | None,
    typer.Option("--date", metavar="DAY", help="A day in it (2026-11-29); the last that is over.", show_default=False),
]
To = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write it here, as a page; - for stdout.", show_default=False),
]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="daily, weekly or monthly.", show_default=False)]


def report(kind: Kind, day: Day = None, to: To = None, as_json: Json = False, as_text: Text = False) -> None:
    """Tell what a day, a week or a month was like: payments against their targets, incidents, noisy rules, what to review.

    As text on stdout; with -o as an HTML page, which needs nothing else. Days are those of the organisation's zone.
    """
    from cli.report import report as run

    raise typer.Exit(run(kind, day, to, as_json=as_json, as_text=as_text))


def metrics(
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="This signal; may be given several times. All unless said.", show_default=False),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every 2 s, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Tell what each signal is now: its value, its target, how the rules stand that compare it, and how old the data are."""
    from cli.signals import metrics as run

    raise typer.Exit(run(signal or [], watch, as_json))


@payment.command("enable", epilog="Example: tillwatch payment enable")
def payment_enable(as_json: Json = False) -> None:
    """Make ready for payments: create the topics, check the rules, and print what to set and a first event to publish.

    Repeat it as often as you like. Exit code 1 when no rule in force looks at payments.
    """
    from cli.payment import enable

    raise typer.Exit(enable(as_json))


@payment.command("dashboard", epilog="Example: tillwatch payment dashboard --open")
def payment_dashboard(show: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False) -> None:
    """Print the address of the Payments page."""
    from cli.payment import dashboard

    raise typer.Exit(dashboard(show))


@payment.command("report", epilog="Example: tillwatch payment report --date 2026-11-29")
def payment_report(
    kind: Annotated[str, typer.Option(metavar="KIND", help="daily, weekly or monthly.")] = "daily",
    day: Day = None,
    to: To = None,
    as_json: Json = False,
    as_text: Text = False,
) -> None:
    """Tell how payments were: the report of the last day that is over, or of another period."""
    from cli.report import report as run

    raise typer.Exit(run(kind, day, to, as_json=as_json, as_text=as_text))
