"""What holds of the guard whatever it is fed."""

from __future__ import annotations

import json
import random
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.past import poisson
from rules.baseline.calendar import Calendar
from rules.baseline.guard import SLOT_MS, Direction, Guard, Reading
from rules.baseline.profile import COUNTS, VALUES, trimmed_mean
from rules.baseline.week import WeekMean
from rules.baseline.words import sentence
from tests.rules.baseline.traffic import COUNTED_UP_TO, HOUR_MS, MONDAY_MS

Series = list[float | None]


def series(seed: int, length: int, busy: float) -> Series:
    """Days with outages, bursts and gaps in them."""
    chance = random.Random(seed)
    values: Series = []
    factor, left = 1.0, 0
    for step in range(length):
        if left == 0 and chance.random() < 0.03:
            factor, left = chance.choice((0.0, 0.0, 0.3, 3.0, -1.0)), chance.randint(1, 40)
        elif left == 0:
            factor = 1.0
        left = max(0, left - 1)
        mean = busy * (1.2 if step % 24 < 12 else 0.4)
        values.append(None if factor < 0 else float(poisson(chance, mean * factor, COUNTED_UP_TO)))
    return values


def fed(guard: Guard, values: Series, first: int = 0) -> list[Reading]:
    return [guard.step(MONDAY_MS + (first + at) * guard.step_ms, value) for at, value in enumerate(values)]


CASES = st.tuples(
    st.integers(0, 10_000), st.sampled_from([1.0, 5.0, 40.0, 2000.0]), st.sampled_from([SLOT_MS, HOUR_MS])
)


@settings(max_examples=40, deadline=None)
@given(CASES, st.lists(st.integers(0, 400), max_size=4), st.sampled_from(["drop", "both"]))
def test_a_guard_that_is_kept_and_restored_anywhere_goes_on_as_if_nothing_had_been(
    case: tuple[int, float, int], cuts: list[int], direction: Direction
) -> None:
    seed, busy, step_ms = case
    values = series(seed, 400, busy)
    whole = Guard(step_ms, direction=direction)
    expected = fed(whole, values)
    found: list[Reading] = []
    guard = Guard(step_ms, direction=direction)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True):
        kept = json.loads(json.dumps(guard.snapshot()))
        guard = Guard(step_ms, direction=direction)
        guard.restore(kept)
        found += fed(guard, values[start:end], start)
    assert found == expected
    assert guard.snapshot() == whole.snapshot()


def test_the_series_of_these_properties_open_and_close_pages_and_leave_gaps() -> None:
    readings = [one for seed in range(20) for one in fed(Guard(HOUR_MS), series(seed, 400, 40))]
    states = {one.state for one in readings}
    assert states >= {"learning", "normal", "drop", "unknown"}
    assert sum(one.open for one in readings) > 50


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_a_reading_agrees_with_itself(case: tuple[int, float, int]) -> None:
    seed, busy, step_ms = case
    guard = Guard(step_ms, direction="both")
    for reading in fed(guard, series(seed, 400, busy)):
        assert reading.end_ms - reading.start_ms <= 4 * HOUR_MS
        assert isfinite(reading.z)
        assert sentence("Volume", reading, Calendar())
        if reading.value is None:
            assert reading.state in ("learning", "unknown")
            assert not reading.clear
            continue
        assert reading.low is not None
        assert reading.expected is not None
        assert reading.high is not None
        assert 0 <= reading.low <= reading.expected <= reading.high
        assert not (reading.breach and reading.clear)
        if reading.state == "drop":
            assert reading.low >= 10
            assert reading.value < reading.share * reading.low
            assert reading.z > reading.limit >= 4
            assert reading.open


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_a_trimmed_mean_lies_within_its_values(values: list[float]) -> None:
    assert min(values) <= trimmed_mean(values) <= max(values) or trimmed_mean(values) == pytest.approx(values[0])


@pytest.mark.parametrize("scale", [COUNTS, VALUES])
@given(mu=st.floats(0, 1e6), x=st.floats(0, 1e6))
def test_a_deviation_leads_back_to_the_value(scale: object, mu: float, x: float) -> None:
    assert isinstance(scale, type(COUNTS))
    assert scale.shifted(mu, scale.deviation(x, mu)) == pytest.approx(x, rel=1e-6, abs=1e-6)


def test_the_week_s_mean_goes_on_from_a_snapshot_and_tells_what_is_far_off() -> None:
    chance = random.Random(3)
    values = [chance.gauss(100, 5) for _ in range(24 * 10)]
    whole, guard = WeekMean(HOUR_MS), WeekMean(HOUR_MS)
    for at, value in enumerate(values):
        restored = WeekMean(HOUR_MS)
        restored.restore(json.loads(json.dumps(guard.snapshot())))
        guard = restored
        start = MONDAY_MS + at * HOUR_MS
        assert guard.step(start, value) == whole.step(start, value)
    kept = guard.snapshot()
    after = MONDAY_MS + len(values) * HOUR_MS
    assert guard.step(after, 130) > 3.5
    assert guard.step(after + HOUR_MS, 70) < -3.5
    assert guard.step(after + 2 * HOUR_MS, 105) == 0
    guard.restore(kept)
    off = [guard.step(after + at * HOUR_MS, 200 + at % 3) for at in range(24 * 9)]
    assert off[0] > 0
    assert off[-1] == 0, "what lasts is the new normal"


def test_the_week_s_mean_is_silent_on_its_first_day() -> None:
    guard = WeekMean(HOUR_MS)
    assert [guard.step(MONDAY_MS + at * HOUR_MS, 5.0 if at < 20 else 500.0) for at in range(24)] == [0.0] * 24
