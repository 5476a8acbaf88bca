"""Who is on call at a moment: against a walk through the time, quarter by quarter of an hour, by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.people.rotation import Fixed, Layer, Override, Restricted, Rota, Rotation
from runtime.schedule import Schedule, instant, schedule

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
JOHANNESBURG, LONDON, NEW_YORK = map(ZoneInfo, ("Africa/Johannesburg", "Europe/London", "America/New_York"))
CHANGES = {LONDON: (date(2026, 3, 29), date(2026, 10, 25)), NEW_YORK: (date(2026, 3, 8), date(2026, 11, 1))}
"""The nights of 2026 in which clocks go forward, and back."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(zone: ZoneInfo, start: str = "2026-01-05", at: str = "09:00") -> Rotation:
    return Rotation(("a", "b", "c"), date.fromisoformat(start), 7, time.fromisoformat(at), zone)


# --- examples ---------------------------------------------------------------------------------------------------------


def test_each_has_a_week_and_then_it_begins_again() -> None:
    rota = Rota((weekly(JOHANNESBURG),))
    shifts = rota.shifts(utc("2026-01-05T07:00"), utc("2026-02-02T07:00"))
    assert [shift.people for shift in shifts] == [("a",), ("b",), ("c",), ("a",)]
    assert {shift.end - shift.begin for shift in shifts} == {7 * DAY}


def test_before_its_start_a_rotation_names_nobody() -> None:
    rota = Rota((weekly(JOHANNESBURG),))
    assert rota.at(utc("2026-01-05T06:59:59")) == ()
    assert rota.at(utc("2026-01-05T07:00")) == ("a",)


def test_a_handover_belongs_to_who_takes_over() -> None:
    rota = Rota((weekly(JOHANNESBURG),))
    assert rota.at(utc("2026-01-12T06:59:59.999999")) == ("a",)
    assert rota.at(utc("2026-01-12T07:00")) == ("b",)


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("night", [0, 1])
def test_a_handover_at_nine_is_at_nine_on_both_sides_of_a_clock_change(zone: ZoneInfo, night: int) -> None:
    changed = CHANGES[zone][night]
    rota = Rota((Rotation(("a", "b"), changed - 2 * DAY, 1, time(9), zone),))
    shifts = rota.shifts(instant(changed - 2 * DAY, time(9), zone), instant(changed + 2 * DAY, time(9), zone))
    assert {shift.begin.astimezone(zone).time() for shift in shifts} == {time(9)}
    hours = [(shift.end - shift.begin) / timedelta(hours=1) for shift in shifts]
    assert hours == [24, 25 if night else 23, 24, 24]


def test_where_clocks_never_change_every_turn_is_as_long() -> None:
    shifts = Rota((weekly(JOHANNESBURG),)).shifts(utc("2026-01-05T07:00"), utc("2027-01-04T07:00"))
    assert {shift.end - shift.begin for shift in shifts} == {7 * DAY}


def test_a_handover_in_the_hour_that_does_not_exist_is_by_the_clock_before() -> None:
    rota = Rota((Rotation(("a", "b"), date(2026, 3, 28), 1, time(1, 30), LONDON),))
    assert rota.at(utc("2026-03-29T01:29")) == ("a",)  # 02:29 by the new clock
    assert rota.at(utc("2026-03-29T01:30")) == ("b",)
    assert rota.at(utc("2026-03-30T00:29")) == ("b",)
    assert rota.at(utc("2026-03-30T00:30")) == ("a",)


def test_a_handover_in_the_hour_that_comes_twice_is_once_and_at_the_first() -> None:
    rota = Rota((Rotation(("a", "b"), date(2026, 10, 24), 1, time(1, 30), LONDON),))
    shifts = rota.shifts(utc("2026-10-24T12:00"), utc("2026-10-26T01:00"))
    assert [shift.begin for shift in shifts[1:]] == [utc("2026-10-25T00:30")]
    assert rota.shifts(utc("2026-10-24T12:00"), utc("2026-10-26T01:31"))[2].begin == utc("2026-10-26T01:30")


