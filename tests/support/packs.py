"""Rule packs in tests: a good rule to stand beside bad ones, and marks that say where an error is."""

from __future__ import annotations

from rules.loader import RuleSet

HERE = "▲"
"""Stands in a text before the character that an error is about."""
GOOD = "{condition: security_violations > 0, severity: high}"


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without its markers, and the 1-based line and column of what each of them stands before."""
    places = []
    for number, line in enumerate(text.split("\n"), 1):
        while HERE in line:
            places.append((number, line.index(HERE) + 1))
            line = line.replace(HERE, "", 1)
    return text.replace(HERE, ""), places


def names(found: RuleSet) -> list[str]:
    """`pack/rule` of the rules that go on."""
    return [f"{rule.pack}/{rule.name}" for rule in found.rules]
