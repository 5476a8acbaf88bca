"""What can be typed or set is documented, and what is documented can be typed or set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.app import app
from runtime.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def _commands(command: Any, path: str = "tillwatch") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None or command.invoke_without_command:
        yield path, command
    if children is not None:
        for name, child in children.items():
            yield from _commands(child, f"{path} {name}")


COMMANDS = dict(_commands(typer.main.get_command(app)))


def _section(path: str) -> str:
    """What docs/commands.md says of a command."""
    text = (DOCS / "commands.md").read_text()
    match = re.search(rf"^### `{re.escape(path)}`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/commands.md does not document {path}"
    return match[1]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_of_every_command_is_documented(path: str) -> None:
    section = _section(path)
    for parameter in COMMANDS[path].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"{option}" in section, f"docs/commands.md does not mention {option} of {path}"


def test_every_documented_command_exists() -> None:
    documented = re.findall(r"^### `(.+)`$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_a_help_text_and_an_example(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert command.epilog.startswith("Example: ")
    assert path in command.epilog


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_and_option_says_what_it_is(path: str) -> None:
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", None), f"{path}: {parameter.name}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    from cli.template import default

    text = (DOCS / "configuration.md").read_text()
    row = re.search(rf"^\| `TILLWATCH_{name.upper()}` \| (.*?) \| (.+) \|$", text, re.MULTILINE)
    assert row is not None, f"docs/configuration.md does not document TILLWATCH_{name.upper()}"
    written = default(name, Settings.model_fields[name])
    if written is not None:
        assert row[1] == f"`{written}`"


def test_every_documented_setting_exists() -> None:
    documented = re.findall(r"^\| `TILLWATCH_([A-Z_]+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE)
    assert sorted(name.lower() for name in documented) == sorted(Settings.model_fields)
