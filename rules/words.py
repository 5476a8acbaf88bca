"""What is said of a verdict: numbers as people write them, the arithmetic, the sentence, and what a rule means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from rules.compile import in_unit
from rules.condition import OPPOSITE, And, Condition, Not, OfBaseline, Quantity, Test, decimal, duration_text
from rules.judges.base import COMPARE, UPWARD, Reading
from rules.judges.chance import DISTINCT
from rules.judges.count import QUIET_MS
from rules.judges.gauge import PRESENT
from rules.rule import Part, Rule
from rules.signals import Signal, shown_value
from schemas.tables import Value

_SIGN = {">": ">", ">=": "≥", "<": "<", "<=": "≤", "==": "=", "!=": "≠"}
_THAN = {
    ">": "more than",
    ">=": "at least",
    "<": "fewer than",
    "<=": "at most",
    "==": "exactly",
    "!=": "any number but",
}
_LEVEL = {">": "above", ">=": "at least", "<": "below", "<=": "at most", "==": "exactly", "!=": "not"}
MOST_PLACES = 12
_TIMES = {"ms": (Fraction(1, 1000), "ms"), "s": (Fraction(1), "s"), "m": (Fraction(60), "min"), "h": (Fraction(3600), "h")}
_TIMES["d"] = (Fraction(86_400), "days")


def threshold(part: Part) -> Fraction | None:
    """The threshold in the signal's unit; None of a baseline, which has one only for a moment."""
    return None if isinstance(part.test.value, OfBaseline) else _limit(part.test, part.signal)


def _limit(test: Test, signal: Signal) -> Fraction:
    assert isinstance(test.value, Quantity)
    found, _ = in_unit(test.value, signal.unit)
    assert found is not None, "a rule that was compiled compares with the unit of its signal"
    return found


def amount(part: Part, value: Fraction, comparison: str | None = None, limit: Fraction | None = None) -> str:
    """A value of the part's signal with its unit: `62.1 %`, `11.2 s`, `41`.

    With a comparison that is true of it and a limit, it is written with as many digits as it takes to see that it is.
    """
    factor, unit = _unit(part)
    scaled = None if limit is None else limit * factor
    return f"{_figures(value * factor, comparison, scaled)}{unit}"


def _unit(part: Part) -> tuple[Fraction, str]:
    """By what a value is multiplied to be written, and what is written behind it. A time has the unit that the rule gives
    its threshold in."""
    kind = part.signal.unit
    if kind == "ratio":
        return Fraction(100), " %"
    if kind == "percent":
        return Fraction(1), " %"
    if kind == "s":
        written = part.test.value.unit if isinstance(part.test.value, Quantity) else None
        size, name = _TIMES["ms" if written is not None and written.startswith(("ms", "milli")) else (written or "s")[0]]
        return 1 / size, f" {name}"
    return Fraction(1), ""


def _figures(value: Fraction, comparison: str | None, limit: Fraction | None) -> str:
    """Some three figures, or all of a whole number; more where a rounded one would contradict the comparison."""
    places = 0 if value.denominator == 1 else 2 if abs(value) < 1 else 1
    if comparison is None or limit is None or not COMPARE[comparison](value, limit):
        return f"{_rounded(value, places):,}"
    while places < MOST_PLACES and not COMPARE[comparison](Fraction(_rounded(value, places)), limit):
        places += 1
    return f"{_rounded(value, places):,}"


