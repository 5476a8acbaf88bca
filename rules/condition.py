"""A condition: parsed from text to small values, each of which knows its column, and back to text.

`parse(str(condition)) == condition` for every condition: columns are no part of equality.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

from runtime.suggest import LONGEST_NAME, nearest, quoted
from schemas.tables import Value

T = TypeVar("T")

LONGEST = 2_000
"""Characters of a condition, at most."""
LARGEST_DIGITS = 18
DEEPEST = 50

_DURATIONS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
}
LONGEST_SPAN_MS = 7 * 86_400_000
_CLEAR_UNITS = ("ms", "seconds", "minutes", "hours", "days")


class ConditionError(ValueError):
    """What is wrong with a condition, and at which column (1-based). `near`: the known name that is nearest."""

    def __init__(self, column: int, text: str, near: str | None = None) -> None:
        self.column, self.text, self.near = column, text, near
        super().__init__(f"column {column}: {text}" + (f" (did you mean {near}?)" if near else ""))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit as written: `%`, a unit of time, or None."""

    number: Fraction
    unit: str | None = None
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        unit = "" if self.unit is None else self.unit if self.unit == "%" else f" {self.unit}"
        return f"{decimal(self.number)}{unit}"


@dataclass(frozen=True, slots=True)
class OfBaseline:
    """A share (1 is all) of what is expected."""

    share: Fraction
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{decimal(self.share * 100)}% of baseline"


@dataclass(frozen=True, slots=True)
class Span:
    """Over which time: `over window for hold`; `for hold` has no window; `consecutive` has neither."""

    window_ms: int | None = None
    hold_ms: int | None = None
    consecutive: bool = False
    column: int = field(default=0, compare=False)
    window_column: int = field(default=0, compare=False)
    hold_column: int = field(default=0, compare=False)

    @property
    def lasts(self) -> bool:
        """Whether what is true over a window has to be so for some time."""
        return self.window_ms is not None and self.hold_ms is not None

    def __str__(self) -> str:
        if self.consecutive:
            return "consecutive"
        parts = [] if self.window_ms is None else [f"over {duration_text(self.window_ms)}"]
        return " ".join(parts if self.hold_ms is None else [*parts, f"for {duration_text(self.hold_ms)}"])


@dataclass(frozen=True, slots=True)
class Match:
    """`dimension = value` inside braces."""

    dimension: str
    value: Value
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if isinstance(self.value, str):
            quote = "'" if '"' in self.value else '"'
            return f"{self.dimension}={quote}{self.value}{quote}"
        return f"{self.dimension}={str(self.value).lower()}"


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a signal."""

    __test__ = False  # not a test case for pytest

    signal: str
    comparison: str
    value: Quantity | OfBaseline
    span: Span | None = None
    where: tuple[Match, ...] = ()
    column: int = field(default=0, compare=False)
    comparison_column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        where = "{" + ", ".join(map(str, self.where)) + "}" if self.where else ""
        span = "" if self.span is None else f" {self.span}"
        return f"{self.signal}{where} {self.comparison} {self.value}{span}"


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"not {self.part}" if isinstance(self.part, Test) else f"not ({self.part})"


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, And | Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


Condition: TypeAlias = Test | Not | And | Or


def tests(condition: Condition) -> Iterator[Test]:
    """Every comparison in it, from left to right."""
    if isinstance(condition, Test):
        yield condition
    elif isinstance(condition, Not):
        yield from tests(condition.part)
    else:
        for part in condition.parts:
            yield from tests(part)


def decimal(number: Fraction) -> str:
    """A fraction that has a finite decimal, as people write it."""
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration_text(ms: int) -> str:
    """A length of time with the largest unit that makes it a whole number: 300000 is `5 minutes`."""
    for size, name in ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")):
        if ms % size == 0 and (size < 86_400_000 or ms > size):
            count = ms // size
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{ms} ms"


def parse_duration(text: str) -> int:
    """Milliseconds of a length of time such as `5 minutes` or `30s`. Raises ConditionError."""
    return _run(
        text, lambda: _Builder().duration_of(_parser("duration").parse(text)), "a duration such as 5 minutes"
    )


def parse(text: str) -> Condition:
    """The condition that the text says. Raises ConditionError: what was expected, where, and the nearest known name."""
    return _run(text, lambda: _Builder().transform(_parser("start").parse(text)), "a condition such as signal > 5")


def parse_threshold(text: str, like: Test) -> Test:
    """When what `like` began is over: `3%` or `<= 3%`, or a whole condition on the same signal. Raises ConditionError.

    A bare threshold is compared in the opposite direction: over `> 5%` is `3%` what `<= 3%` is.
    """
    word = re.match(r"\s*([A-Za-z_]?)", text)
    if word is not None and word[1]:
        lead = ""
    elif text.lstrip().startswith((">", "<", "=", "!")):
        lead = "x "
    else:
        lead = f"x {OPPOSITE[like.comparison]} "
    shift = len(lead)
    try:
        found = parse(lead + text)
    except ConditionError as error:
        raise ConditionError(max(error.column - shift, 1), error.text, error.near) from None
    if not isinstance(found, Test) or (not lead and found.signal != like.signal):
        column = 1 if lead or not isinstance(found, Test) else found.column
        raise ConditionError(column, f"expected a threshold such as 3% or <= 3%, or a condition on {like.signal}")
    if found.span not in (None, like.span):
        column = found.span.column - shift if found.span is not None else 1
        raise ConditionError(column, f"the span is that of the condition ({like.span or 'none'}): leave it out")
    if found.where not in ((), like.where):
        raise ConditionError(found.where[0].column, "the filter is that of the condition: leave it out")
    value = replace(found.value, column=found.value.column - shift)
    return replace(
        like, comparison=found.comparison, value=value, column=1, comparison_column=max(found.comparison_column - shift, 1)
    )


OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
_WORD = re.compile(r"""(?P<text>"[^"\n]*"|'[^'\n]*')|[A-Za-z_][\w.-]*|[()]""")


