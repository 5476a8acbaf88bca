"""`tillwatch init` and `configure`: the settings file, and whether what it says works."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import checks, installation
from cli.template import FILE, SECRETS, toml, values
from cli.terminal import FAILED, USAGE, fail, out, print_json, say

if TYPE_CHECKING:
    from runtime.settings import Settings

_STYLES = {checks.OK: "green", checks.WRONG: "bold red", checks.NOTE: "yellow"}
_ASKED = {
    "kafka": "Kafka bootstrap servers (empty: the embedded broker)",
    "redis": "URL of Redis or Valkey (empty: the embedded store)",
    "namespace": "Prefix of topics, keys and groups",
    "rules": "Folder of rule packs (empty: the shipped packs)",
}


def init(force: bool) -> None:
    """Writes the commented file. It refuses to replace one, unless forced."""
    path = Path(FILE)
    if path.exists() and not force:
        fail(f"{FILE} exists; --force replaces it")
    _write(path, {})
    say(f"wrote {FILE}: every setting with what it means and its default")


def check(as_json: bool) -> int:
    """Prints a line for each finding; 1 when something is wrong."""
    findings = [*checks.of_environment(os.environ), *_settings()]
    if as_json:
        print_json([{"what": one.what, "state": one.state, "text": one.text} for one in findings])
    else:
        _show(findings)
    return FAILED if any(one.state == checks.WRONG for one in findings) else 0


def _settings() -> list[checks.Check]:
    from tomllib import TOMLDecodeError

    from runtime.settings import SettingsError

    try:
        settings = installation.settings()
    except SettingsError as error:
        return [_problem(line) for line in str(error).splitlines()]
    except TOMLDecodeError as error:
        return [checks.Check(FILE, checks.WRONG, str(error))]
    files = [*checks.of_rules(settings), *checks.of_teams(settings), *checks.of_actions(settings)]
    return [*asyncio.run(_servers(settings)), *files, *checks.of_machine(settings)]


async def _servers(settings: Settings) -> list[checks.Check]:
    return [*await checks.of_kafka(settings), *await checks.of_redis(settings)]


def _problem(line: str) -> checks.Check:
    what, _, text = line.partition(": ")
    name = what.removeprefix("TILLWATCH_").lower()
    where = (
        "environment" if what in os.environ else FILE if Path(FILE).exists() and name in Path(FILE).read_text() else ""
    )
    return checks.Check(what, checks.WRONG, text + (f" (set in {where})" if where else ""))


def configure() -> int:
    """Asks, checks each answer, and writes the file; 1 when something is wrong still."""
    path = Path(FILE)
    held = values(path.read_text(encoding="utf-8")) if path.exists() else {}
    if path.exists():
        say(f"{FILE} exists: Enter keeps what it says, - takes a setting out.")
    for name, question in _ASKED.items():
        _ask(held, name, question)
    text = toml(held)
    if path.exists() and not typer.confirm(f"Replace {FILE}? Comments of your own in it are lost"):
        return FAILED
    _write(path, held, text)
    say(f"wrote {FILE}")
    return check(as_json=False)


def _ask(held: dict[str, str], name: str, question: str) -> None:
    from runtime.log import masked
    from runtime.settings import SettingsError, load_settings

    while True:
        now = held.get(name, "tillwatch" if name == "namespace" else "")
        shown = masked(now) if name in SECRETS else now
        answer = typer.prompt(question, default=shown, show_default=bool(shown)).strip()
        wanted = now if answer == shown else "" if answer == "-" else answer
        try:
            settings = load_settings(**({name: wanted} if wanted else {}))
        except SettingsError as error:
            mine = [line for line in str(error).splitlines() if line.startswith(f"TILLWATCH_{name.upper()}")]
            if mine:
                _show([_problem(line) for line in mine])
                continue
        else:
            if wanted and name in ("kafka", "redis"):
                _show(asyncio.run((checks.of_kafka if name == "kafka" else checks.of_redis)(settings)))
        if wanted and not (name == "namespace" and wanted == "tillwatch"):
            held[name] = wanted
        else:
            held.pop(name, None)
        return


def _write(path: Path, held: dict[str, str], text: str | None = None) -> None:
    try:
        if any(name in held for name in SECRETS):
            path.touch(mode=0o600)
            path.chmod(0o600)
        path.write_text(toml(held) if text is None else text, encoding="utf-8")
    except OSError as error:
        fail(f"{FILE} cannot be written: {error.strerror}", USAGE)


def _show(findings: list[checks.Check]) -> None:
    from rich.text import Text

    console = out()
    for one in findings:
        line = Text()
        line.append(f"{one.state:5} ", style=_STYLES[one.state])
        line.append(one.what, style="bold")
        line.append(f"  {one.text}")
        console.print(line, soft_wrap=True)