def test_a_zone_that_skips_a_day_skips_the_turn_of_that_day() -> None:
    rota = Rota((Rotation(("a", "b", "c"), date(2011, 12, 29), 1, time(9), ZoneInfo("Pacific/Apia")),))
    shifts = rota.shifts(utc("2011-12-29T19:00"), utc("2011-12-31T19:00"))  # 30 December was left out there
    assert [shift.people for shift in shifts] == [("a",), ("c",)]
    assert [shift.end - shift.begin for shift in shifts] == [DAY, DAY]


def test_a_clock_that_goes_back_over_midnight_does_not_bring_back_who_went() -> None:
    st_johns = ZoneInfo("America/St_Johns")  # at 00:01 on 7 November 2010 it was 23:01 of the day before again
    rota = Rota((Rotation(("a", "b"), date(2010, 11, 6), 1, time(0), st_johns),))
    shifts = rota.shifts(utc("2010-11-06T02:30"), utc("2010-11-08T03:30"))
    assert [(shift.begin, shift.people) for shift in shifts] == [
        (utc("2010-11-06T02:30"), ("a",)),
        (utc("2010-11-07T02:30"), ("b",)),
    ]
    assert rota.at(utc("2010-11-07T02:45")) == ("b",)


def test_later_layers_go_first_within_their_hours() -> None:
    days = Restricted(Fixed(("day",)), schedule("mon-fri 08:00-17:00"))
    rota = Rota((Fixed(("always",)), days))
    shifts = rota.shifts(utc("2026-01-05T00:00"), utc("2026-01-06T00:00"))
    assert [(shift.begin, shift.people) for shift in shifts] == [
        (utc("2026-01-05T00:00"), ("always",)),
        (utc("2026-01-05T06:00"), ("day",)),
        (utc("2026-01-05T15:00"), ("always",)),
    ]


def test_of_two_overrides_for_the_same_time_the_later_holds() -> None:
    first = Override(("x",), utc("2026-01-05T10:00"), utc("2026-01-05T20:00"))
    second = Override(("y",), utc("2026-01-05T12:00"), utc("2026-01-05T13:00"))
    rota = Rota((Fixed(("a",)),), (first, second))
    shifts = rota.shifts(utc("2026-01-05T00:00"), utc("2026-01-06T00:00"))
    assert [shift.people for shift in shifts] == [("a",), ("x",), ("y",), ("x",), ("a",)]


def test_shifts_that_would_hand_over_to_the_same_people_are_one() -> None:
    rota = Rota((Rotation(("a", "a", "b"), date(2026, 1, 5), 1, time(9), JOHANNESBURG),))
    shifts = rota.shifts(utc("2026-01-05T07:00"), utc("2026-01-08T07:00"))
    assert [(shift.end - shift.begin, shift.people) for shift in shifts] == [(2 * DAY, ("a",)), (DAY, ("b",))]


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Rota((Fixed(("a",)),)).at(datetime(2026, 1, 5))


def test_the_zone_in_which_is_asked_makes_no_difference() -> None:
    rota = Rota((Rotation(("a", "b"), date(2026, 10, 24), 1, time(1, 15), LONDON),))
    second = datetime(2026, 10, 25, 1, 10, tzinfo=LONDON, fold=1)  # after the hand-over, though the clock shows less
    assert rota.at(second) == rota.at(second.astimezone(UTC)) == ("b",)
    first = datetime(2026, 10, 25, 1, 50, tzinfo=LONDON)
    assert rota.shifts(first, second) == rota.shifts(first.astimezone(UTC), second.astimezone(UTC)) != ()


# --- properties -------------------------------------------------------------------------------------------------------

ZONES = st.sampled_from([JOHANNESBURG, LONDON, NEW_YORK])
QUARTERS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
NEAR_CHANGES = st.sampled_from([date(2026, 3, 5), date(2026, 3, 26), date(2026, 10, 22), date(2026, 10, 29)])
PEOPLE = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple)
ROTATIONS = st.builds(Rotation, PEOPLE, NEAR_CHANGES, st.integers(1, 3), QUARTERS, ZONES)
HOURS = st.builds(Schedule, st.frozensets(st.integers(0, 6), min_size=1), QUARTERS, QUARTERS, ZONES)
SOLID = st.one_of(st.builds(Fixed, PEOPLE), ROTATIONS)
LAYERS: st.SearchStrategy[Layer] = st.one_of(SOLID, st.builds(Restricted, SOLID, HOURS))
BEGINS = st.builds(lambda day, at: datetime.combine(day, at, UTC), NEAR_CHANGES, QUARTERS)
SPANS = st.builds(lambda begin, quarters: (begin, begin + quarters * QUARTER), BEGINS, st.integers(1, 500))
OVERRIDES = st.builds(lambda who, span: Override(who, *span), PEOPLE, SPANS)
ROTAS = st.builds(Rota, st.lists(LAYERS, min_size=1, max_size=3).map(tuple), st.lists(OVERRIDES, max_size=3).map(tuple))


