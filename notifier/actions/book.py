"""Reading `actions.toml`: every fault at once, with its line, what was expected, and the nearest known name.

docs/actions.md says how it is written. A secret, or an address that is one, is named there by `x_file` or `x_env`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import SecretStr

from notifier.actions.registered import HEALTHS, PLACEHOLDERS, On, Registered, placeholder
from notifier.channels.base import web_address
from notifier.channels.webhook import key_of
from notifier.people import secrets
from notifier.people.reading import DirectoryError, Fault, Faults, Table, parse, written
from notifier.policy import COOL_DOWN_LONGEST_S
from runtime.settings import duration_s
from runtime.suggest import nearest, quoted
from schemas.incident import STATUSES
from schemas.severity import SEVERITIES

T = TypeVar("T", bound=str)

LARGEST = 256 * 1024
"""Bytes of the file, at most."""
ACTIONS_MOST, ARGUMENTS_MOST, ARGUMENT_CHARS, OUTPUT_MOST = 100, 64, 4_096, 2_000
TIME_LIMIT_LONGEST_S, APPROVAL_LONGEST_S = 900.0, 24 * 3_600.0
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "ash"})
_ON = 'a table such as {rules = ["webhook_lag"]}, {incident = ["triggered"]} or {health = ["unhealthy"]}'
_COMMAND = 'program and arguments such as ["/usr/local/bin/drain", "{provider}"]'
_ADDRESS = "an address that begins with https://"


def load(path: str | os.PathLike[str], environment: Mapping[str, str] | None = os.environ) -> Mapping[str, Registered]:
    """The actions that a file registers, by name. Raises DirectoryError: all that is wrong with it. environment: None for
    whoever only looks, and need not have the secrets: they are empty then."""
    try:
        with Path(path).open("rb") as file:
            content, mode = file.read(LARGEST + 1), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise DirectoryError([Fault(str(path), 0, "", f"cannot be read: {error.strerror}")]) from None
    if mode & stat.S_IWOTH:
        raise DirectoryError([Fault(str(path), 0, "", "anybody here may change it, and with it what is run: chmod o-w")])
    return read(str(path), content, environment)


def read(file: str, content: bytes, environment: Mapping[str, str] | None = os.environ) -> Mapping[str, Registered]:
    """The same of a file's content; `file` says what to call it, and where it lies."""
    held, text = parse(file, content, LARGEST)
    faults = Faults(file)
    top = Table(held, (), faults)
    found = {}
    for name, table in top.tables("actions", "a table such as [actions.drain]"):
        found[name] = _action(name, table, Path(file).parent.absolute(), environment)
    if len(found) > ACTIONS_MOST:
        faults.add(("actions",), f"expected at most {ACTIONS_MOST} actions, got {len(found)}")
    top.end()
    faults.end(text)
    return MappingProxyType(found)


def _action(name: str, table: Table, folder: Path, environment: Mapping[str, str] | None) -> Registered:
    if not _NAME.fullmatch(name):
        table.wrong("", "expected a name of at most 40 letters, digits, '_', '-' and '.'")
    approval = _one_of(table, "approval", ("none", "responder")) or "none"
    within = _duration(table, "approval_within", 900.0, APPROVAL_LONGEST_S)
    if table.has("approval_within") and approval == "none":
        table.wrong("approval_within", 'says nothing without approval = "responder"')
    said = _secrets(table, ("webhook", "secret"), folder, environment)
    webhook, command = said.get("webhook"), _command(table)
    calls = [key for key in ("command", "webhook", "webhook_file", "webhook_env") if table.has(key)]
    if len(calls) != 1:
        table.wrong("", f"expected either command or webhook, got {' and '.join(calls) or 'neither'}")
    one = Registered(
        name=name,
        on=_on(table),
        command=command,
        webhook=None if webhook is None else _address(table, webhook),
        secrets=_keys(table, said.get("secret")),
        allow=_networks(table),
        environment=_variables(table),
        folder=folder,
        approval=approval == "responder",
        approval_within_s=within,
        dry_run=table.value("dry_run", bool, "true or false") or False,
        time_limit_s=_duration(table, "time_limit", 30.0, TIME_LIMIT_LONGEST_S),
        cool_down_s=_duration(table, "cool_down", 300.0, COOL_DOWN_LONGEST_S),
        output=_output(table),
    )
    if command:
        for key in ("secret_file", "secret_env", "allow"):
            if table.has(key):
                table.wrong(key, "is for a webhook: a command has none")
    elif calls and not (table.has("secret_file") or table.has("secret_env") or table.has("secret")):
        table.wrong("secret_file", "is missing; expected a file (or secret_env, a variable) that holds what signs the webhook")
    if webhook is not None and table.has("environment"):
        table.wrong("environment", "is for a command: a webhook has none")
    table.end()
    return one


