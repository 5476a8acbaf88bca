"""Places in the week, clock changes, holidays."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from rules.baseline.calendar import Calendar, like_sundays, south_african_holidays, special_days

SLOT_MS = 900_000


def ms(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_midnight_is_that_of_the_people() -> None:
    place = Calendar().place(ms(2026, 11, 1, 22), SLOT_MS)
    assert (place.of_day, place.of_week) == (0, 0)
    assert Calendar("UTC").place(ms(2026, 11, 1, 22), SLOT_MS)[:2] == (88, 6 * 96 + 88)


def test_clocks_that_go_forward_leave_an_hour_out_and_back_repeat_one() -> None:
    berlin = Calendar("Europe/Berlin")
    spring = [berlin.place(ms(2026, 3, 29, 0) + at * SLOT_MS, SLOT_MS).of_day for at in range(8)]
    assert spring == [4, 5, 6, 7, 12, 13, 14, 15]
    autumn = [berlin.place(ms(2026, 10, 25, 0) + at * SLOT_MS, SLOT_MS).of_day for at in range(8)]
    assert autumn == [8, 9, 10, 11, 8, 9, 10, 11]


def test_a_special_day_is_a_sunday() -> None:
    calendar = Calendar(special=like_sundays([date(2026, 12, 25)]))
    noon = ms(2026, 12, 25, 10)
    assert calendar.place(noon, SLOT_MS).of_week == 6 * 96 + 48
    assert calendar.place(noon, SLOT_MS).special == "sunday"
    assert Calendar().place(noon, SLOT_MS).of_week == 4 * 96 + 48


def test_a_zone_that_there_is_not_is_refused() -> None:
    for zone in ("Africa/Tillwatch", "", "../etc"):
        with pytest.raises(ValueError, match="no time zone"):
            Calendar(zone)


def test_special_days_are_read_from_lines() -> None:
    text = "# this year\n2026-12-25\n\n2026-12-31 skip # stock-taking\n2027-01-01 sunday\n"
    assert special_days(text) == {
        date(2026, 12, 25): "sunday",
        date(2026, 12, 31): "skip",
        date(2027, 1, 1): "sunday",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-12-25\n25.12.2026", "line 2: expected a date such as 2026-12-25, not '25.12.2026'"),
        ("2026-02-30", "line 1: expected a date"),
        ("2026-12-25 monday", "line 1: expected 'sunday', 'skip' or nothing"),
        ("2026-12-25 skip it", "line 1: expected 'sunday', 'skip' or nothing"),
    ],
)
def test_a_line_that_is_no_special_day_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        special_days(text)
    assert told in str(error.value)


def test_the_holidays_of_south_africa() -> None:
    assert [f"{day:%m-%d}" for day in south_african_holidays(2026)] == [
        "01-01", "03-21", "04-03", "04-06", "04-27", "05-01", "06-16", "08-09", "08-10", "09-24", "12-16", "12-25", "12-26",
    ]  # fmt: skip
    assert date(2027, 3, 22) in south_african_holidays(2027), "the Monday after a Sunday"


@pytest.mark.parametrize(
    ("year", "good_friday"), [(2000, (4, 21)), (2008, (3, 21)), (2024, (3, 29)), (2025, (4, 18)), (2038, (4, 23))]
)
def test_good_friday_moves_with_the_moon(year: int, good_friday: tuple[int, int]) -> None:
    assert date(year, *good_friday) in south_african_holidays(year)
