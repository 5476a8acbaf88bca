"""Runbooks: one for each rule that ships, with commands that exist and SQL that runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.app import app
from notifier.watch import BLIND
from notifier.watch import RULES as WATCHED
from rollups.query import run
from rollups.tables import Rows
from rules.loader import load, read

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
TEXTS = {page.stem: page.read_text() for page in PAGES}
RULES = load().rules
HEADS = ["## Look first", "## What usually causes it", "## Stop the bleeding", "## It is over when"]


def commands(text: str) -> list[list[str]]:
    """The words of each command of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


STATEMENTS = sorted(
    {words[2] for text in TEXTS.values() for words in commands(text) if words[:2] == ["tillwatch", "query"]}
)


async def _no_rows(*_: Any) -> AsyncIterator[Rows]:
    return
    yield


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    """Those whose alerts the notifier makes itself, and what it tells without an alert, have one as well."""
    assert sorted(TEXTS) == sorted([*(rule.name for rule in RULES), *WATCHED, BLIND])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_its_page(rule: Any) -> None:
    assert rule.runbook == f"docs/runbooks/{rule.name}.md"
    assert (ROOT / rule.runbook).is_file()


def test_a_rule_of_ones_own_names_its_own() -> None:
    keys = "condition: security_violations > 0, severity: high"
    found = read([("p.yaml", f"p:\n  mine: {{{keys}}}\n  security_breach: {{{keys}, runbook: https://wiki.example/x}}\n")])
    assert [(rule.name, rule.runbook) for rule in found.rules] == [
        ("mine", None), ("security_breach", "https://wiki.example/x"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_is_short_and_has_its_parts(name: str) -> None:
    text = TEXTS[name]
    assert text.startswith(f"# {name}\n\n")
    assert re.findall(r"^## .*$", text, re.MULTILINE) == HEADS
    assert len(text.splitlines()) <= 45
    assert 1 <= len(commands(text)) <= 4


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXTS[name])
    assert [link for link in links if not (ROOT / "docs" / "runbooks" / link).is_file()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_commands_exist(name: str) -> None:
    for program, *words in commands(TEXTS[name]):
        assert program == "tillwatch"
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        for word in words:
            if word.startswith("--"):
                assert word in {option for parameter in command.params for option in parameter.opts}, word


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_sql_runs_on_the_tables_as_they_are(sql: str) -> None:
    answer = await run(sql, _no_rows, 1_795_420_800.0)
    assert answer.objects() is not None
