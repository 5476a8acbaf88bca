"""Days and hours of duty, also in nights in which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.schedule import DAYS, Schedule, ScheduleError, instant, schedule, time_of, zone_of

LONDON = ZoneInfo("Europe/London")
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("business hours", "mon,tue,wed,thu,fri 08:00-17:00 Africa/Johannesburg"),
        ("fri-mon 22:00-06:00 Europe/Paris", "mon,fri,sat,sun 22:00-06:00 Europe/Paris"),
        ("daily 00:00-00:00", "mon,tue,wed,thu,fri,sat,sun 00:00-00:00 Africa/Johannesburg"),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, meant: str) -> None:
    assert str(schedule(text)) == meant


def test_a_schedule_without_a_zone_is_in_the_zone_that_it_is_for() -> None:
    assert schedule("mon 08:00-17:00", "Europe/London").zone == LONDON
    assert schedule("mon 08:00-17:00 Europe/Paris", "Europe/London").zone.key == "Europe/Paris"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mon-fry 08:00-17:00", "expected days"),
        ("mon 08:00-25:00", "expected a time of day"),
        ("mon 08:00-17:00 Europe/Londn", "did you mean Europe/London?"),
        ("mon 08:00-17:00 Europe", "no time zone 'Europe'"),
        ("08:00", "expected 'business hours'"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said.replace("?", r"\?")):
        schedule(text)


@pytest.mark.parametrize("text", ["8:00", "24:00", "08:60", "08:00:00", "T08:00", ""])
def test_a_time_of_day_is_hours_and_minutes(text: str) -> None:
    with pytest.raises(ScheduleError):
        time_of(text)


@pytest.mark.parametrize("name", ["", "Africa", "../etc", "\0", "Mars/Olympus"])
def test_a_zone_that_is_none_is_told(name: str) -> None:
    with pytest.raises(ScheduleError):
        zone_of(name)


def test_a_time_that_comes_twice_is_the_first_and_one_that_never_comes_is_by_the_clock_before() -> None:
    assert instant(datetime(2026, 10, 25).date(), time(1, 30), LONDON) == utc("2026-10-25T00:30")
    assert instant(datetime(2026, 3, 29).date(), time(1, 30), LONDON) == utc("2026-03-29T01:30")


def test_nine_to_five_is_nine_to_five_on_both_sides_of_a_clock_change() -> None:
    spans = schedule("daily 09:00-17:00 Europe/London").spans(utc("2026-03-28T00:00"), utc("2026-03-30T00:00"))
    assert list(spans) == [
        (utc("2026-03-28T09:00"), utc("2026-03-28T17:00")),
        (utc("2026-03-29T08:00"), utc("2026-03-29T16:00")),
    ]


def test_a_night_in_which_clocks_go_back_is_an_hour_longer() -> None:
    [(begin, end)] = schedule("sat 22:00-06:00 Europe/London").spans(utc("2026-10-25T00:00"), utc("2026-10-26T00:00"))
    assert end - begin == timedelta(hours=9)


def test_what_a_clock_change_leaves_nothing_of_is_left_out() -> None:
    assert list(schedule("sun 01:30-02:00 Europe/London").spans(utc("2026-03-28T00:00"), utc("2026-03-31T00:00"))) == []


ZONES = st.sampled_from(["Africa/Johannesburg", "Europe/London", "America/New_York", "Pacific/Kiritimati"]).map(
    ZoneInfo
)
TIMES = st.times(max_value=time(23, 59)).map(
    lambda at: at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
)
SCHEDULES = st.builds(Schedule, st.frozensets(st.integers(0, 6), min_size=1), begin=TIMES, end=TIMES, zone=ZONES)


@given(SCHEDULES, st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)))
def test_a_moment_is_on_duty_when_the_clock_on_the_wall_says_so(one: Schedule, at: datetime) -> None:
    moment = at.replace(tzinfo=UTC)
    local = moment.astimezone(one.zone)
    offsets = {(moment + timedelta(hours=hours)).astimezone(one.zone).utcoffset() for hours in range(-26, 27)}
    if len(offsets) > 1:
        return  # the nights of clock changes have tests of their own
    shown, whole = local.time(), one.end <= one.begin
    today = local.weekday() in one.days and shown >= one.begin and (whole or shown < one.end)
    yesterday = whole and (local.weekday() - 1) % 7 in one.days and shown < one.end
    assert one.covers(moment) == (today or yesterday)


@given(SCHEDULES, st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 10)))
def test_the_next_time_on_duty_is_now_or_a_begin(one: Schedule, at: datetime) -> None:
    ms = round(at.replace(tzinfo=UTC).timestamp()) * 1000
    found = datetime.fromtimestamp(one.next(ms) / 1000, UTC)
    now = datetime.fromtimestamp(ms / 1000, UTC)
    assert one.covers(found)
    assert found >= now
    if found > now:
        assert not one.covers(now)
        assert not any(begin < found for begin, _ in one.spans(now, found))


def test_every_day_has_a_name() -> None:
    assert [min(schedule(f"{day} 08:00-09:00").days) for day in DAYS] == list(range(7))
