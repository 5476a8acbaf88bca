"""`tillwatch console` and the commands below it: the process, and who may do what there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

console = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="Accounts: who signs in at the console with a password.")
tokens = typer.Typer(no_args_is_help=True, help="API tokens: what programs show to the console.")
console.add_typer(users, name="users")
console.add_typer(tokens, name="tokens")

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the account.", show_default=False)]
RoleOption = Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, responder or admin.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="A file whose first line is the password, - for stdin; asked for unless said.",
        show_default=False,
        allow_dash=True,
    ),
]


@console.callback(invoke_without_command=True, epilog="Example: TILLWATCH_CONSOLE=127.0.0.1:8321 tillwatch console")
def run(
    context: typer.Context,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    json_logs: Annotated[bool, typer.Option("--json-logs", help="One JSON object a log line.")] = False,
) -> None:
    """Serve the pages, the HTTP API, the health endpoints and /metrics.

    Prints the address to open, and the line ready; on a terminal also a link to sign in with. It keeps nothing: any number may
    run. Where others than this machine can ask (TILLWATCH_CONSOLE), it wants a way to sign in: an account, a token or a
    provider. SIGTERM: exits with 0 within 10 s.
    """
    if context.invoked_subcommand is not None:
        return
    from cli.console import console as serve

    serve(log_level, json_logs)


@console.command("link", epilog="Example: tillwatch console link")
def link(
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="ADDRESS", help="Where browsers find the console.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a link that signs you in at the console as an admin: once, and within 15 minutes."""
    from cli.access import link as show

    show(at, as_json)


@console.command("audit", epilog="Example: tillwatch console audit --count 50")
def audit(
    count: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """Tell who did what at the console, the latest first."""
    from cli.access import audit as show

    show(count, as_json)


# --- accounts ---------------------------------------------------------------------------------------------------------


@users.command("add", epilog="Example: tillwatch console users add thandi --role responder")
def add_user(name: Name, role: RoleOption = "viewer", password_file: PasswordFile = None) -> None:
    """Make an account. The password is asked for, and not shown."""
    from cli.access import add_user as add

    add(name, role, password_file)


@users.command("list", epilog="Example: tillwatch console users list")
def list_users(as_json: Json = False) -> None:
    """List the accounts."""
    from cli.access import list_users as show

    show(as_json)


@users.command("role", epilog="Example: tillwatch console users role thandi admin")
def set_role(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, responder or admin.", show_default=False)],
) -> None:
    """Give somebody another role. Their sessions end."""
    from cli.access import set_role as change

    change(name, role)


@users.command("password", epilog="Example: tillwatch console users password thandi")
def set_password(name: Name, password_file: PasswordFile = None) -> None:
    """Give somebody another password. Their sessions end."""
    from cli.access import set_password as change

    change(name, password_file)


@users.command("remove", epilog="Example: tillwatch console users remove thandi")
def remove_user(name: Name) -> None:
    """Take an account away. Its sessions end."""
    from cli.access import remove_user as remove

    remove(name)


# --- tokens -----------------------------------------------------------------------------------------------------------


@tokens.command("add", epilog="Example: tillwatch console tokens add prometheus --only /metrics --expires 90d")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.", show_default=False)],
    role: RoleOption = "viewer",
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it is good, at most 366d.")] = "90d",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="What it opens: paths that begin so; may be given several times. All unless said.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an API token, and show it: this once."""
    from cli.access import add_token as add

    add(name, role, expires, only or [], as_json)


@tokens.command("list", epilog="Example: tillwatch console tokens list")
def list_tokens(as_json: Json = False) -> None:
    """List the API tokens, also those that are over."""
    from cli.access import list_tokens as show

    show(as_json)


@tokens.command("revoke", epilog="Example: tillwatch console tokens revoke 1f09a3c4")
def revoke_token(
    ident: Annotated[str, typer.Argument(metavar="ID", help="Its id, as the list has it.", show_default=False)],
) -> None:
    """End an API token at once."""
    from cli.access import revoke_token as revoke

    revoke(ident)
