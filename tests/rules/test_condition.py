"""The language of conditions: what is written is what is meant, and what cannot be meant is told with its column."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.condition import (
    LONGEST,
    LONGEST_SPAN_MS,
    OPPOSITE,
    And,
    Condition,
    ConditionError,
    Match,
    Not,
    OfBaseline,
    Or,
    Quantity,
    Span,
    Test,
    duration_text,
    is_name,
    parse,
    parse_duration,
    parse_threshold,
)
from runtime.suggest import nearest

# --- what is meant ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a > 5% for 5 minutes", Test("a", ">", Quantity(Fraction(5), "%"), Span(hold_ms=300_000))),
        ("a>5%for 5m", Test("a", ">", Quantity(Fraction(5), "%"), Span(hold_ms=300_000))),
        ("a > 2 in 5 minutes", Test("a", ">", Quantity(Fraction(2)), Span(window_ms=300_000))),
        ("a >= 1.5 s over 1 h", Test("a", ">=", Quantity(Fraction(3, 2), "s"), Span(window_ms=3_600_000))),
        ("a < 1 over 1 m for 30 s", Test("a", "<", Quantity(Fraction(1)), Span(60_000, 30_000))),
        ("a > 3 consecutive", Test("a", ">", Quantity(Fraction(3)), Span(consecutive=True))),
        ("a > 0", Test("a", ">", Quantity(Fraction(0)))),
        ("a < 50% of baseline for 15 minutes", Test("a", "<", OfBaseline(Fraction(1, 2)), Span(hold_ms=900_000))),
        (
            "a{b=c, d='e f', g=7, h=true} > 0",
            Test("a", ">", Quantity(Fraction(0)), None, (Match("b", "c"), Match("d", "e f"), Match("g", 7), Match("h", True))),
        ),
    ],
)
def test_a_comparison(text: str, meant: Condition) -> None:
    assert parse(text) == meant


def _test(name: str) -> Test:
    return Test(name, ">", Quantity(Fraction(0)))


def test_and_binds_closer_than_or_and_not_closer_than_both() -> None:
    a, b, c = _test("a"), _test("b"), _test("c")
    assert parse("a > 0 or b > 0 and not c > 0") == Or((a, And((b, Not(c)))))
    assert parse("(a > 0 or b > 0) and c > 0") == And((Or((a, b)), c))
    assert parse("not (a > 0 or b > 0)") == Not(Or((a, b)))
    assert parse("a > 0 and b > 0 and c > 0") == And((a, b, c))


def test_words_that_begin_like_words_of_the_language_are_names() -> None:
    assert parse("order > 0 and notable > 0 or inner > 0") == Or((And((_test("order"), _test("notable"))), _test("inner")))


@pytest.mark.parametrize(("name", "fine"), [("a_1", True), ("not", False), ("of", False), ("1a", False), ("a.b", False)])
def test_what_a_signal_may_be_called(name: str, fine: bool) -> None:
    assert is_name(name) is fine


# --- what cannot be meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "says", "near"),
    [
        ("", 1, "expected a condition such as signal > 5, got nothing", None),
        ("a", 2, "got the end", None),
        ("a > ", 4, "expected a number, got the end", None),
        ("a => 5", 3, "expected a comparison", ">="),
        ("a = 5", 3, "expected a comparison", "=="),
        ("a <> 5", 4, "expected a number, got '>'", None),
        ("a is 5", 3, "expected a comparison", "=="),
        ("a > 5 percent", 7, "got 'percent'", "%"),
        ("a > 5 fro 5 minutes", 7, "got 'fro'", "for"),
        ("a > 5 AND b > 3", 7, "got 'AND'", "and"),
        ("a > 5 && b > 3", 7, "expected a unit, a span, 'and', 'or' or the end, got '&'", "and"),
        ("(a > 5 y", 8, "got 'y'", None),
        ("(a > 5", 7, "expected", None),
        ("a > 5)", 6, "got ')'", None),
        ("5 > a", 1, "expected ( or a name, got '5'", None),
        ("not > 5", 5, "expected ( or a name, got '>'", None),
        ("a{b} > 5", 4, "expected =, got '}'", None),
        ("a{b=1.5} > 5", 5, "a dimension has no fractional value", None),
        ("a{b=1, b=2} > 5", 8, "dimension b is given twice", None),
        ('a{b="c} > 5', 5, "a quote that is never closed", None),
        ("a > 5 for 5 minutess", 13, "expected a unit of time", "minutes"),
        ("a > 5 for 0 s", 11, "from 1 ms to 7 days", None),
        ("a > 5 for 8 days", 11, "from 1 ms to 7 days", None),
        ("a > 5 for 0.0005 s", 11, "in whole milliseconds", None),
        ("a > 5 for 5 minutes consecutive", 21, "expected 'and', 'or' or the end", None),
        ("a > ٣", 5, "expected a number", None),
        ("a > 1e5", 6, "expected a unit", None),
    ],
)
def test_an_error_has_its_column(text: str, column: int, says: str, near: str | None) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert (caught.value.column, caught.value.near) == (column, near), str(caught.value)
    assert says in caught.value.text


def test_each_part_knows_its_column() -> None:
    found = parse("a > 5 and (b{c=d} < 3% over 1 minute for 2 minutes)")
    assert isinstance(found, And)
    second = found.parts[1]
    assert isinstance(second, Test) and second.span is not None
    assert (second.column, second.where[0].column, second.comparison_column, second.value.column) == (12, 14, 19, 21)
    assert (second.span.column, second.span.window_column, second.span.hold_column) == (24, 29, 42)


@pytest.mark.parametrize("text", ["(" * 51 + "a > 5" + ")" * 51, "not " * 51 + "a > 5"])
def test_what_is_nested_too_deeply_is_told(text: str) -> None:
    with pytest.raises(ConditionError, match="more than 50"):
        parse(text)


def test_what_is_too_long_is_told() -> None:
    with pytest.raises(ConditionError) as caught:
        parse("a > 5 or " * 300 + "a > 5")
    assert caught.value.column == LONGEST + 1


# --- thresholds of 'resolve' ------------------------------------------------------------------------------------------

LIKE = Test("a", ">", Quantity(Fraction(5), "%"), Span(hold_ms=300_000))


@pytest.mark.parametrize(
    ("text", "comparison"),
    [("3%", "<="), ("<= 3%", "<="), ("< 3 %", "<"), ("a < 3%", "<"), ("a <= 3% for 5 minutes", "<="), (" >3%", ">")],
)
def test_a_threshold_or_a_condition_on_the_same(text: str, comparison: str) -> None:
    found = parse_threshold(text, LIKE)
    assert (found.signal, found.comparison, found.value, found.span) == (
        "a", comparison, Quantity(Fraction(3), "%"), LIKE.span,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("b < 3%", 1, "or a condition on a"),
        ("3% for 4 minutes", 4, "the span is that of the condition (for 5 minutes)"),
        ("a{b=c} < 3%", 3, "the filter is that of the condition"),
        ("3 percnt", 3, "got 'percnt'"),
        ("< 3% and a > 2%", 1, "expected a threshold"),
        ("", 1, "expected a number"),
    ],
)
def test_no_threshold(text: str, column: int, says: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_threshold(text, LIKE)
    assert caught.value.column == column, str(caught.value)
    assert says in caught.value.text


def test_opposites_come_in_pairs() -> None:
    assert all(OPPOSITE[OPPOSITE[one]] == one for one in OPPOSITE)


# --- durations and names ----------------------------------------------------------------------------------------------


@given(st.integers(1, LONGEST_SPAN_MS))
def test_a_duration_is_read_as_it_is_written(ms: int) -> None:
    assert parse_duration(duration_text(ms)) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1, "1 ms"),
        (1_500, "1500 ms"),
        (5_000, "5 seconds"),
        (60_000, "1 minute"),
        (86_400_000, "24 hours"),
        (172_800_000, "2 days"),
    ],
)
def test_a_duration_has_the_largest_whole_unit(ms: int, text: str) -> None:
    assert duration_text(ms) == text


@pytest.mark.parametrize("text", ["", "5", "minutes", "5 minuts", "-5 minutes", "5 minutes or so", "5%"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_duration(text)


def test_the_nearest_name_is_found_whatever_its_letters() -> None:
    assert nearest("CRITICAL", ["critical", "high"]) == "critical"
    assert nearest("zzz", ["critical", "high"]) is None
    assert nearest("high" * 1_000, ["critical", "high"]) is None


# --- properties -------------------------------------------------------------------------------------------------------

_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True).filter(is_name)
_NUMBERS = st.decimals(-(10**9), 10**9, places=3).map(Fraction)
_QUANTITIES = st.builds(Quantity, _NUMBERS, st.sampled_from([None, "%", "ms", "s", "seconds", "m", "minutes", "hours", "days"]))
_DURATIONS = st.integers(1, LONGEST_SPAN_MS)
_SPANS = st.one_of(
    st.none(),
    st.builds(Span, st.one_of(st.none(), _DURATIONS), _DURATIONS),
    st.builds(Span, _DURATIONS),
    st.just(Span(consecutive=True)),
)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters='"\n'), max_size=10)
_MATCHES = st.lists(
    st.builds(Match, _NAMES, st.one_of(_TEXTS, st.booleans(), st.integers(-(10**6), 10**6))),
    max_size=3,
    unique_by=lambda match: match.dimension,
).map(tuple)
_TESTS = st.builds(
    Test,
    _NAMES,
    st.sampled_from(sorted(OPPOSITE)),
    st.one_of(_QUANTITIES, st.builds(OfBaseline, _NUMBERS.map(lambda number: number / 100))),
    _SPANS,
    _MATCHES,
)


def _combined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    def flat(kind: type[And] | type[Or]) -> st.SearchStrategy[Condition]:
        # `a and (b and c)` is kept apart from `a and b and c`, so parts of the same kind are what the parser makes too.
        return st.lists(inner, min_size=2, max_size=3).map(lambda parts: kind(tuple(parts)))

    return st.one_of(inner.map(Not), flat(And), flat(Or))


_CONDITIONS: st.SearchStrategy[Condition] = st.recursive(_TESTS, _combined, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(_CONDITIONS)
def test_a_condition_is_read_as_it_is_written(condition: Condition) -> None:
    text = str(condition)
    if len(text) <= LONGEST:
        assert parse(text) == condition


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("ab <>=!{}()'\"%,0125.-andornotverfi\n\t", max_size=60)))
@example("\x00")
@example("a > 5 for" + " " * 1_900)
@example("a{" * 900)
@example("a > 5 or " * 222)
@example("-" * 1_999)
def test_the_parser_answers_whatever_the_text_is(text: str) -> None:
    try:
        parse(text)
    except ConditionError as error:
        assert 1 <= error.column <= max(len(text), 1) + 1
        assert error.text


_WORDS = [*"ab><%(){}=,5", "<=", "5m", "'x'", "of", "baseline", "over", "for", "in", "consecutive", "and", "or", "not"]
_PIECES = st.lists(st.sampled_from(_WORDS), max_size=20).map(" ".join)


@settings(max_examples=500, deadline=None)
@given(_PIECES)
def test_what_is_read_is_written_so_that_it_is_read_the_same(text: str) -> None:
    try:
        found = parse(text)
    except ConditionError:
        return
    assert parse(str(found)) == found
