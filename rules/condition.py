"""A condition: parsed from text to small values, each of which knows its column, and back to text.

`parse(str(condition)) == condition` for every condition: columns are no part of equality.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TypeAlias

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

from schemas.tables import Value

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


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one probably stands for."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


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
    tree = _parser("duration").parse
    ms: int = _run(text, lambda: _Builder().duration_of(tree(text)), "a duration such as 5 minutes")
    return ms


def parse(text: str) -> Condition:
    """The condition that the text says. Raises ConditionError: what was expected, where, and the nearest known name."""
    build = lambda: _Builder().transform(_parser("start").parse(text))  # noqa: E731
    condition: Condition = _run(text, build, "a condition such as signal > 5")
    return condition


def parse_threshold(text: str, like: Test) -> Test:
    """`like` with another threshold: `3%` or `<= 3%`. Raises ConditionError."""
    bare = not text.lstrip().startswith((">", "<", "=", "!"))
    lead = f"x {like.comparison} " if bare else "x "
    try:
        found = parse(lead + text)
    except ConditionError as error:
        raise ConditionError(max(error.column - len(lead), 1), error.text, error.near) from None
    if not isinstance(found, Test) or found.span is not None or found.where:
        raise ConditionError(1, "expected a threshold such as 3% or <= 3%, or a whole condition")
    value, shift = found.value, len(lead)
    moved = replace(value, column=value.column - shift)
    return Test(like.signal, found.comparison, moved, like.span, like.where, like.column, found.comparison_column - shift)


def _run(text: str, build, example: str):  # type: ignore[no-untyped-def]
    if len(text) > LONGEST:
        raise ConditionError(LONGEST + 1, f"longer than {LONGEST} characters")
    depth = deepest = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    if deepest > DEEPEST or text.count("not") > DEEPEST:
        raise ConditionError(1, f"more than {DEEPEST} parentheses inside one another, or 'not'")
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
# One reader is helped more by "a unit or a span" than by eight terminals.
_GROUPS = (
    (frozenset({"AND", "OR", "$END"}), "'and', 'or' or the end"),
    (frozenset({"OVER", "IN", "FOR", "CONSECUTIVE"}), "a span (over, in, for, consecutive)"),
)


def _expected(terminals: Iterable[str]) -> str:
    left = {name for name in terminals if not name.startswith("__")}
    words = []
    for members, text in _GROUPS:
        if members <= left:
            words.append(text)
            left -= members
    words += [_PLAIN.get(name, "the end" if name == "$END" else f"'{name.lower()}'") for name in sorted(left)]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _explained(text: str, error: UnexpectedInput, example: str) -> ConditionError:
    if not text.strip():
        return ConditionError(1, f"expected {example}, got nothing")
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return ConditionError(len(text.rstrip()) + 1, f"expected {_expected(error.expected or ())}, got the end")
    if isinstance(error, UnexpectedToken):
        token = error.token
        column = (token.start_pos or 0) + 1
        near = nearest(str(token), _KEYWORDS) if token.type == "NAME" else None
        return ConditionError(column, f"expected {_expected(error.expected)}, got {str(token)!r}", near)
    assert isinstance(error, UnexpectedCharacters)
    at = error.pos_in_stream or 0
    return ConditionError(
        at + 1, f"expected {_expected(error.allowed or ())}, got {text[at]!r}"
    )


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
            words = nearest(str(unit), [*_DURATIONS, *_KEYWORDS])
            text = f"expected a unit (%, ms, s, seconds, minutes, hours) or a span, got {str(unit)!r}"
            raise ConditionError(_column(unit), text, words)
        return Quantity(_number(number), str(unit), _column(number))

    def baseline(self, number: Token, _percent: Token) -> OfBaseline:
        return OfBaseline(_number(number) / 100, _column(number))

    def window(self, window: tuple[int, int], hold: tuple[int, int] | None = None) -> Span:
        return Span(window[0], None if hold is None else hold[0], column=window[1])

    def hold(self, hold: tuple[int, int]) -> Span:
        return Span(None, hold[0], column=hold[1])

    def consecutive(self) -> Span:
        return Span(consecutive=True)

    def duration(self, number: Token, unit: Token) -> tuple[int, int]:
        size = _DURATIONS.get(str(unit))
        if size is None:
            text = f"expected a unit of time (ms, seconds, minutes, hours), got {str(unit)!r}"
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