# --- when -------------------------------------------------------------------------------------------------------------


def _on(table: Table) -> tuple[On, ...]:
    tables = table.entries("on", _ON)
    if not tables:
        table.wrong("on", f"is missing; expected {_ON}")
    return tuple(map(_one_on, tables))


def _one_on(table: Table) -> On:
    said = [key for key in ("rules", "incident", "health") if table.has(key)]
    if len(said) != 1:
        got = " and ".join(said) or "neither"
        table.wrong(said[1] if said else "", f"expected one of rules, incident and health, got {got}: write several tables")
    when = _one_of(table, "when", ("firing", "resolved")) or "firing"
    if table.has("when") and "rules" not in said:
        table.wrong("when", "is about rules, and none are named")
    found = On(
        rules=_texts(table, "rules", 'rules or patterns such as ["webhook_*"]'),
        when=when,  # type: ignore[arg-type]
        incident=_known(table, "incident", STATUSES, "state of an incident"),
        health=_known(table, "health", HEALTHS, "health"),
        severities=_known(table, "severity", SEVERITIES, "severity"),
        components=_texts(table, "components", 'components or patterns such as ["checkout"]'),
    )
    table.end()
    return found


def _texts(table: Table, key: str, expected: str) -> tuple[str, ...]:
    if not table.has(key):
        return ()
    found = table.texts(key, expected)
    if not found:
        table.wrong(key, f"expected {expected}, got an empty list")
    return found


def _known(table: Table, key: str, known: Collection[T], what: str) -> frozenset[T]:
    found = _texts(table, key, f'names such as ["{next(iter(known))}"]')
    named = {name for name in found if table.known(key, name, known, what)}
    return frozenset(name for name in known if name in named)


def _one_of(table: Table, key: str, known: tuple[str, ...]) -> str | None:
    found = table.text(key, " or ".join(f'"{one}"' for one in known))
    return found if found is not None and table.known(key, found, known, "value") else None


# --- what -------------------------------------------------------------------------------------------------------------


