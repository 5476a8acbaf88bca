"""Who may do what at the console: accounts, tokens, links and the audit log, for whoever can reach the store."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from cli import installation
from cli.duration import seconds
from cli.incidents import author
from cli.terminal import USAGE, fail, note, out, print_json, say

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from console.who import Role
    from runtime.names import Names

T = TypeVar("T")
_LONGEST_NAME = 64


def link(at: str | None, as_json: bool) -> None:
    """Prints a link that works once."""
    from console.sessions import LINK_S, Sessions
    from console.sessions import link as link_of
    from local.instance import find
    from runtime.clock import WallClock

    settings, who = installation.settings(), author()
    place, local = settings.console, find(settings)
    asked = "console" in settings.model_fields_set and settings.console_port
    if local is not None and local.console is not None and not asked:
        place = local.console
    address = at or settings.console_url or f"http://{place}/"
    if at is None and place.endswith(":0"):
        fail("the console listens at any port that is free: say where with --at", USAGE)

    async def offered(redis: Redis, names: Names) -> str:
        return await Sessions(redis, names, WallClock()).offer(who)

    made = link_of(address, _done(offered, "offer_link", who))
    if as_json:
        print_json({"link": made, "expires_s": LINK_S})
    else:
        say(made)
        note("once, and within 15 minutes; whoever opens it is an admin there")


def audit(count: int, as_json: bool) -> None:
    """Prints the latest entries."""
    from dataclasses import asdict

    from console.audit import Audit, Written

    async def read(redis: Redis, names: Names) -> Sequence[Written]:
        return await Audit(redis, names).latest(count)

    rows = [{"at": one.at, **asdict(one.entry)} for one in _done(read)]
    _show(rows, ("at", "who", "role", "how", "action", "object", "outcome", "origin"), as_json, "nothing was done yet")


# --- accounts ---------------------------------------------------------------------------------------------------------


def add_user(name: str, role: str, file: Path | None) -> None:
    """Makes an account."""
    from console.accounts import Accounts, Passwords, Unfit, fit_name

    wanted = _role(role)
    try:
        fit_name(name)
    except Unfit as error:
        fail(str(error), USAGE)
    kept = Passwords().hash(_password(file))

    async def add(redis: Redis, names: Names) -> bool:
        return await Accounts(redis, names).add(name, wanted, kept, _now_ms())

    if not _done(add, "add_user", f"{name} {wanted}"):
        fail(f"there is an account {name} already: 'tillwatch console users password {name}' changes its password")
    say(f"{name} can sign in as {wanted}")


def list_users(as_json: bool) -> None:
    """Prints the accounts."""
    from console.accounts import Account, Accounts
    from schemas.time import rfc3339

    async def read(redis: Redis, names: Names) -> Sequence[Account]:
        return await Accounts(redis, names).all()

    rows = [{"name": one.name, "role": one.role, "made": rfc3339(one.made_ms)} for one in _done(read)]
    _show(rows, ("name", "role", "made"), as_json, "no accounts")


def set_role(name: str, role: str) -> None:
    """Changes a role."""
    from console.accounts import Accounts

    wanted = _role(role)

    async def change(redis: Redis, names: Names) -> bool:
        return await Accounts(redis, names).change(name, role=wanted) is not None

    _found(_done(change, "change_role", f"{name} {wanted}"), name)
    say(f"{name} is {wanted}; sessions have ended")


def set_password(name: str, file: Path | None) -> None:
    """Changes a password."""
    from console.accounts import Accounts, Passwords

    kept = Passwords().hash(_password(file))

    async def change(redis: Redis, names: Names) -> bool:
        return await Accounts(redis, names).change(name, password=kept) is not None

    _found(_done(change, "change_password", name), name)
    say(f"{name} has another password; sessions have ended")


def remove_user(name: str) -> None:
    """Removes an account."""
    from console.accounts import Accounts

    async def remove(redis: Redis, names: Names) -> bool:
        return await Accounts(redis, names).remove(name)

    _found(_done(remove, "remove_user", name), name)
    say(f"{name} is removed; sessions have ended")


def _found(done: bool, name: str) -> None:
    if not done:
        fail(f"there is no account {name}: 'tillwatch console users list' lists them")


def _password(file: Path | None) -> str:
    """Never from the command line, which everybody on the machine can read."""
    from console.accounts import Unfit, fit_password

    if file is not None:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
        given = text.partition("\n")[0].rstrip("\r")
    elif sys.stdin.isatty():
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        fail("nobody can be asked for the password here: --password-file FILE, or - for stdin", USAGE)
    try:
        return fit_password(given)
    except Unfit as error:
        fail(str(error), USAGE)


# --- tokens -----------------------------------------------------------------------------------------------------------


def add_token(name: str, role: str, expires: str, only: Sequence[str], as_json: bool) -> None:
    """Makes a token, and prints it."""
    from console.tokens import LONGEST_DAYS, Token, Tokens
    from schemas.time import rfc3339

    wanted, lasts_s = _role(role), seconds(expires)
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        fail(f"a name has 1 to {_LONGEST_NAME} characters that can be printed", USAGE)
    if lasts_s > LONGEST_DAYS * 86_400:
        fail(f"--expires {expires}: at most {LONGEST_DAYS}d", USAGE)
    strange = [path for path in only if not path.startswith("/")]
    if strange:
        fail(f"--only {strange[0]}: expected a path such as /metrics", USAGE)
    now_ms = _now_ms()

    async def add(redis: Redis, names: Names) -> tuple[Token, str]:
        return await Tokens(redis, names).add(name, wanted, author(), now_ms, now_ms + int(lasts_s * 1000), only)

    token, text = _done(add, "add_token", f"{name} {wanted}")
    until = rfc3339(token.expires_ms)
    if as_json:
        print_json({"id": token.id, "name": name, "role": wanted, "only": list(only), "expires": until, "token": text})
    else:
        say(text)
        note(f"token {token.id}, {wanted} until {until}: keep it now, nobody can show it again")


def list_tokens(as_json: bool) -> None:
    """Prints the tokens."""
    from console.tokens import Token, Tokens
    from schemas.time import rfc3339

    async def read(redis: Redis, names: Names) -> Sequence[Token]:
        return await Tokens(redis, names).all()

    now_ms = _now_ms()
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "role": one.role,
            "only": list(one.only) if as_json else " ".join(one.only),
            "by": one.by,
            "made": rfc3339(one.made_ms),
            "expires": rfc3339(one.expires_ms),
            "state": "in force" if now_ms < one.expires_ms else "over",
        }
        for one in _done(read)
    ]
    _show(rows, ("id", "name", "role", "only", "by", "made", "expires", "state"), as_json, "no tokens")


def revoke_token(ident: str) -> None:
    """Ends a token."""
    from console.tokens import Tokens

    async def revoke(redis: Redis, names: Names) -> bool:
        return await Tokens(redis, names).revoke(ident)

    if not _done(revoke, "revoke_token", ident):
        fail(f"there is no token {ident}: 'tillwatch console tokens list' lists them")
    say(f"token {ident} is revoked")


# --- what all of them do ----------------------------------------------------------------------------------------------


def _done(work: Callable[[Redis, Names], Awaitable[T]], action: str | None = None, object: str = "") -> T:
    """What is answered at the installation's store; `action`: what it is called in the audit log."""
    return asyncio.run(_audited(work, action, object))


async def _audited(work: Callable[[Redis, Names], Awaitable[T]], action: str | None, object: str) -> T:
    from console.audit import Audit, Entry
    from runtime.redis import connect

    settings = installation.settings()
    redis = connect(settings)
    try:
        found = await work(redis, settings.names)
        if action is not None:
            outcome = "failed" if found is False else "done"
            entry = Entry(author(), "admin", "command", action, object, outcome, "command line")
            await Audit(redis, settings.names).write(entry)
        return found
    finally:
        await redis.aclose()


def _role(text: str) -> Role:
    from console.who import ROLES

    if text not in ROLES:
        fail(f"role {text!r}: expected {', '.join(ROLES)}", USAGE)
    return ROLES[ROLES.index(text)]


def _show(rows: Sequence[dict[str, Any]], names: Sequence[str], as_json: bool, none: str) -> None:
    if as_json:
        print_json(rows)
        return
    if not rows:
        say(none)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(row[name])) for name in names))
    out().print(table)


def _now_ms() -> int:
    return int(time.time() * 1000)
