"""When a table is silent: after two minutes, and after four of the longest gaps of the hour before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random

import pytest

from rules.activity import Activity, restored

BUCKET_MS, AFTER_MS = 5_000, 120_000
T0 = 1_795_392_000_000
KEY = ("succeeded",)


def of(starts: Iterable[int], count: int = 1) -> Activity:
    """The activity of events in the buckets that begin so many seconds after T0."""
    found = Activity()
    for second in starts:
        found.update(T0 + second * 1_000 // BUCKET_MS * BUCKET_MS, KEY, count)
    return found


def silent_after(activity: Activity) -> int | None:
    """So many seconds after the end of its last bucket it is silent."""
    assert activity.last is not None
    end = activity.last + BUCKET_MS
    for second in range(0, 3_600, 5):
        since = activity.silent_since(end + second * 1_000, BUCKET_MS, AFTER_MS)
        if since is not None:
            assert since == end
            return second
    return None


@pytest.mark.parametrize(
    ("every_s", "seconds"), [(5, 120), (30, 120), (35, 120), (40, 140), (60, 220)], ids=lambda value: f"{value} s"
)
def test_what_comes_by_the_clock_is_silent_when_the_fifth_is_missed(every_s: int, seconds: int) -> None:
    assert silent_after(of(range(0, 3_600, every_s))) == seconds


def test_one_long_gap_is_enough_to_wait_for_longer() -> None:
    steady = [*range(0, 1_800, 5), *range(2_000, 3_600, 5)]
    assert silent_after(of(steady)) == 4 * 200


def test_a_gap_that_is_an_hour_old_is_forgotten() -> None:
    longer_ago = [*range(0, 300, 5), *range(600, 4_800, 5)]
    assert silent_after(of(longer_ago)) == 120


def test_a_late_event_closes_the_gap_that_it_lies_in() -> None:
    activity = of([*range(0, 3_000, 5), *range(3_300, 3_600, 5)])
    assert silent_after(activity) == 4 * 300
    for second in range(3_000, 3_300, 5):
        activity.update(T0 + second * 1_000, KEY, 1)
    assert silent_after(activity) == 120


def test_fewer_than_one_event_a_minute_are_too_few_to_expect_more() -> None:
    assert silent_after(of(range(0, 3_600, 75))) is None
    assert silent_after(of(range(0, 3_600, 75), count=2)) == 4 * 70


def test_payments_in_no_order_are_hardly_ever_silent_by_chance() -> None:
    """A month at two a minute: by two minutes alone one gap in fifty would be a silence."""
    rng, second, false, beyond_two = Random(5), 0.0, 0, 0
    activity = Activity()
    while second < 30 * 86_400:
        gap = rng.expovariate(2 / 60)
        end = T0 + int((second + gap) * 1_000) // BUCKET_MS * BUCKET_MS
        if gap > 125:
            beyond_two += 1
            false += activity.silent_since(end, BUCKET_MS, AFTER_MS) is not None
        second += gap
        activity.update(end, KEY, 1)
        activity.forget()
    assert beyond_two > 1_000 and false <= 1


def test_it_is_the_same_after_a_restart() -> None:
    activity = of([*range(0, 1_800, 5), *range(1_995, 3_600, 5)])
    again = restored(json.loads(json.dumps(activity.kept())))
    assert silent_after(again) == silent_after(activity)


def test_what_was_kept_without_gaps_counts_as_full() -> None:
    kept = of(range(0, 3_600, 60)).kept()
    del kept["spans"]
    assert silent_after(restored(json.loads(json.dumps(kept)))) == 120
