"""Business days: the working week and public holidays, those that are moved among them, in the zone that is asked in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.people.business import Calendar, countries, is_business_day, next_business_day

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")


def local(text: str, zone: ZoneInfo = JOHANNESBURG) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-30T06:00", "2026-11-30T08:00"),  # Monday, before opening
        ("2026-11-30T08:00", "2026-12-01T08:00"),
        ("2026-11-30T22:00", "2026-12-01T08:00"),
        ("2026-11-27T12:00", "2026-11-30T08:00"),  # Friday
        ("2026-12-15T12:00", "2026-12-17T08:00"),  # the Day of Reconciliation
        ("2026-12-24T12:00", "2026-12-28T08:00"),  # Christmas, the Day of Goodwill on a Saturday, and a Sunday
        (
            "2022-12-23T12:00",
            "2022-12-28T08:00",
        ),  # Christmas on a Sunday makes the 26th free, and a proclamation the 27th
        ("2026-08-07T12:00", "2026-08-11T08:00"),  # Women's Day is a Sunday: the Monday is free
        ("2026-04-02T12:00", "2026-04-07T08:00"),  # Easter
    ],
)
def test_south_africas_next_business_day(at: str, opens: str) -> None:
    assert next_business_day(local(at)) == local(opens)


def test_other_countries_work_on_other_days() -> None:
    friday = local("2026-11-26T20:00", ZoneInfo("Asia/Dubai"))
    assert next_business_day(friday, "ZA").weekday() == 4
    assert next_business_day(local("2026-12-24T09:00"), "US") == local("2026-12-28T08:00")
    assert not is_business_day(date(2026, 11, 27), "EG"), "Friday"
    assert is_business_day(date(2026, 11, 29), "EG"), "Sunday"


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    epiphany = date(2026, 1, 6)
    assert is_business_day(epiphany, "DE") and not is_business_day(epiphany, "DE-BY")
    assert {"ZA", "DE", "DE-BY", "GB-SCT"} <= countries()


def test_an_opening_is_by_the_clock_of_the_zone_also_when_it_changes() -> None:
    zone = ZoneInfo("Europe/London")
    assert next_business_day(local("2026-03-27T12:00", zone), "GB").astimezone(UTC).time() == time(7)
    assert next_business_day(local("2026-10-23T12:00", zone), "GB").astimezone(UTC).time() == time(8)


def test_a_calendar_asks_in_its_own_zone() -> None:
    calendar = Calendar(zone=JOHANNESBURG, opens=time(9), closes=time(16))
    assert calendar.next_business_day(datetime(2026, 11, 30, 6, 59, tzinfo=UTC)) == local("2026-11-30T09:00")
    assert calendar.next_business_day(datetime(2026, 11, 30, 7, tzinfo=UTC)) == local("2026-12-01T09:00")
    assert not calendar.is_business_time(datetime(2026, 11, 30, 6, 59, tzinfo=UTC))
    assert calendar.is_business_time(datetime(2026, 11, 30, 7, tzinfo=UTC))
    assert calendar.is_business_time(datetime(2026, 11, 30, 13, 59, tzinfo=UTC))
    assert not calendar.is_business_time(datetime(2026, 11, 30, 14, tzinfo=UTC))
    assert not calendar.is_business_time(datetime(2026, 12, 16, 10, tzinfo=UTC)), "a public holiday"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        next_business_day(datetime(2026, 11, 30))


ZONES = st.sampled_from(["Africa/Johannesburg", "Europe/London", "America/New_York", "UTC"]).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=ZONES)


@settings(max_examples=50)
@given(MOMENTS, st.sampled_from(["ZA", "GB", "US", "AE", "CN"]), st.times(max_value=time(23, 59)))
def test_it_is_the_first_opening_of_a_business_day_after_the_moment(at: datetime, country: str, opens: time) -> None:
    found = next_business_day(at, country, opens)
    assert found.astimezone(UTC) > at.astimezone(UTC)
    assert is_business_day(found.date(), country) and found.time() == opens and found.tzinfo == at.tzinfo
    between = [at.date() + timedelta(days=days) for days in range((found.date() - at.date()).days)]
    openings = [datetime.combine(day, opens, at.tzinfo) for day in between if is_business_day(day, country)]
    assert all(opening.astimezone(UTC) <= at.astimezone(UTC) for opening in openings)
