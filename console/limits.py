"""What the rules say of a signal: from where on it is too much, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from console.board import Event
from console.shapes import Mark
from rules.condition import Quantity
from rules.loader import RuleSet
from rules.rule import Rule

_GRAVE: dict[str, Mark] = {"critical": "failing", "high": "degraded", "medium": "degraded", "low": "degraded"}


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `most` within `span_ms` (None: at any one event) is too much, says the rule."""

    rule: str
    most: float
    span_ms: int | None
    said: str


def of(rules: RuleSet, signal: str) -> Limit | None:
    """The first rule that is about nothing but this signal, over everything, and has an upper limit."""
    for rule in rules.rules:
        part = rule.parts[0]
        value = part.test.value
        plain = len(rule.parts) == 1 and rule.enabled and not part.narrowed and part.baseline is None
        if plain and part.signal.name == signal and isinstance(value, Quantity) and rule.upward:
            span = part.test.span
            window = None if span is None else span.window_ms
            return Limit(rule.name, float(value.number), window, str(part.test).partition(" ")[2])
    return None


def about(rules: RuleSet, signals: Iterable[str]) -> list[Rule]:
    """The rules that look at one of these signals."""
    wanted = {*signals}
    return [rule for rule in rules.rules if any(part.signal.name in wanted for part in rule.parts)]


def state(rules: RuleSet, signals: Iterable[str], firing: Sequence[Event]) -> Mark | None:
    """How the rules about these signals stand: the gravest that fires; None where no rule looks at them."""
    names = {rule.name for rule in about(rules, signals) if rule.enabled}
    if not names:
        return None
    marks = {_GRAVE.get(one["data"]["severity"], "degraded") for one in alerts(firing, names)}
    return "failing" if "failing" in marks else "degraded" if marks else "ok"


def alerts(firing: Sequence[Event], names: Iterable[str]) -> list[Event]:
    """Those of these rules that fire and say something new."""
    wanted = {*names}
    return [
        one
        for one in firing
        if one["data"]["rule"] in wanted and one["data"]["status"] == "firing" and not one["data"]["historical"]
    ]
