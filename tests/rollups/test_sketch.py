"""Quantiles: within one percent, and the same however the values were split up and merged."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rollups.sketch import ALPHA, add_bins, bin_of, quantile, value_of

values = st.lists(st.integers(0, 10**15), min_size=1, max_size=200)


def sketch_of(numbers):
    bins = {}
    for number in numbers:
        add_bins(bins, {bin_of(number): 1})
    return bins


@given(st.integers(1, 10**15))
def test_the_value_of_a_bin_is_within_one_percent_of_every_value_in_it(value):
    assert math.isclose(value_of(bin_of(value)), value, rel_tol=ALPHA + 1e-9)


@given(values, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_one_percent_of_the_value_at_its_rank(numbers, q):
    exact = sorted(numbers)[math.floor(q * (len(numbers) - 1))]
    found = quantile(sketch_of(numbers), q)
    assert found is not None
    assert abs(found - exact) <= (ALPHA + 1e-9) * exact


@given(values, values)
def test_merging_two_sketches_is_sketching_all_values(ours, theirs):
    merged = sketch_of(ours)
    add_bins(merged, sketch_of(theirs))
    assert merged == sketch_of(ours + theirs)


def test_an_empty_sketch_has_no_quantile():
    assert quantile({}, 0.5) is None


def test_zero_is_a_value_of_its_own():
    assert quantile(sketch_of([0, 0, 0, 5]), 0.5) == 0.0
