"""`tillwatch actions`: what is called automatically, and a person's word on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.answering import By, Json, Note, Which

actions = typer.Typer(no_args_is_help=True, help="Automated actions: look at them, approve, refuse, call by hand.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The action, as actions.toml calls it.", show_default=False)]


@actions.command("list", epilog="Example: tillwatch actions list")
def list_actions(as_json: Json = False) -> None:
    """List the registered actions: what each calls and when, and how its latest call is."""
    from cli.actions import show_all

    show_all(as_json)


@actions.command("show", epilog="Example: tillwatch actions show drain")
def show_action(name: Name, as_json: Json = False) -> None:
    """Show one action, with its latest calls and what came of them."""
    from cli.actions import show

    show(name, as_json)


@actions.command("approve", epilog="Example: tillwatch actions approve drain 41")
def approve(name: Name, incident: Which, by: By = None, as_json: Json = False) -> None:
    """Approve the call of an action that waits for it: it is called at once."""
    _tell("approve", incident, name, by, as_json)


@actions.command("refuse", epilog='Example: tillwatch actions refuse drain 41 --note "the provider is back"')
def refuse(name: Name, incident: Which, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Refuse the call of an action that waits for approval."""
    _tell("refuse", incident, f"{name} {note}", by, as_json)


@actions.command("run", epilog="Example: tillwatch actions run drain 41 --dry-run")
def run(
    name: Name,
    incident: Which,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Note what would be called, and call nothing.")] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Call an action for an incident by hand. Its cool-down holds for people, too, but for a dry run."""
    _tell("try" if dry_run else "run", incident, name, by, as_json)


@actions.command("check", epilog="Example: tillwatch actions check actions.toml")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The file; TILLWATCH_ACTIONS unless said.", show_default=False),
    ] = None,
) -> None:
    """Check actions.toml: every error, as file:line: error: what is wrong. Exit code 1 when there are any."""
    from cli.actions import check as look

    raise typer.Exit(look(file))


def _tell(kind: str, incident: str, text: str, by: str | None, as_json: bool) -> None:
    from cli.incidents import tell

    raise typer.Exit(tell(kind, incident, text, by, as_json))