def walk(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + number * QUARTER for number in range((end - begin) // QUARTER)]


@settings(max_examples=40)
@given(ROTATIONS, st.integers(200, 700))
def test_a_rotation_is_what_a_walk_by_the_clock_on_the_wall_finds(rotation: Rotation, quarters: int) -> None:
    begin = datetime.combine(rotation.start, time(), UTC) - DAY
    turn = -1
    for at in walk(begin, begin + quarters * QUARTER):
        local = at.astimezone(rotation.zone)
        # a time that is left out is shown by a clock that was not changed
        before = (at - timedelta(hours=3)).astimezone(rotation.zone).utcoffset()
        assert before is not None
        unchanged = (at + before).replace(tzinfo=None)
        wanted = datetime.combine(unchanged.date(), rotation.handover)
        exists = (
            wanted.replace(tzinfo=rotation.zone).astimezone(UTC).astimezone(rotation.zone).replace(tzinfo=None)
            == wanted
        )
        shown = local.replace(tzinfo=None) if exists else unchanged
        days = (shown.date() - rotation.start).days
        if shown.time() == rotation.handover and not local.fold and days >= 0 and days % rotation.days == 0:
            turn = days // rotation.days
        assert rotation.at(at) == ((rotation.people[turn % len(rotation.people)],) if turn >= 0 else ())


@settings(max_examples=40)
@given(ROTAS, SPANS)
def test_shifts_cover_every_moment_exactly_once(rota: Rota, span: tuple[datetime, datetime]) -> None:
    begin, end = span
    shifts = rota.shifts(begin, end)
    assert shifts[0].begin == begin and shifts[-1].end == end
    assert all(shift.begin < shift.end for shift in shifts)
    assert all(one.end == other.begin and one.people != other.people for one, other in pairwise(shifts))


@settings(max_examples=40)
@given(ROTAS, SPANS)
def test_shifts_are_what_a_walk_finds(rota: Rota, span: tuple[datetime, datetime]) -> None:
    found = {at: shift.people for shift in rota.shifts(*span) for at in walk(shift.begin, shift.end)}
    assert found == {at: rota.at(at) for at in walk(*span)}


@settings(max_examples=40)
@given(st.lists(ROTATIONS, min_size=1, max_size=3), SPANS)
def test_somebody_is_always_on_call_unless_hours_are_restricted(
    layers: list[Rotation], span: tuple[datetime, datetime]
) -> None:
    rota = Rota(tuple(layers))
    first = min(instant(layer.start, layer.handover, layer.zone) for layer in layers)
    assert all(shift.people or shift.end <= first for shift in rota.shifts(*span))


@settings(max_examples=40)
@given(ROTAS, OVERRIDES, SPANS)
def test_an_override_wins_within_its_time_and_nowhere_else(
    rota: Rota, override: Override, span: tuple[datetime, datetime]
) -> None:
    with_it = Rota(rota.layers, (*rota.overrides, override))
    instants = [*span, override.begin, override.end]
    for at in [*instants, *(one - timedelta(microseconds=1) for one in instants)]:
        within = override.begin <= at < override.end
        assert with_it.at(at) == (override.people if within else rota.at(at))


@settings(max_examples=40)
@given(ROTAS, SPANS, st.integers(1, 400))
def test_shifts_of_a_span_are_those_of_its_parts(rota: Rota, span: tuple[datetime, datetime], quarters: int) -> None:
    begin, end = span
    middle = min(begin + quarters * QUARTER, end)
    whole = {at: shift.people for shift in rota.shifts(begin, end) for at in (shift.begin, shift.end - QUARTER / 900)}
    for at, people in whole.items():
        parts = [*rota.shifts(begin, middle), *rota.shifts(middle, end)]
        assert [shift.people for shift in parts if shift.begin <= at < shift.end] == [people]
