"""docs/rules.md: its examples load, and nothing of the language is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.condition import parse
from rules.document import DEEPEST, LARGEST, MOST_VALUES
from rules.loader import KEYS, read
from rules.rule import CONFIDENCE, MIN_EVENTS
from rules.signals import KEYS as SIGNAL_KEYS
from rules.signals import Unit, shipped
from rules.words import definition
from schemas.severity import CHANNELS, SEVERITIES
from schemas.tables import TABLES

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
BLOCKS = re.findall(r"^```(\S*) ?(\S*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PACKS = [body for kind, name, body in BLOCKS if kind == "yaml" and not name]
SIGNALS = [(name, body) for kind, name, body in BLOCKS if name == "signals.yaml"]
WORDS: dict[Unit, str] = {"ratio": "%", "percent": "%", "s": "a time", "count": "a number", "minor": "minor units"}


def rows(head: str) -> list[list[str]]:
    """The cells of the table that begins with this head."""
    body = TEXT[TEXT.index(f"{head}\n") :].split("\n")[2:]
    lines = body[: next(at for at, line in enumerate(body) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("pack", PACKS)
def test_every_example_loads(pack: str) -> None:
    found = read([("docs.yaml", pack)], signals=SIGNALS)
    assert found.problems == ()
    assert found.rules


def test_there_are_examples_with_every_key() -> None:
    assert len(PACKS) >= 5 and len(SIGNALS) == 1
    used = set(re.findall(r"(\w+):", "\n".join(PACKS)))
    assert [key for key in KEYS if key not in {*used, "confidence", "enabled"}] == []


def test_the_condition_that_is_taken_apart_is_one() -> None:
    (line,) = re.findall(r"^```\n(payment_failure_rate\{.*)$", TEXT, re.MULTILINE)
    assert parse(line)


def test_every_key_of_a_rule_is_documented_with_its_default() -> None:
    table = {name.strip("`"): default for name, default, _ in rows("| key | default | means |")}
    assert sorted(table) == sorted(KEYS)
    assert table["min_events"] == f"`{MIN_EVENTS}`" and table["confidence"] == f"`{CONFIDENCE}`"
    assert [name for name, default in table.items() if default == "required"] == ["condition", "severity"]


def test_severities_and_channels_are_documented() -> None:
    for severity in SEVERITIES.values():
        assert f"`{severity.name}` ({severity.level}, " in TEXT
    for channel in CHANNELS:
        assert f"`{channel}`" in TEXT


def test_every_key_of_a_signal_is_documented() -> None:
    documented = [name for cells in rows("| key | means |") for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(documented) == sorted(SIGNAL_KEYS)


def test_the_table_of_signals_is_that_of_the_signals() -> None:
    made = [
        [f"`{one.name}`", WORDS[one.unit], ", ".join(one.by) or "–", definition(one)] for one in shipped().values()
    ]
    assert rows("| signal | compared with | groups by | is |") == made


def test_the_table_of_tables_is_that_of_the_tables() -> None:
    made = [
        [f"`{one.name}`", ", ".join(one.dimensions), ", ".join(measure.name for measure in one.measures) or "–"]
        for one in TABLES.values()
    ]
    assert rows("| table | dimensions | measures |") == made


def test_the_limits_are_those_of_the_code() -> None:
    assert f"up to {LARGEST:,} characters, {MOST_VALUES:,} values (aliases multiply) and {DEEPEST} levels" in TEXT


def test_every_error_that_is_shown_is_told_so() -> None:
    text = (
        'examples:\n  a:\n    condition: "payment_failur_rate > 5% for 5 minutes"\n    severity: high\n'
        '  b:\n    severity: high\n    condition: "payment_failure_rate > 5% over 7 seconds"\n\n'
        "  provider_down: {condition: security_violations > 0}\n"
    )
    told = [str(problem) for problem in read([("rules/mine.yaml", text)]).problems]
    assert told == re.findall(r"^rules/mine\.yaml:.*$", TEXT, re.MULTILINE)