def _rounded(value: Fraction, places: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(value.numerator) / Decimal(value.denominator)
        return exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


# --- the alert's sentences --------------------------------------------------------------------------------------------


def arithmetic(part: Part, reading: Reading | None, *, over: bool = False) -> str:
    """How the verdict was reached: `41 of 66 payments failed in 10 seconds (62.1 %); lower bound 50.1 % > 50 %`.

    over: it is over; the reading is that of the window that ended it.
    """
    signal, test = part.signal, part.test
    if reading is None:
        return _without(part, over)
    if signal.aggregate == "daily":
        compared, limit = OPPOSITE[test.comparison] if over else test.comparison, _limit(test, signal)
        value = amount(part, reading.value, compared, limit)
        return f"{value} {signal.all} in 24 hours {_SIGN[compared]} {amount(part, limit)}"
    if reading.said is not None:
        return reading.said
    if over and test.span is None and signal.aggregate == "count":
        return f"no {signal.one or signal.all} for {duration_text(QUIET_MS)}"
    ending = part.resolve if over else None
    compared = ending.comparison if ending is not None else OPPOSITE[test.comparison] if over else test.comparison
    limit = _limit(ending or test, signal)
    beyond = f"{_SIGN[compared]} {amount(part, limit)}"
    value = amount(part, reading.value, compared, limit)
    during = _during(test, reading)
    if signal.aggregate in ("ratio", "share", "completeness"):
        share = f"{reading.k:,} of {reading.n:,} {signal.all} {signal.bad}{during}{_ago(signal)}"
        if reading.bound is None:
            return f"{share}: {value} {beyond}"
        side = "lower" if test.comparison in UPWARD else "upper"
        bound = amount(part, Fraction(reading.bound), compared, limit)
        return f"{share} ({value}); {side} bound {bound} {beyond}"
    if signal.aggregate == "count":
        return f"{reading.n:,} {signal.counted(reading.n)}{during} {beyond}"
    if signal.aggregate == "silence":
        return f"no {signal.one or signal.all} for {value} {beyond}"
    if signal.aggregate == "streak":
        return f"{reading.n:,} {signal.counted(reading.n)} in a row {signal.bad} {beyond}"
    if signal.aggregate in ("max", "last"):
        if over or not during:
            return f"{signal.title} {value} {beyond}"
        return f"{_all_of(reading.n, signal)}{during} {beyond}, the latest {value}"
    of = f"{reading.n:,} {signal.counted(reading.n)}"
    return f"{signal.title} {value} {beyond} ({of}{during}{_minor(signal)})"


def _ago(signal: Signal) -> str:
    return f", {duration_text(signal.delay_ms)} ago" if signal.delay_ms else ""


def _all_of(n: int, signal: Signal) -> str:
    return f"all {n:,} {signal.all}" if n > 1 else f"the one {signal.one or signal.all}"


def _minor(signal: Signal) -> str:
    return "; in minor units" if signal.unit == "minor" else ""


def _without(part: Part, over: bool) -> str:
    """What there is to say where no number was read."""
    if not over:
        return f"{part.test.signal} is not {_SIGN[part.test.comparison]} {part.test.value}"
    if part.signal.aggregate == "silence":
        return f"a {part.signal.one or 'new event'} came"
    if part.signal.aggregate == "streak":
        one = part.signal.one or "event"
        return f"{'an' if one[0] in 'aeiou' else 'a'} {one} succeeded"
    return "it ended"


def _during(test: Test, reading: Reading) -> str:
    span = test.span
    if span is None or span.consecutive:
        return ""
    return f" in {duration_text(span.window_ms or span.hold_ms or reading.end - reading.start)}"


def where(group: Mapping[str, Value]) -> str:
    """`provider ikhokha, method card`."""
    return ", ".join(f"{name} {'none' if value is None else shown_value(value)}" for name, value in group.items())


def summary(rule: Rule, group: Mapping[str, Value], words: str, *, over: bool = False) -> str:
    """A sentence that a person can read aloud. `words`: the arithmetic."""
    title = rule.summary.rstrip(".") if rule.summary else rule.parts[0].signal.title
    place = f" ({where(group)})" if group else ""
    # The arithmetic of a mean begins with the title itself: it is not said twice.
    said = f"{title}{place}{words[len(title) :]}" if words.startswith(f"{title} ") else f"{title}{place}: {words}"
    return f"Over: {said}." if over else f"{said[0].upper()}{said[1:]}."


# --- what a rule means ------------------------------------------------------------------------------------------------


def explain(rule: Rule) -> str:
    """The rule in one plain sentence."""
    parts = (part for part in rule.parts if not part.above)
    words = _clause(rule, rule.condition, parts)
    each = f", judged for each {' and '.join(rule.by)} on its own" if rule.by else ""
    return f"Fires ({rule.severity}) {words}{each}."


def ends(rule: Rule) -> str:
    """When its alert resolves, in one plain sentence."""
    after = f", and {duration_text(rule.resolve_after_ms)} have passed since" if rule.resolve_after_ms else ""
    if not isinstance(rule.condition, Test):
        return f"Resolves when the condition as a whole is no longer true{after}."
    return f"Resolves {_end(rule, rule.parts[0])}{after}."


def _end(rule: Rule, part: Part) -> str:
    signal, test = part.signal, part.test
    if isinstance(test.value, OfBaseline):
        least = "" if test.comparison in UPWARD else f", with at least {rule.min_events} {signal.counted(rule.min_events)}"
        closed = duration_text(test.span.window_ms or test.span.hold_ms or 0) if test.span else ""
        side = _LEVEL[OPPOSITE[test.comparison]]
        return f"when a closed window of {closed} is {side} {decimal(test.value.share * 100)} % of what is usual{least}"
    if signal.aggregate == "daily":
        side = _THAN[OPPOSITE[test.comparison]]
        return f"when 24 hours held {side} {amount(part, _limit(test, signal))} {signal.all} again"
    if signal.aggregate == "silence":
        return f"with the next {signal.one or 'event'}"
    if signal.aggregate == "streak":
        return f"with the first {signal.one or 'event'} that has not {signal.bad}"
    if signal.aggregate == "count" and test.span is None:
        return f"when {duration_text(QUIET_MS)} have passed without another"
    ending = part.resolve
    comparison = ending.comparison if ending is not None else OPPOSITE[test.comparison]
    limit = amount(part, _limit(ending or test, signal))
    if signal.aggregate in ("max", "last"):
        return f"when a sample is {_LEVEL[comparison]} {limit} again"
    closed = f"closed window of {duration_text((test.span.window_ms or test.span.hold_ms or 0) if test.span else 0)}"
    if signal.aggregate == "count":
        return f"when a {closed} holds {_THAN[comparison]} {limit} {signal.all}"
    if signal.aggregate == "sum":
        return f"when the {signal.title} of a {closed} is {_LEVEL[comparison]} {limit}"
    enough = f"when, with at least {rule.min_events} {signal.counted(rule.min_events)} in a {closed}"
    if signal.aggregate in ("ratio", "share", "completeness"):
        return f"{enough}, {_share(comparison)} {limit} of them {signal.bad}"
    return f"{enough}, the {signal.title} is {_LEVEL[comparison]} {limit}"


def _clause(rule: Rule, condition: Condition, parts: Iterator[Part]) -> str:
    if isinstance(condition, Test):
        return _means(rule, next(parts))
    if isinstance(condition, Not):
        inner = _clause(rule, condition.part, parts).removeprefix("when ").removeprefix("as soon as ")
        return f"when it is not the case that {inner if isinstance(condition.part, Test) else f'({inner})'}"
    word = ", and " if isinstance(condition, And) else ", or "
    clauses = [(one, _clause(rule, one, parts)) for one in condition.parts]
    return word.join(text if isinstance(one, Test | Not) else f"({text})" for one, text in clauses)


def _means(rule: Rule, part: Part) -> str:
    signal, test, span = part.signal, part.test, part.test.span
    filters, comparison = _filters(part), test.comparison
    window = "" if span is None or span.consecutive else duration_text(span.window_ms or span.hold_ms or 0)
    window = window.removeprefix("1 ")  # "in the last minute", "within a minute"
    held = f", at every evaluation for {duration_text(span.hold_ms or 0)}" if span is not None and span.lasts else ""
    if isinstance(test.value, OfBaseline):
        share = f"{_LEVEL[comparison]} {decimal(test.value.share * 100)} %"
        return (
            f"when the {signal.title}{filters} of the last {window} is {share} of what is usual at this time of day and "
            f"week, and improbable for this series{held} (it answers LEARNING until it knows a day)"
        )
    limit = amount(part, _limit(test, signal))
    if signal.unit == "s":
        limit = str(test.value)
    if signal.aggregate in ("ratio", "share"):
        least = _share(comparison)
        sure = ""
        if rule.confidence and comparison not in ("==", "!="):
            confident = f"{rule.confidence * 100:g} % confidence, and less than once a month"
            sure = f", and the share is too clear to be chance ({confident})"
        different = f"{DISTINCT} different ones that {signal.bad if comparison in UPWARD else 'did not'}"
        when = f"in the last {window}" if not signal.delay_ms else f"in {_any(window)} that ended {_ago(signal)[2:]}"
        return (
            f"when {least} {limit} of the {signal.all}{filters} {when} {signal.bad}{held}, once there are at "
            f"least {rule.min_events} {signal.counted(rule.min_events)} and {different}{sure}"
        )
    if signal.aggregate == "count" and span is None:
        if (comparison, _limit(test, signal)) in ((">", Fraction(0)), (">=", Fraction(1))):
            return f"as soon as there is one {signal.one or signal.all}{filters}"
        return (
            f"as soon as there are {_THAN[comparison]} {limit} {signal.all}{filters}, each less than "
            f"{duration_text(QUIET_MS)} after the one before"
        )
    if signal.aggregate == "count":
        return f"when there are {_THAN[comparison]} {limit} {_of_limit(part)}{filters} within {_any(window)}{held}"
    if signal.aggregate == "daily":
        wait = "it answers LEARNING until it knows a day"
        return f"when the last 24 hours held {_THAN[comparison]} {limit} {signal.all}{filters} ({wait})"
    if signal.aggregate == "silence":
        return f"when nothing has come for {limit} ({signal.all}{filters}), though something came before"
    if signal.aggregate == "completeness":
        return (
            f"when {_share(comparison)} {limit} of the {signal.all}{filters} in {_any(window)} {signal.bad}{held}, once there "
            f"are at least {rule.min_events}"
        )
    if signal.aggregate == "streak":
        each = " and ".join(name for name in signal.each if name not in rule.by)
        per = f" for the same {each}" if each else ""
        return f"when {_THAN[comparison]} {limit} {_of_limit(part)}{filters} in a row {signal.bad}{per}"
    if signal.aggregate in ("max", "last"):
        if not window:
            return f"as soon as a sample of {signal.title}{filters} is {_LEVEL[comparison]} {limit}"
        return (
            f"when every sample of {signal.title}{filters} in the last {window} is {_LEVEL[comparison]} {limit}, and at least "
            f"{float(PRESENT * 100):g} % of the expected samples are there"
        )
    unit = " minor units" if signal.unit == "minor" else ""
    enough = f", with at least {rule.min_events} {signal.counted(rule.min_events)} to judge by"
    enough = "" if signal.aggregate == "sum" else enough
    return f"when the {signal.title}{filters} of the last {window} is {_LEVEL[comparison]} {limit}{unit}{held}{enough}"


def _share(comparison: str) -> str:
    return {"<": "less than", "!=": "any share but"}.get(comparison, _THAN[comparison])


def _of_limit(part: Part) -> str:
    return part.signal.counted(_limit(part.test, part.signal))


def _any(window: str) -> str:
    return window if window[0].isdigit() else f"{'an' if window.startswith('hour') else 'a'} {window}"


def _filters(part: Part) -> str:
    """What a rule narrows its signal to."""
    given = [f"{name} {shown_value(value)}" for name, value in part.narrowed.items()]
    return f" with {' and '.join(given)}" if given else ""


def definition(signal: Signal) -> str:
    """What a signal is, in terms of its table: made from the data, so that it cannot be wrong."""
    table, chosen, marked = signal.tables[0], _chosen(dict(signal.where)), _chosen(dict(signal.of))
    if signal.aggregate == "share":
        wait = signal.delay_ms + signal.lag_ms
        after = f", {duration_text(wait)} after their window" if wait else ""
        return f"events in {signal.of_table or table}{marked} for each of those in {table}{chosen}{after}"
    if signal.aggregate == "ratio":
        return f"share of the events in {table}{chosen} that have{marked.removeprefix(' with')}"
    if signal.aggregate == "completeness":
        each = ", ".join(signal.each)
        return f"share of what each {each} in {table} says it has {signal.measure}{marked} that has come"
    if signal.aggregate == "daily":
        return f"number of events in {table}{chosen}, of the last 24 hours"
    if signal.aggregate == "silence":
        return f"time since the latest event in {table}{chosen}"
    if signal.aggregate == "streak":
        return f"events in {table}{chosen}{marked} in a row, for each {', '.join(signal.each)}"
    if signal.aggregate == "count":
        return f"number of events in {table}{chosen}"
    word = {"sum": "total of", "mean": "mean of", "max": "every sample of", "last": "the latest"}.get(
        signal.aggregate, f"{signal.q * 100:g}th percentile of"
    )
    return f"{word} {signal.measure} in {table}{chosen}"


def _chosen(filters: Mapping[str, tuple[Value, ...]]) -> str:
    words = [f"{name} {' or '.join(map(shown_value, values))}" for name, values in filters.items()]
    return f" with {' and '.join(words)}" if words else ""
