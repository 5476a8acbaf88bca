"""Rule packs: from YAML files to rules, and to what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules that are in force."""

    rules: tuple[object, ...] = ()
