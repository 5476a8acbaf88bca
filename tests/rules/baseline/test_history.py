"""History from files, and what a guard knows from it."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.baseline.guard import Guard
from rules.baseline.history import Row, read, spread, warm
from tests.rules.baseline.traffic import DAY_MS, HOUR_MS, MINUTE_MS, MONDAY_MS, Traffic, by_day, opened


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def test_times_are_rfc_3339_or_epoch_seconds_or_milliseconds() -> None:
    texts = (
        "time,value\n2026-11-02T00:00:00+02:00,5\n2026-11-02T01:00:00+02:00,7.5",
        "1793570400,5\n1793574000,7.5",
        "1793570400000,5\n1793574000000,7.5",
        '"TimeStamp","Value","Label"\n"2026-11-01T22:00:00Z",5,0\n"2026-11-01T23:00:00Z",7.5,1',
        "label,value,time\n0,5,1793570400\n1,7.5,1793574000",
    )
    for text in texts:
        history = read(lines(text))
        assert history.rows == [(MONDAY_MS, 5.0), (MONDAY_MS + HOUR_MS, 7.5)]
        assert history.step_ms == HOUR_MS
        assert history.labels == ([False, True] if "abel" in text else None)
        assert not history.counts


def test_missing_steps_and_values_are_not_known_and_told() -> None:
    history = read(lines("0,1\n60,2\n120,\n300,4\n300,5\n360,6"))
    assert history.rows == [(0, 1), (60_000, 2), (120_000, None), (300_000, 5), (360_000, 6)]
    assert history.remarks == [
        "line 5: 1970-01-01T00:05:00.000Z stands there twice; the later row counts",
        "2 steps missing before 1970-01-01T00:05:00.000Z",
    ]
    assert history.counts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,value\n0,1", "at least two rows"),
        ("", "at least two rows"),
        ("time,what\n0,1\n60,2", "line 1: expected a column value; the header names time, what"),
        ("yesterday,1\n60,2", "line 1: 'yesterday': expected an RFC 3339 time"),
        ("0,1\n60,many", "line 2: expected a number, not 'many'"),
        ("0,1\n60,nan", "line 2: expected a number, not 'nan'"),
        ("0,1\n60,2\n0,1", "line 3: 1970-01-01T00:00:00.000Z comes after 1970-01-01T00:01:00.000Z"),
        ("0,1\n60,2\n150,1\n210,1", "does not fit the steps of 1 min"),
        ("0,1\n1,1\n2,1", "1 minute to 1 hour"),
        ("0,1\n7200,1", "1 minute to 1 hour"),
        ("0,1,maybe\n60,1,0", "line 1: expected a label 0 or 1, not 'maybe'"),
        ("-5,1\n60,2", "line 1: -5 is no time"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        read(lines(text))
    assert told in str(error.value)


NUMBERS = st.floats(0, 1e6)


@given(before=NUMBERS, value=NUMBERS, after=NUMBERS, n=st.integers(1, 60))
def test_what_is_spread_adds_up_and_makes_no_new_extremes(before: float, value: float, after: float, n: int) -> None:
    parts = spread(before, value, after, n)
    assert len(parts) == n
    assert sum(parts) / n == pytest.approx(value, abs=1e-6)
    assert min(parts) >= min(before, value, after) - 1e-6
    assert max(parts) <= max(before, value, after) + 1e-6


def test_a_slope_is_spread_as_one_and_a_lonely_hour_evenly() -> None:
    assert spread(0, 400, 800, 4) == [250, 350, 450, 550]
    assert spread(None, 400, 800, 4) == [400] * 4
    assert spread(100, 400, 100, 4) == [400] * 4


def hours(days: int) -> list[Row]:
    """A smooth day of 60 to 600 an hour, as an hourly table has it."""
    return [
        (MONDAY_MS + hour * HOUR_MS, float(round(330 + 270 * cos((hour % 24 + 0.5 - 14) / 12 * pi))))
        for hour in range(days * 24)
    ]


def test_hours_of_history_let_minutes_be_judged_at_once() -> None:
    guard = Guard(MINUTE_MS, share=0.5)
    warm(guard, hours(8), HOUR_MS)
    assert not guard.learning
    traffic = Traffic(by_day(600, 60), MINUTE_MS, start_ms=MONDAY_MS + 8 * DAY_MS)
    morning = traffic.feed(guard, 12 * HOUR_MS)
    assert opened(morning) == 0
    judged = [one for one in morning if one.state not in ("unknown", "few")]
    assert len(judged) > 11 * 60
    truth = {at: 60 + 540 * (1 + cos((at - 14) / 12 * pi)) / 2 for at in (7.875, 9.875, 11.875)}
    for at, rate in truth.items():
        reading = morning[round((at + 0.125) * 60) - 1]
        assert reading.expected == pytest.approx(rate / 4, rel=0.12)
    outage = traffic.feed(guard, HOUR_MS, times=0)
    assert next(at for at, one in enumerate(outage) if one.open) < 15


def test_hours_are_spread_into_quarters_not_put_down_as_stairs() -> None:
    guard = Guard(MINUTE_MS)
    warm(guard, hours(3), HOUR_MS)
    rings = [ring[-1] for ring in guard.snapshot()["profiles"]["day"]["rings"]]
    steps = [abs(later - earlier) for earlier, later in pairwise(rings[24:48])]
    assert max(steps) < 3 * min(steps), "from six to noon it climbs evenly"
    assert sum(rings[32:36]) * 15 == pytest.approx(hours(1)[8][1], rel=1e-4)


@pytest.mark.parametrize("minutes", [1, 5, 15, 20, 30, 60])
def test_history_of_any_step_says_the_same(minutes: int) -> None:
    guard = Guard(MINUTE_MS)
    width = minutes * MINUTE_MS
    rows: list[Row] = [(MONDAY_MS + at, 2.0 * minutes) for at in range(0, 3 * DAY_MS, width)]
    warm(guard, rows, width)
    start = MONDAY_MS + 3 * DAY_MS
    readings = [guard.step(start + at * MINUTE_MS, 2.0) for at in range(20)]
    assert readings[-1].expected == pytest.approx(30, rel=0.01)
    assert readings[-1].state == "normal"


def test_measured_values_are_not_divided() -> None:
    guard = Guard(MINUTE_MS, counts=False)
    warm(guard, [(MONDAY_MS + at * HOUR_MS, 250.0) for at in range(72)], HOUR_MS)
    start = MONDAY_MS + 72 * HOUR_MS
    assert [guard.step(start + at * MINUTE_MS, 250.0) for at in range(15)][-1].expected == pytest.approx(250, rel=0.01)


def test_a_weekend_is_known_from_four_weeks_of_hours() -> None:
    guard = Guard(MINUTE_MS, share=0.5)
    rows: list[Row] = [
        (MONDAY_MS + hour * HOUR_MS, 60.0 if hour // 24 % 7 >= 5 else 600.0) for hour in range((4 * 7 + 5) * 24)
    ]
    warm(guard, rows, HOUR_MS)
    traffic = Traffic(lambda at: 60, MINUTE_MS, start_ms=MONDAY_MS + 33 * DAY_MS)
    saturday = traffic.feed(guard, 6 * HOUR_MS)
    assert opened(saturday) == 0
    assert saturday[-1].expected == pytest.approx(15, rel=0.3)


def test_hours_of_which_nothing_is_known_are_not_zero() -> None:
    guard = Guard(MINUTE_MS)
    rows = [(start, None if 30 <= at < 40 else value) for at, (start, value) in enumerate(hours(3))]
    warm(guard, rows, HOUR_MS)
    assert min(min(ring) for ring in guard.snapshot()["profiles"]["day"]["rings"]) > 0.9


def test_history_must_not_be_finer_than_the_baseline_nor_lie_behind_it() -> None:
    guard = Guard(HOUR_MS)
    with pytest.raises(ValueError, match="finer"):
        warm(guard, [(MONDAY_MS, 1.0)], MINUTE_MS)
    guard = Guard(MINUTE_MS)
    guard.step(MONDAY_MS + DAY_MS, 1.0)
    with pytest.raises(ValueError, match="go forward"):
        warm(guard, hours(1), HOUR_MS)
