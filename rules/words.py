"""What is said of a verdict: numbers as people write them, the arithmetic, the sentence, and what a rule means."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from rules.condition import OfBaseline, Quantity, Test, decimal, duration_text, seconds
from rules.judges.base import Reading
from rules.judges.count import QUIET_MS
from rules.rule import Part, Rule
from schemas.tables import Value

_OPPOSITE = {">": "≤", ">=": "<", "<": "≥", "<=": ">", "==": "≠", "!=": "="}
_SIGN = {">": ">", ">=": "≥", "<": "<", "<=": "≤", "==": "=", "!=": "≠"}
_WORDS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below", "==": "equal to", "!=": "other than"}


def amount(part: Part, value: Fraction) -> str:
    """A value of the part's signal with its unit: `62.1 %`, `11.2 s`, `41`."""
    unit = part.signal.unit
    if unit == "ratio":
        return f"{_short(value * 100)} %"
    if unit == "percent":
        return f"{_short(value)} %"
    if unit == "s":
        return f"{_short(value)} s" if value >= 1 or not value else f"{_short(value * 1000)} ms"
    return f"{_short(value)}"


def _short(value: Fraction) -> str:
    """Three figures, or all of a whole number."""
    if value.denominator == 1:
        return f"{value.numerator:,}"
    number = float(value)
    places = 2 if abs(number) < 1 else 1
    return f"{number:,.{places}f}"


def threshold(part: Part) -> Fraction:
    """The threshold in the signal's unit."""
    value = part.test.value
    assert isinstance(value, Quantity)
    number = value.number
    if part.signal.unit == "ratio":
        return number / 100
    if part.signal.unit == "s":
        return seconds(value) or number
    return number


def arithmetic(part: Part, reading: Reading, *, over: bool = False) -> str:
    """How the verdict was reached: `41 of 66 payments failed in 10 seconds (62.1 %); lower bound 50.1 % > 50 %`.

    over: it is over; the reading is that of the window that ended it.
    """
    signal, test = part.signal, part.test
    sign = (_OPPOSITE if over else _SIGN)[test.comparison]
    limit = f"{sign} {amount(part, threshold(part))}"
    during = _during(test, reading)
    if signal.aggregate == "ratio":
        share = f"{reading.k} of {reading.n} {signal.all} {signal.bad}{during}"
        if reading.bound is None:
            return f"{share}: {amount(part, reading.value)} {limit}"
        side = "lower" if test.comparison in (">", ">=") else "upper"
        return f"{share} ({amount(part, reading.value)}); {side} bound {amount(part, Fraction(reading.bound))} {limit}"
    if signal.aggregate == "count":
        return f"{reading.n} {signal.all}{during} {limit}"
    if signal.aggregate == "streak":
        return f"{reading.n} {signal.all} {signal.bad} in a row {limit}"
    if signal.aggregate == "max":
        words = "all" if not over else "latest of"
        return f"{words} {reading.n} samples{during}: {amount(part, reading.value)} {limit}"
    return f"{signal.title} {amount(part, reading.value)} over {reading.n} {signal.all}{during} {limit}"


def _during(test: Test, reading: Reading) -> str:
    span = test.span
    if span is None or span.consecutive:
        return ""
    return f" in {duration_text(span.window_ms or span.hold_ms or reading.end - reading.start)}"


def where(group: Mapping[str, Value]) -> str:
    """`provider ikhokha, method card`."""
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in group.items())


def summary(rule: Rule, group: Mapping[str, Value], words: str, *, over: bool = False) -> str:
    """A sentence that a person can read aloud."""
    title = rule.summary or rule.parts[0].signal.title
    title = title[0].upper() + title[1:]
    place = f" ({where(group)})" if group else ""
    return f"{'Over: ' if over else ''}{title}{place}: {words}."


# --- what a rule means ------------------------------------------------------------------------------------------------


def explain(rule: Rule) -> str:
    """The rule in one plain sentence."""
    condition = str(rule.condition) if len(rule.parts) > 1 else _means(rule, rule.parts[0])
    groups = f", for each {' and '.join(rule.by)}" if rule.by else ""
    return f"Fires ({rule.severity}) when {condition}{groups}."


def _means(rule: Rule, part: Part) -> str:
    signal, test = part.signal, part.test
    if isinstance(test.value, OfBaseline):
        window = duration_text(test.span.window_ms or test.span.hold_ms or 0) if test.span else ""
        return (
            f"the {signal.title} of the last {window} is {_WORDS[test.comparison]} {decimal(test.value.share * 100)}% of what "
            "is expected at this time of day and week (the baseline is being learned, so it answers LEARNING)"
        )
    limit = f"{_WORDS[test.comparison]} {test.value}"
    span = test.span
    window = "" if span is None else duration_text(span.window_ms or span.hold_ms or 0) if not span.consecutive else ""
    held = ""
    if span is not None and span.window_ms is not None and span.hold_ms is not None:
        held = f", at every evaluation for {duration_text(span.hold_ms)}"
    filters = _filters(part)
    if signal.aggregate == "ratio":
        sure = f" and surely so ({rule.confidence * 100:g} % confidence)" if rule.confidence else ""
        return (
            f"of the {signal.all}{filters} in the last {window}, the share that {signal.bad} is {limit}{sure}{held}, "
            f"with at least {rule.min_events} of them and 3 distinct failing ones"
        )
    if signal.aggregate == "count" and span is None:
        minutes = duration_text(QUIET_MS)
        return f"{signal.all}{filters} number {limit}, at once; over after {minutes} without another"
    if signal.aggregate == "count":
        return f"{signal.all}{filters} within any {window} number {limit}{held}"
    if signal.aggregate == "streak":
        each = ", ".join(signal.each)
        return f"{signal.all}{filters} that {signal.bad} in a row, per {each}, number {limit}; one success ends the row"
    if signal.aggregate == "max":
        stretch = f"every sample of the last {window}" if window else "a sample"
        return f"{stretch} of {signal.title}{filters} is {limit}, with at least 80 % of the samples present"
    return f"the {signal.title}{filters} over the last {window} is {limit}{held}, on at least {rule.min_events} {signal.all}"


def _filters(part: Part) -> str:
    given = [*part.test.where]
    return f" with {', '.join(f'{match.dimension} {match.value}' for match in given)}" if given else ""


