"""The seasonal guard on traffic of all kinds: what it pages, what it leaves alone, and what it says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rules.baseline.calendar import Calendar, Treatment
from rules.baseline.guard import ENOUGH, LEAST_Z, Guard, Reading, slot_ms
from rules.baseline.words import sentence
from tests.rules.baseline.traffic import DAY_MS, HOUR_MS, MINUTE_MS, MONDAY_MS, Traffic, by_day, opened, weekdays

STEP_MS = 5 * MINUTE_MS
WEEK_MS = 7 * DAY_MS
BUSY = by_day(1200, 120)


def learned(days: float = 9, step_ms: int = STEP_MS, share: float = 0.5, seed: int = 1) -> tuple[Guard, Traffic]:
    """A guard that has seen so many days of ordinary traffic."""
    guard, traffic = Guard(step_ms, share=share), Traffic(BUSY, step_ms, seed=seed)
    traffic.feed(guard, round(days * DAY_MS))
    return guard, traffic


def first_open(readings: list[Reading]) -> int:
    """Which step opened a page."""
    return next(at for at, reading in enumerate(readings) if reading.open)


# --- learning ---------------------------------------------------------------------------------------------------------


def test_with_less_than_a_day_of_history_it_is_learning_whatever_comes() -> None:
    guard, traffic = Guard(STEP_MS), Traffic(BUSY, STEP_MS)
    readings = traffic.feed(guard, 20 * HOUR_MS) + traffic.feed(guard, 4 * HOUR_MS, times=0)
    assert {reading.state for reading in readings} == {"learning"}
    assert sentence("Payments", readings[47], Calendar()) == "Payments: LEARNING, 4 of 24 hours of history are known."


def test_after_a_day_it_judges() -> None:
    guard, traffic = learned(days=1)
    traffic.feed(guard, 12 * HOUR_MS)
    assert opened(traffic.feed(guard, HOUR_MS, times=0)) == 1


def test_time_that_nothing_is_known_of_is_no_history() -> None:
    guard, traffic = Guard(STEP_MS), Traffic(BUSY, STEP_MS)
    traffic.feed(guard, 12 * HOUR_MS)
    traffic.now += 3 * DAY_MS
    assert guard.learning
    assert {reading.state for reading in traffic.feed(guard, 11 * HOUR_MS)} == {"learning"}


# --- drops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_traffic_of_three_weeks_pages_nobody(seed: int) -> None:
    guard, traffic = learned(days=1, seed=seed)
    assert opened(traffic.feed(guard, 3 * WEEK_MS)) == 0


def test_an_outage_pages_within_fifteen_minutes_and_is_over_half_an_hour_after_its_end() -> None:
    guard, traffic = learned(days=9.5, step_ms=MINUTE_MS)
    outage = traffic.feed(guard, HOUR_MS, times=0)
    assert first_open(outage) < 15
    after = traffic.feed(guard, 2 * HOUR_MS)
    closed = next(at for at, reading in enumerate(after) if not reading.open)
    assert 30 <= closed + 1 <= 40
    assert opened(after[closed:]) == 0


def test_a_drop_to_two_fifths_pages_below_half_and_a_drop_to_two_thirds_does_not() -> None:
    guard, traffic = learned(days=9.5)
    kept = guard.snapshot()
    assert opened(traffic.feed(guard, 2 * HOUR_MS, times=0.4)) == 1
    guard, traffic = learned(days=9.5)
    assert guard.snapshot() == kept
    assert opened(traffic.feed(guard, 2 * HOUR_MS, times=0.67)) == 0


def test_the_share_is_the_rule_s() -> None:
    guard, traffic = learned(days=9.5, share=0.8)
    assert opened(traffic.feed(guard, 2 * HOUR_MS, times=0.6)) == 1


def test_two_silent_minutes_in_a_busy_window_are_no_drop() -> None:
    guard, traffic = learned(days=9.5, step_ms=MINUTE_MS)
    assert opened(traffic.feed(guard, 2 * MINUTE_MS, times=0) + traffic.feed(guard, HOUR_MS)) == 0


def test_half_a_recovery_is_none() -> None:
    guard, traffic = learned(days=9.5)
    assert traffic.feed(guard, HOUR_MS, times=0.2)[-1].open
    rings = guard.snapshot()["profiles"]["day"]["rings"]
    half = traffic.feed(guard, HOUR_MS, times=0.64)
    assert {reading.state for reading in half} == {"normal"}, "no longer below half"
    assert half[-1].open, "but far from what it was"
    assert guard.snapshot()["profiles"]["day"]["rings"] == rings, "and no example of what is normal"
    assert not traffic.feed(guard, HOUR_MS)[-1].open


def test_an_outage_across_midnight_is_one_page_and_the_jump_at_midnight_is_none() -> None:
    def night_job(at: datetime) -> float:
        return 2000 if at.hour < 2 else 200

    guard, traffic = Guard(STEP_MS, share=0.5), Traffic(night_job, STEP_MS)
    traffic.feed(guard, 3 * DAY_MS)
    assert opened(traffic.feed(guard, 4 * DAY_MS + 23 * HOUR_MS)) == 0
    outage = traffic.feed(guard, 2 * HOUR_MS, times=0)
    assert opened(outage) == 1
    assert outage[-1].expected == pytest.approx(500, rel=0.1)


def test_an_outage_that_goes_on_into_a_silent_night_is_not_over_by_silence() -> None:
    def shop(at: datetime) -> float:
        return 600 if 8 <= at.hour < 20 else 0

    guard, traffic = Guard(STEP_MS, share=0.5), Traffic(shop, STEP_MS)
    nights = traffic.feed(guard, 8 * DAY_MS + 18 * HOUR_MS)
    assert opened(nights) == 0, "silence where nothing is expected is no drop"
    outage = traffic.feed(guard, 14 * HOUR_MS, times=0)
    assert first_open(outage) <= 4
    assert outage[-1].open
    assert not traffic.feed(guard, 3 * HOUR_MS)[-1].open


def test_the_sentence_says_what_was_seen_and_what_was_expected() -> None:
    guard, traffic = learned(days=9.5)
    reading = traffic.feed(guard, HOUR_MS, times=0.2)[-1]
    said = sentence("Payments", reading, Calendar())
    assert said.startswith(f"Payments: {reading.value:.0f} in 15 min, expected {reading.expected:.0f} (")
    assert f"from the last {reading.rests_on} days at 13:00, down " in said
    assert said.endswith(f"{reading.z:.1f} times normal noise (pages above {reading.limit:.1f}).")


# --- few events -------------------------------------------------------------------------------------------------------


def test_two_a_minute_are_judged_in_the_window_of_the_rule() -> None:
    guard, traffic = Guard(MINUTE_MS, share=0.5), Traffic(lambda at: 120, MINUTE_MS)
    calm = traffic.feed(guard, 8 * DAY_MS)
    assert opened(calm) == 0
    assert not calm[-1].widened
    outage = traffic.feed(guard, HOUR_MS, times=0)
    assert first_open(outage) < 15


def test_fewer_events_widen_the_window_until_ten_are_expected_and_the_sentence_says_so() -> None:
    guard, traffic = Guard(MINUTE_MS, share=0.5), Traffic(lambda at: 12, MINUTE_MS)
    calm = traffic.feed(guard, 8 * DAY_MS)
    assert opened(calm) == 0
    last = calm[-1]
    assert last.low is not None
    assert last.low >= ENOUGH > last.low * (last.window_ms - MINUTE_MS) / last.window_ms - 0.5
    assert HOUR_MS / 2 < last.window_ms < 2 * HOUR_MS
    outage = traffic.feed(guard, 3 * HOUR_MS, times=0)
    assert opened(outage) == 1
    said = sentence("Payments", outage[first_open(outage)], Calendar())
    assert "(widened from 15 min until 10 were expected)" in said


def test_where_four_hours_are_not_enough_it_abstains_and_says_so() -> None:
    guard, traffic = Guard(MINUTE_MS), Traffic(lambda at: 1, MINUTE_MS)
    traffic.feed(guard, 3 * DAY_MS)
    silence = traffic.feed(guard, 6 * HOUR_MS, times=0)
    assert {reading.state for reading in silence} == {"few"}
    assert silence[-1].window_ms == 4 * HOUR_MS
    said = sentence("Payments", silence[-1], Calendar())
    assert said.endswith("too few to judge (at least 10 must be expected within 4 h).")


# --- noise ------------------------------------------------------------------------------------------------------------


def test_a_noisy_series_pages_rarely_where_half_of_the_expected_is_often_not_reached() -> None:
    guard, traffic = Guard(15 * MINUTE_MS, share=0.5), Traffic(BUSY, 15 * MINUTE_MS).noisy(0.5)
    traffic.feed(guard, 3 * DAY_MS)
    readings = traffic.feed(guard, 3 * WEEK_MS)
    low = [one for one in readings if one.value is not None and one.expected and one.value < one.expected / 2]
    assert len(low) > 60
    assert opened(readings) <= 1


def test_a_series_that_is_often_wild_raises_its_own_bar() -> None:
    guard, traffic = learned(days=9)
    assert traffic.feed(guard, DAY_MS)[-1].limit == LEAST_Z
    for _ in range(4):
        traffic.feed(guard, 12 * HOUR_MS)
        traffic.feed(guard, HOUR_MS, times=0)
        traffic.feed(guard, 11 * HOUR_MS)
    assert traffic.feed(guard, HOUR_MS)[-1].limit >= 1.25 * LEAST_Z


# --- what is learned --------------------------------------------------------------------------------------------------


def test_an_outage_is_no_example_of_what_is_normal() -> None:
    calm, same = learned(days=8.5), learned(days=8.5)
    calm[1].feed(calm[0], 6 * HOUR_MS)
    same[1].feed(same[0], 6 * HOUR_MS, times=0)
    expected = [traffic.feed(guard, 20 * HOUR_MS)[-1].expected for guard, traffic in (calm, same)]
    assert expected[0] is not None
    assert expected[1] == pytest.approx(expected[0], rel=0.05)


def test_nor_is_the_slot_in_which_it_began_before_anybody_knew() -> None:
    guard, traffic = learned(days=2.5, step_ms=MINUTE_MS)
    traffic.feed(guard, 8 * MINUTE_MS)
    noon = 48
    before = guard.snapshot()["profiles"]["day"]["rings"][noon]
    outage = traffic.feed(guard, HOUR_MS, times=0)
    assert 8 + first_open(outage) >= 15, "it was found in the next slot"
    traffic.feed(guard, 6 * HOUR_MS)
    assert guard.snapshot()["profiles"]["day"]["rings"][noon] == before


def test_what_has_lasted_for_a_day_is_the_new_normal() -> None:
    guard, traffic = learned(days=9.5, share=0.5)
    first = traffic.feed(guard, 23 * HOUR_MS, times=0.3)
    assert opened(first) == 1
    assert first[-1].open
    second = traffic.feed(guard, 4 * HOUR_MS, times=0.3)
    assert not second[-1].open
    assert opened(traffic.feed(guard, 3 * DAY_MS, times=0.3)) == 0
    assert opened(traffic.feed(guard, HOUR_MS, times=0)) == 1, "a drop below the new normal pages"


def test_a_new_normal_far_below_is_one_too() -> None:
    guard, traffic = learned(days=9.5, step_ms=MINUTE_MS)
    traffic.feed(guard, 28 * HOUR_MS, times=0.15)
    assert opened(traffic.feed(guard, DAY_MS, times=0.15)) == 0


def test_nothing_at_all_never_becomes_normal() -> None:
    guard, traffic = learned(days=9.5)
    assert traffic.feed(guard, 4 * DAY_MS, times=0)[-1].open
    back = traffic.feed(guard, HOUR_MS)[-1]
    assert back.expected == pytest.approx(300, rel=0.2)


def test_growth_is_followed_without_a_page() -> None:
    guard, traffic = learned(days=3)
    for day in range(14):
        assert opened(traffic.feed(guard, DAY_MS, times=1.05**day)) == 0


# --- weeks and special days -------------------------------------------------------------------------------------------


def test_a_weekend_is_learned() -> None:
    guard, traffic = Guard(STEP_MS, share=0.5), Traffic(weekdays(1200, 120), STEP_MS)
    traffic.feed(guard, 3 * WEEK_MS)
    week = traffic.feed(guard, WEEK_MS)
    assert opened(week) == 0
    noon = week[5 * 288 + 144]
    assert noon.which == "week"
    assert noon.expected == pytest.approx(30, rel=0.25)
    assert "from the last 3 Saturdays at 12:05" in sentence("Payments", noon, Calendar())
    traffic.feed(guard, 12 * HOUR_MS)
    assert opened(traffic.feed(guard, HOUR_MS, times=0.1)) == 1, "a Monday like a Sunday is a drop"


def holiday_week(calendar: Calendar) -> tuple[Guard, Traffic, list[Reading]]:
    """Three ordinary weeks, two days, and a Wednesday like a Sunday: 2026-11-25."""
    guard = Guard(STEP_MS, share=0.5, calendar=calendar)
    traffic = Traffic(weekdays(1200, 240), STEP_MS)
    traffic.feed(guard, 3 * WEEK_MS + 2 * DAY_MS)
    return guard, traffic, traffic.feed(guard, DAY_MS, times=0.2)


def test_a_holiday_pages_where_nobody_told_of_it() -> None:
    _, _, day = holiday_week(Calendar())
    assert opened(day) == 1


def test_a_holiday_is_judged_like_a_sunday_and_an_outage_in_it_is_found() -> None:
    guard, traffic, day = holiday_week(Calendar(special={date(2026, 11, 25): "sunday"}))
    assert opened(day) == 0
    assert day[144].expected == pytest.approx(60, rel=0.2)
    assert "Sundays" in sentence("Payments", day[144], Calendar())
    assert opened(traffic.feed(guard, 12 * HOUR_MS)) == 0, "the day after it is an ordinary one"
    _, traffic, _ = holiday_week(Calendar())
    guard = Guard(STEP_MS, share=0.5, calendar=Calendar(special={date(2026, 11, 25): "sunday"}))
    traffic = Traffic(weekdays(1200, 240), STEP_MS)
    traffic.feed(guard, 3 * WEEK_MS + 2 * DAY_MS)
    traffic.feed(guard, 12 * HOUR_MS, times=0.2)
    assert opened(traffic.feed(guard, HOUR_MS, times=0)) == 1


@pytest.mark.parametrize("treatment", ["sunday", "skip"])
def test_a_special_day_is_no_example_of_a_day(treatment: Treatment) -> None:
    guard = Guard(STEP_MS, share=0.5, calendar=Calendar(special={date(2026, 11, 11): treatment}))
    traffic = Traffic(lambda at: 1200, STEP_MS)
    traffic.feed(guard, 9 * DAY_MS + STEP_MS)
    before = guard.snapshot()
    traffic.feed(guard, DAY_MS - STEP_MS, times=0.8)
    after = guard.snapshot()
    assert after["profiles"]["day"] == before["profiles"]["day"]
    assert after["profiles"]["week"]["rings"] == before["profiles"]["week"]["rings"]
    assert after["mean"] == before["mean"]
    traffic.feed(guard, DAY_MS)
    assert guard.snapshot()["profiles"]["day"] != before["profiles"]["day"], "the next day is"


def test_a_day_to_be_skipped_is_neither_judged_nor_learned_from() -> None:
    guard, traffic, day = holiday_week(Calendar(special={date(2026, 11, 25): "skip"}))
    assert {reading.state for reading in day} == {"skipped"}
    assert sentence("Payments", day[0], Calendar()) == "Payments: a special day that is not judged."
    assert opened(traffic.feed(guard, WEEK_MS)) == 0
    assert traffic.feed(guard, HOUR_MS)[-1].expected == pytest.approx(300, rel=0.15)


# --- clocks -----------------------------------------------------------------------------------------------------------

OCTOBER_MS = round(datetime(2026, 10, 4, 22, tzinfo=UTC).timestamp() * 1000)
"""Monday 2026-10-05 00:00 in Berlin, where clocks go back on 2026-10-25."""


@pytest.mark.parametrize(("zone", "pages"), [("Europe/Berlin", 0), ("UTC", 1)])
def test_a_clock_change_is_no_drop_for_those_who_live_by_that_clock(zone: str, pages: int) -> None:
    def office(at: datetime) -> float:
        return 3000 if 8 <= at.hour < 18 else 100

    guard = Guard(STEP_MS, share=0.5, calendar=Calendar(zone))
    traffic = Traffic(office, STEP_MS, start_ms=OCTOBER_MS, zone="Europe/Berlin")
    before = traffic.feed(guard, 2 * WEEK_MS + 6 * DAY_MS)
    assert opened(before) == 0
    assert min(1, opened(traffic.feed(guard, 4 * DAY_MS))) == pages


# --- what is not known ------------------------------------------------------------------------------------------------


def test_what_is_not_known_is_not_zero() -> None:
    guard, traffic = learned(days=9.5, step_ms=MINUTE_MS)
    traffic.now += 6 * MINUTE_MS
    back = traffic.feed(guard, HOUR_MS)
    assert [reading.state for reading in back[:5]] == ["unknown"] * 5
    assert back[-1].state == "normal"
    assert opened(back) == 0
    said = sentence("Payments", back[0], Calendar())
    assert said == "Payments: not judged, less than 80 % of the last 15 min is known."


def test_a_busy_day_says_nothing_of_a_day_much_later() -> None:
    guard, traffic = learned(days=9)
    busy = traffic.feed(guard, 18 * HOUR_MS, times=1.6)[-1]
    usual = traffic.rate(datetime.fromtimestamp(traffic.now / 1000, ZoneInfo("Africa/Johannesburg"))) / 4
    assert busy.expected is not None
    assert busy.expected > 1.35 * usual
    traffic.now += 2 * DAY_MS
    later = traffic.feed(guard, HOUR_MS)[3]
    assert later.expected == pytest.approx(usual, rel=0.2)


def test_a_step_of_which_nothing_is_known_is_as_one_that_is_left_out() -> None:
    told, silent = learned(days=3)[0], learned(days=3)[0]
    start = told.next_ms
    assert start is not None
    told.step(start, None)
    for guard in (told, silent):
        for step in range(1, 20):
            guard.step(start + step * STEP_MS, 50.0)
    assert told.step(start + 20 * STEP_MS, 50.0) == silent.step(start + 20 * STEP_MS, 50.0)


def test_a_page_stays_open_while_nothing_is_known() -> None:
    guard, traffic = learned(days=9.5)
    assert traffic.feed(guard, HOUR_MS, times=0)[-1].open
    start = guard.next_ms
    assert start is not None
    assert all(guard.step(start + step * STEP_MS, None).open for step in range(60))


# --- values that are no counts ----------------------------------------------------------------------------------------


def test_measured_values_are_judged_both_ways() -> None:
    guard = Guard(STEP_MS, counts=False, direction="both")
    start = MONDAY_MS
    for step in range(9 * 288):
        guard.step(start + step * STEP_MS, 100 + (step * 37 % 11))
    start += 9 * 288 * STEP_MS
    kept = guard.snapshot()
    assert [guard.step(start + step * STEP_MS, 20.0) for step in range(3)][-1].state == "drop"
    guard = Guard(STEP_MS, counts=False, direction="both")
    guard.restore(kept)
    high = [guard.step(start + step * STEP_MS, 300.0) for step in range(3)][-1]
    assert high.state == "rise"
    assert "up 185 %" in sentence("Latency", high, Calendar())


def test_a_rise_of_a_volume_is_above_the_rule_s_share() -> None:
    for rise, pages in ((1.5, 1), (2.5, 0)):
        guard, traffic = Guard(STEP_MS, direction="rise", rise=rise), Traffic(BUSY, STEP_MS)
        assert opened(traffic.feed(guard, 9 * DAY_MS + 12 * HOUR_MS)) == 0
        assert opened(traffic.feed(guard, HOUR_MS, times=2)) == pages
        assert opened(traffic.feed(guard, HOUR_MS, times=0)[-1:]) == 0, "silence is no rise"


# --- use --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "slot"), [(1, 15), (5, 15), (15, 15), (10, 20), (4, 16), (12, 24), (20, 20), (30, 30), (60, 60)]
)
def test_a_slot_holds_whole_steps_and_a_day_whole_slots(minutes: int, slot: int) -> None:
    assert slot_ms(minutes * MINUTE_MS) == slot * MINUTE_MS


@pytest.mark.parametrize("step", [0, 1000, 30_000, 90_000, 7 * MINUTE_MS, 2 * HOUR_MS])
def test_a_step_that_does_not_fit_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="1 minute to 1 hour"):
        Guard(step)


def test_steps_go_forward_on_their_grid() -> None:
    guard = Guard(MINUTE_MS)
    guard.step(MONDAY_MS, 1)
    with pytest.raises(ValueError, match="go forward"):
        guard.step(MONDAY_MS, 1)
    with pytest.raises(ValueError, match="cannot begin"):
        guard.step(MONDAY_MS + MINUTE_MS + 1, 1)


def test_a_snapshot_of_another_kind_is_refused() -> None:
    guard, _ = learned(days=1.1)
    kept = guard.snapshot()
    with pytest.raises(ValueError, match="was kept for"):
        Guard(MINUTE_MS).restore(kept)
    with pytest.raises(ValueError, match="was kept for"):
        Guard(STEP_MS, calendar=Calendar("UTC")).restore(kept)
    with pytest.raises(ValueError, match="damaged"):
        Guard(STEP_MS).restore({name: one for name, one in kept.items() if name != "page"})
