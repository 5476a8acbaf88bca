"""How often somebody may do something: a burst, then a rate, in a memory that does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.buckets import SLOTS, Buckets


class Now:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_burst_passes_and_then_as_many_as_the_rate_says() -> None:
    now = Now()
    buckets = Buckets(3, 0.5, now)
    assert [buckets.take("thandi") for _ in range(4)] == [0, 0, 0, 2.0]
    now.s = 1.0
    assert buckets.take("thandi") == pytest.approx(1.0)
    now.s = 2.0
    assert [buckets.take("thandi"), buckets.take("thandi")] == [0, pytest.approx(2.0)]


def test_others_are_not_held_up_by_it() -> None:
    buckets = Buckets(1, 0.1, Now())
    assert buckets.take("thandi") == 0 and buckets.take("thandi") > 0
    assert sum(buckets.take(f"other {n}") == 0 for n in range(50)) >= 48, "but for the few that share a bucket"


def test_what_was_all_right_counts_for_nothing() -> None:
    buckets = Buckets(1, 0.1, Now())
    buckets.take("thandi")
    buckets.give_back("thandi")
    assert buckets.take("thandi") == 0


def test_many_names_push_nobody_out_and_take_no_more_memory() -> None:
    buckets = Buckets(1, 0.001, Now())
    buckets.take("thandi")
    for number in range(3 * SLOTS):
        buckets.take(str(number))
    assert buckets.take("thandi") > 0
    assert len(buckets._left) <= SLOTS


@given(st.integers(1, 20), st.floats(0.1, 10), st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_the_burst_and_the_rate_together_allow(burst: int, rate_s: float, pauses: list[float]) -> None:
    now = Now()
    buckets, passed = Buckets(burst, rate_s, now), 0
    for pause in pauses:
        now.s += pause
        passed += buckets.take("thandi") == 0
    assert passed <= burst + rate_s * now.s + 1e-6
