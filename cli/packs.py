"""`tillwatch setup alerts`, `rules lint` and `rules explain`: rule packs as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules.loader import RuleSet
    from runtime.settings import Settings


def rule_set(settings: Settings) -> RuleSet:
    """The rules that the settings name."""
    from rules.loader import RuleSet

    return RuleSet()