def _command(table: Table) -> tuple[str, ...]:
    if not table.has("command"):
        return ()
    held = table.value("command", list, _COMMAND)
    if held is None:
        return ()
    if not held or len(held) > ARGUMENTS_MOST:
        table.wrong("command", f"expected {_COMMAND}, at most {ARGUMENTS_MOST} of them, got {written(held)}")
        return ()
    found = []
    for number, part in enumerate(held, 1):
        if not isinstance(part, str) or "\0" in part or len(part) > ARGUMENT_CHARS:
            expected = f"expected a text of at most {ARGUMENT_CHARS:,} characters"
            table.wrong("command", f"argument {number}: {expected}, got {written(part)}")
            return ()
        found.append(part)
        _check_argument(table, number, part)
    program = Path(found[0])
    if not program.is_absolute():
        table.wrong("command", f"expected the absolute path of a program, such as /usr/local/bin/drain, got {quoted(found[0])}")
    elif program.name in _SHELLS and any(re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", part) for part in found[1:]):
        table.wrong("command", f"{program.name} -c makes commands of text: write a program, and name it here")
    return tuple(found)


def _check_argument(table: Table, number: int, part: str) -> None:
    name = placeholder(part)
    if name is not None and number == 1:
        table.wrong("command", f"the program cannot be a placeholder: {part}")
    elif name is not None and name not in PLACEHOLDERS:
        near = nearest(name, PLACEHOLDERS)
        said = f"there is no placeholder {quoted(part)}; there are {', '.join(PLACEHOLDERS)}"
        table.wrong("command", said, near and f"{{{near}}}")
    elif name is None:
        within = next((one for one in PLACEHOLDERS if f"{{{one}}}" in part), None)
        if within is not None:
            said = f"{{{within}}} stands for a whole argument and cannot be part of one: {quoted(part)}; stdin has it, too"
            table.wrong("command", said)


def _address(table: Table, url: str) -> str | None:
    if not url or web_address(url) is not None:
        return url
    table.wrong("webhook", f"expected {_ADDRESS}")
    return None


def _keys(table: Table, secret: str | None) -> tuple[SecretStr, ...]:
    found = tuple(map(SecretStr, (secret or "").split()))
    try:
        for one in found:
            key_of(one)
    except ValueError as error:
        table.wrong("secret_file" if table.has("secret_file") else "secret_env", str(error))
        return ()
    return found


def _secrets(
    table: Table, names: tuple[str, ...], folder: Path, environment: Mapping[str, str] | None
) -> dict[str, str]:
    """What keys say, or the file or variable that is named for them. A secret is not written into this file."""
    found: dict[str, str] = {}
    for name in names:
        said = [key for key in (name, f"{name}_file", f"{name}_env") if table.has(key)]
        if name == "secret" and "secret" in said:
            table.wrong("secret", "does not belong into this file: write secret_file, a path, or secret_env, a variable")
            continue
        if len(said) > 1:
            table.wrong(said[1], f"{name} is said twice: keep one of {', '.join(said)}")
        for key in said[:1]:
            value = table.text(key, _ADDRESS if key == "webhook" else "the path of a file, or the name of a variable")
            if value is None or key == name or environment is None:
                found |= {} if value is None else {name: value if key == name else ""}
                continue
            faults: list[Fault] = []
            held = secrets.resolved({key: value}, (), folder, environment, faults)
            for fault in faults:
                table.wrong(key, fault.text)
            secret = held.get(name)
            if isinstance(secret, SecretStr):
                found[name] = secret.get_secret_value()
    return found


def _networks(table: Table) -> tuple[IPv4Network | IPv6Network, ...]:
    found = []
    for text in _texts(table, "allow", 'private networks such as ["10.1.0.0/16"]'):
        try:
            found.append(ip_network(text))
        except ValueError:
            table.wrong("allow", f"expected private networks such as 10.1.0.0/16, got {quoted(text)}")
    return tuple(found)


def _variables(table: Table) -> tuple[str, ...]:
    found = _texts(table, "environment", 'names of variables such as ["KUBECONFIG"]')
    for name in found:
        if not _VARIABLE.fullmatch(name):
            table.wrong("environment", f"expected names of variables such as KUBECONFIG, got {quoted(name)}")
        elif name.startswith("TILLWATCH_"):
            table.wrong("environment", f"{name} is a setting of Tillwatch's own, and not passed on")
    return found


# --- limits -----------------------------------------------------------------------------------------------------------


def _duration(table: Table, key: str, usual: float, longest: float) -> float:
    said = table.text(key, "a duration such as 30s")
    if said is None:
        return usual
    try:
        found = duration_s(said)
    except ValueError as error:
        table.wrong(key, str(error))
        return usual
    if not isinstance(found, float) or not 0 < found <= longest:
        table.wrong(key, f"expected a duration of more than 0 and at most {longest / 60:g} minutes, got {quoted(said)}")
        return usual
    return found


def _output(table: Table) -> int:
    found = table.value("output", int, "a number of characters such as 500")
    if found is None:
        return 500
    if not 0 <= found <= OUTPUT_MOST:
        table.wrong("output", f"expected 0 to {OUTPUT_MOST:,} characters, got {found}")
        return 500
    return found
