"""When a share is surely beyond its threshold: the bound of its interval, and what chance brings in a month of looks."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.judges.chance import MONTH_MS, so_many, surely, wilson

Z = 1.959964
FIVE_PERCENT = Fraction(1, 20)
FIVE_MINUTES_MS = 300_000


def exactly(k: int, n: int, share: Fraction) -> Fraction:
    """The upper tail of the binomial distribution, term by term."""
    terms = (comb(n, some) * share**some * (1 - share) ** (n - some) for some in range(k, n + 1))
    return sum(terms, Fraction(0))


@given(st.integers(0, 120), st.integers(0, 120), st.fractions(0, Fraction(1, 2), max_denominator=1000))
def test_the_tail_is_that_of_the_binomial_distribution(n: int, k: int, share: Fraction) -> None:
    k = min(k, n)
    assert so_many(k, n, float(share)) == pytest.approx(float(exactly(k, n, share)), rel=1e-6, abs=1e-300)


def test_the_tail_of_many_is_found_at_once() -> None:
    assert so_many(1_000_000, 20_000_000, 0.05) == pytest.approx(0.5, abs=0.001)
    assert so_many(20_000_000, 20_000_000, 0.05) == 0.0


@pytest.mark.parametrize(
    ("succeeded", "least"), [(0, 5), (1, 4), (10, 5), (20, 6), (50, 8), (100, 11), (150, 14), (300, 24), (1_000, 68)]
)
def test_so_many_must_fail_beside_those_that_succeed(succeeded: int, least: int) -> None:
    sure = [k for k in range(3, 100) if succeeded + k >= 5 and over(k, succeeded + k)]
    assert sure == list(range(least, 100))


def over(k: int, n: int) -> bool:
    return Fraction(k, n) > FIVE_PERCENT and surely(">", FIVE_PERCENT, Z, FIVE_MINUTES_MS, k, n) is not None


def test_many_are_judged_by_the_bound_alone() -> None:
    for n in range(154, 1_500):
        least = next(k for k in range(n) if k > n / 20 and wilson(k, n, Z)[0] > 0.05)
        assert over(least, n) and not over(least - 1, n), n


@given(
    st.sampled_from([5_000, 60_000, 300_000, 3_600_000]),
    st.integers(1, 99),
    st.integers(1, 300),
    st.integers(0, 300),
)
def test_what_is_sure_comes_less_than_once_a_month_where_half_as_many_fail(
    window_ms: int, percent: int, n: int, k: int
) -> None:
    k = min(k, n)
    threshold = Fraction(percent, 100)
    healthy = min(threshold / 2, Fraction(1, 20))
    if k > threshold * n and surely(">", threshold, Z, window_ms, k, n) is not None:
        assert float(exactly(k, n, healthy)) * MONTH_MS / window_ms <= 1.000001


@given(st.integers(1, 99), st.integers(5, 300), st.integers(0, 300))
def test_a_share_that_is_too_low_is_one_of_the_others_that_is_too_high(percent: int, n: int, k: int) -> None:
    k, threshold = min(k, n), Fraction(percent, 100)
    too_high = surely(">", threshold, Z, FIVE_MINUTES_MS, k, n)
    too_low = surely("<", 1 - threshold, Z, FIVE_MINUTES_MS, n - k, n)
    assert (too_high is None) == (too_low is None)
    if too_high is not None and too_low is not None:
        assert too_high == pytest.approx(1 - too_low)


def test_who_does_not_ask_how_sure_it_is_is_not_told() -> None:
    assert surely(">", FIVE_PERCENT, 0.0, FIVE_MINUTES_MS, 1, 3) == 0.0
    assert surely("==", Fraction(1), Z, FIVE_MINUTES_MS, 5, 5) == 0.0