def _check_size(text: str) -> None:
    """What is deep would end in Python's own limit on recursion."""
    if len(text) > LONGEST:
        raise ConditionError(LONGEST + 1, f"longer than {LONGEST} characters")
    depth = negations = 0
    for found in _WORD.finditer(text):
        depth += (found[0] == "(") - (found[0] == ")")
        negations += found[0] == "not"
        if depth > DEEPEST or negations > DEEPEST:
            raise ConditionError(found.start() + 1, f"more than {DEEPEST} parentheses inside one another, or 'not'")


def _run(text: str, build: Callable[[], T], example: str) -> T:
    _check_size(text)
    try:
        return build()
    except VisitError as error:
        if isinstance(error.orig_exc, ConditionError):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise _explained(text, error, example) from None


_PLAIN = {
    "NAME": "a name",
    "NUMBER": "a number",
    "COMPARISON": "a comparison (>, >=, <, <=, == or !=)",
    "PERCENT": "%",
    "STRING": "a quoted text",
    "LPAR": "(",
    "RPAR": ")",
    "LBRACE": "{",
    "RBRACE": "}",
    "EQUAL": "=",
    "COMMA": ",",
}
_KEYWORDS = ("and", "or", "not", "over", "in", "for", "consecutive")


def is_name(text: str) -> bool:
    """Whether a condition can name a signal so."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None and text not in (*_KEYWORDS, "of", "baseline")


# A reader is helped more by "a unit or a span" than by eight terminals.
_SPANS = frozenset({"OVER", "IN", "FOR", "CONSECUTIVE"})
_GOES_ON = frozenset({"AND", "OR"})


def _expected(terminals: Iterable[str], before: str) -> str:
    left = {name for name in terminals if not name.startswith("__")}
    inside = before.count("(") > before.count(")")
    # The tables of the parser do not tell these states apart.
    if not inside:
        left.discard("RPAR")
    if re.search(r"\bfor\b[^()]*$", before) and not left >= _SPANS:
        left.discard("FOR")
    end = "'and', 'or' or )" if inside else "'and', 'or' or the end"
    if "PERCENT" in left:
        return f"a unit, a span, {end}"
    words = []
    if left >= _SPANS:
        words.append("a span (over, in, for, consecutive)")
        left -= _SPANS
    goes_on = left >= _GOES_ON
    if goes_on:
        left -= {*_GOES_ON, "$END", "RPAR"}
    words += [_PLAIN.get(name, "the end" if name == "$END" else f"'{name.lower()}'") for name in sorted(left)]
    if goes_on:
        return ", ".join([*words, end])
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


# What other languages write.
_ELSEWHERE = {
    "=": "==", "=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not",
    "percent": "%", "pct": "%", "than": ">", "above": ">", "below": "<", "is": "==", "within": "in", "during": "over",
}  # fmt: skip


def _meant(text: str, at: int) -> str | None:
    found = re.match(r"[=<>&|!]+|\w+", text[at : at + LONGEST_NAME])
    return None if found is None else _ELSEWHERE.get(found[0].lower())


_NO_UNIT = re.compile(r"[0-9]\s*([A-Za-z_][\w.-]*)\s*$")
"""A word where a unit may stand: the parser takes any, and stumbles over what follows."""


def _no_unit(column: int, word: str) -> ConditionError:
    near = _ELSEWHERE.get(word.lower()) or nearest(word, [*_DURATIONS, *_KEYWORDS])
    text = f"expected a unit (%, ms, s, seconds, minutes, hours) or a span, got {quoted(word)}"
    return ConditionError(column, text, near)


def _explained(text: str, error: UnexpectedInput, example: str) -> ConditionError:
    if not text.strip():
        return ConditionError(1, f"expected {example}, got nothing")
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        word = _NO_UNIT.search(text)
        if word is not None and word[1] not in (*_DURATIONS, *_KEYWORDS):
            return _no_unit(word.start(1) + 1, word[1])
        return ConditionError(len(text.rstrip()) + 1, f"expected {_expected(error.expected or (), text)}, got the end")
    if isinstance(error, UnexpectedToken):
        token = error.token
        at = token.start_pos or 0
        word = _NO_UNIT.search(text[:at])
        if word is not None and word[1] not in (*_DURATIONS, *_KEYWORDS):
            return _no_unit(word.start(1) + 1, word[1])
        near = _meant(text, at) or (nearest(str(token), _KEYWORDS) if token.type == "NAME" else None)
        return ConditionError(at + 1, f"expected {_expected(error.expected, text[:at])}, got {quoted(str(token))}", near)
    assert isinstance(error, UnexpectedCharacters)
    at = error.pos_in_stream or 0
    if text[at] in "\"'" and "STRING" in (error.allowed or ()):
        return ConditionError(at + 1, "a quote that is never closed")
    return ConditionError(at + 1, f"expected {_expected(error.allowed or (), text[:at])}, got {text[at]!r}", _meant(text, at))


@cache
def _parser(start: str) -> Lark:
    grammar = (Path(__file__).parent / "grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, start=start, parser="lalr", maybe_placeholders=False, propagate_positions=True)


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _number(token: Token) -> Fraction:
    if len(token) > LARGEST_DIGITS:
        raise ConditionError(_column(token), f"a number of more than {LARGEST_DIGITS} digits")
    return Fraction(str(token))


Duration: TypeAlias = tuple[int, int]
"""Milliseconds, and the column of the number."""


@v_args(inline=True)
class _Builder(Transformer[Token, Condition]):
    def test(self, name: Token, *rest: object) -> Test:
        where: tuple[Match, ...] = ()
        items = list(rest)
        if isinstance(items[0], tuple):
            where = items.pop(0)  # type: ignore[assignment]
        comparison, value = items[0], items[1]
        assert isinstance(comparison, Token) and isinstance(value, Quantity | OfBaseline)
        span = items[2] if len(items) > 2 else None
        assert span is None or isinstance(span, Span)
        return Test(str(name), str(comparison), value, span, where, _column(name), _column(comparison))

    def where(self, *matches: Match) -> tuple[Match, ...]:
        for index, match in enumerate(matches):
            if match.dimension in {earlier.dimension for earlier in matches[:index]}:
                raise ConditionError(match.column, f"dimension {match.dimension} is given twice")
        return matches

    def match(self, name: Token, token: Token) -> Match:
        value: Value = str(token)
        if token.type == "STRING":
            value = str(token)[1:-1]
        elif token.type == "NUMBER":
            number = _number(token)
            if number.denominator != 1:
                raise ConditionError(_column(token), "a dimension has no fractional value")
            value = int(number)
        elif value in ("true", "false"):
            value = value == "true"
        return Match(str(name), value, _column(name))

    def quantity(self, number: Token, unit: Token | None = None) -> Quantity:
        if unit is None or unit.type == "PERCENT":
            return Quantity(_number(number), None if unit is None else "%", _column(number))
        if str(unit) not in _DURATIONS:
            raise _no_unit(_column(unit), str(unit))
        return Quantity(_number(number), str(unit), _column(number))

    def baseline(self, number: Token, _percent: Token) -> OfBaseline:
        return OfBaseline(_number(number) / 100, _column(number))

    def window(self, word: Token, window: Duration, _for: Token | None = None, hold: Duration | None = None) -> Span:
        hold_ms, hold_column = (None, 0) if hold is None else hold
        return Span(window[0], hold_ms, False, _column(word), window[1], hold_column)

    def hold(self, word: Token, hold: Duration) -> Span:
        return Span(None, hold[0], False, _column(word), 0, hold[1])

    def consecutive(self, word: Token) -> Span:
        return Span(consecutive=True, column=_column(word))

    def duration(self, number: Token, unit: Token) -> Duration:
        size = _DURATIONS.get(str(unit))
        if size is None:
            text = f"expected a unit of time (ms, seconds, minutes, hours), got {quoted(str(unit))}"
            raise ConditionError(_column(unit), text, nearest(str(unit), _DURATIONS))
        ms = _number(number) * size
        if ms <= 0 or ms.denominator != 1 or ms > LONGEST_SPAN_MS:
            raise ConditionError(_column(number), "expected a time from 1 ms to 7 days, in whole milliseconds")
        return int(ms), _column(number)

    def duration_of(self, tree: object) -> int:
        ms: int = self.transform(tree)[0]  # type: ignore[arg-type, index]
        return ms

    def negation(self, part: Condition) -> Not:
        return Not(part, part.column)

    def and_(self, *parts: Condition) -> And:
        return And(parts, parts[0].column)

    def or_(self, *parts: Condition) -> Or:
        return Or(parts, parts[0].column)


def seconds(quantity: Quantity) -> Fraction | None:
    """The quantity in seconds, None if it is no time."""
    if quantity.unit is None or quantity.unit == "%":
        return None
    return quantity.number * _DURATIONS[quantity.unit] / 1000
