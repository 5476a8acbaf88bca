"""Calendars: what their events mean, in nights in which clocks change too, and what a bad one is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.people.ical import LARGEST, Calendar, CalendarError, Event, Names, OnCalendar, read
from notifier.people.rotation import Rota, Shift

JOHANNESBURG, LONDON = ZoneInfo("Africa/Johannesburg"), ZoneInfo("Europe/London")
THANDI = dict.fromkeys(("thandi", "Thandi Mokoena", "thandi@example.com"), "thandi")
NAMES = Names(THANDI | {"johan": "johan", "Amy Clark": "amy"})


def calendar(*events: str, head: str = "") -> bytes:
    """A calendar of events, each given as its lines without UID."""
    parts = [f"BEGIN:VEVENT\nUID:{number}@example.com\n{event}\nEND:VEVENT" for number, event in enumerate(events)]
    text = "\n".join(
        ["BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//EN", *filter(None, [head]), *parts, "END:VCALENDAR"]
    )
    return "\n".join(line.strip() for line in text.splitlines()).replace("\n", "\r\n").encode() + b"\r\n"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def events(content: bytes, begin: str, end: str, zone: ZoneInfo = JOHANNESBURG) -> list[tuple[datetime, datetime, str]]:
    found = read(content).events(utc(begin), utc(end), zone)
    return [(event.begin, event.end, event.summary) for event in found]


def rota(content: bytes, zone: ZoneInfo = JOHANNESBURG) -> Rota:
    return Rota((OnCalendar(read(content), NAMES, zone),))


WEEKS = """SUMMARY:On call: Thandi Mokoena
    DTSTART;TZID=Europe/London:20260309T090000
    DTEND;TZID=Europe/London:20260316T090000
    RRULE:FREQ=WEEKLY"""


# --- events -----------------------------------------------------------------------------------------------------------


def test_what_repeats_is_at_the_same_time_on_the_wall_on_both_sides_of_a_clock_change() -> None:
    found = events(calendar(WEEKS), "2026-03-20T00:00", "2026-04-07T00:00")
    assert [begin for begin, _, _ in found] == [utc("2026-03-16T09:00"), utc("2026-03-23T09:00"), utc("2026-03-30T08:00"),
                                                utc("2026-04-06T08:00")]  # fmt: skip
    assert [end for _, end, _ in found][:-1] == [begin for begin, _, _ in found][1:]


def test_an_exception_is_left_out_and_a_moved_one_is_where_it_was_moved() -> None:
    moved = """UID:0@example.com
        SUMMARY:On call: Johan
        RECURRENCE-ID;TZID=Europe/London:20260323T090000
        DTSTART;TZID=Europe/London:20260324T090000
        DTEND;TZID=Europe/London:20260330T090000"""
    content = calendar(WEEKS + "\nEXDATE;TZID=Europe/London:20260316T090000").replace(
        b"END:VCALENDAR", b"BEGIN:VEVENT\r\n" + moved.replace("  ", "").encode() + b"\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )
    shifts = rota(content).shifts(utc("2026-03-16T08:00"), utc("2026-03-30T08:00"))
    assert [(shift.begin, shift.people) for shift in shifts] == [
        (utc("2026-03-16T08:00"), ("thandi",)),
        (utc("2026-03-16T09:00"), ()),
        (utc("2026-03-24T09:00"), ("johan",)),
    ]


def test_a_whole_day_and_a_time_without_a_zone_are_in_the_zone_that_is_said() -> None:
    content = calendar(
        "SUMMARY:day\nDTSTART;VALUE=DATE:20260105\nDTEND;VALUE=DATE:20260107",
        "SUMMARY:floating\nDTSTART:20260106T100000\nDURATION:PT2H",
        "SUMMARY:exact\nDTSTART:20260106T100000Z\nDURATION:PT2H",
    )
    assert events(content, "2026-01-01T00:00", "2026-02-01T00:00") == [
        (utc("2026-01-04T22:00"), utc("2026-01-06T22:00"), "day"),
        (utc("2026-01-06T08:00"), utc("2026-01-06T10:00"), "floating"),
        (utc("2026-01-06T10:00"), utc("2026-01-06T12:00"), "exact"),
    ]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("day", [26, 27])  # on the edge of what is looked up at once
def test_a_whole_day_far_from_utc_is_found_at_its_edges(zone: str, day: int) -> None:
    content = calendar(f"SUMMARY:thandi\nDTSTART;VALUE=DATE:202601{day}")
    one = ZoneInfo(zone)
    during = [(f"{day}T{hour:02}:00", ("thandi",)) for hour in range(24)]
    for shown, people in ((f"{day - 1}T23:59", ()), *during, (f"{day}T23:59", ("thandi",)), (f"{day + 1}T00:00", ())):
        assert rota(content, one).at(datetime.fromisoformat(f"2026-01-{shown}").replace(tzinfo=one)) == people


def test_a_calendars_own_zone_is_that_of_its_times_in_utc() -> None:
    event = "SUMMARY:x\nDTSTART:20260105T070000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"
    content = calendar(event, head="X-WR-TIMEZONE:Europe/London")
    found = events(content, "2026-07-01T00:00", "2026-07-02T00:00")
    assert found == [(utc("2026-07-01T06:00"), utc("2026-07-01T07:00"), "x")]


def test_a_cancelled_event_and_one_without_time_are_nothing() -> None:
    content = calendar(
        "SUMMARY:thandi\nSTATUS:CANCELLED\nDTSTART:20260105T070000Z\nDURATION:PT1H",
        "SUMMARY:thandi\nDTSTART:20260105T070000Z",
    )
    assert rota(content).shifts(utc("2026-01-05T00:00"), utc("2026-01-06T00:00")) == (
        Shift(utc("2026-01-05T00:00"), utc("2026-01-06T00:00"), ()),
    )


def test_an_event_without_end_in_sight_is_known_in_its_middle() -> None:
    content = calendar("SUMMARY:thandi\nDTSTART:20200101T000000Z\nDTEND:20300101T000000Z")
    assert rota(content).at(utc("2026-06-01T00:00")) == ("thandi",)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("summary", "people"),
    [
        ("On call: Thandi Mokoena", ("thandi",)),
        ("THANDI", ("thandi",)),
        ("johan, then thandi@example.com", ("johan", "thandi")),
        ("Amy  Clark (payments)", ("amy",)),
        ("Thandi's week", ("thandi",)),
        ("Johannesburg", ()),
        ("johan-pieter", ()),
        ("mail@johan.example", ()),
        ("Amy", ()),
        ("", ()),
    ],
)
def test_people_are_found_by_key_name_or_address(summary: str, people: tuple[str, ...]) -> None:
    summary = " ".join(summary.split())
    assert NAMES.of(Event(utc("2026-01-01"), utc("2026-01-02"), summary, ())) == people


def test_the_longest_name_is_the_one_that_is_meant() -> None:
    assert Names({"lee": "lee", "Lee Adams": "adams"}).within(["Lee Adams, then Lee"]) == ("adams", "lee")


def test_attendees_count_where_the_summary_names_nobody_and_who_declined_does_not() -> None:
    attendees = (
        'ATTENDEE;CN="Amy Clark":mailto:someone@example.com\nATTENDEE;PARTSTAT=DECLINED:mailto:thandi@example.com'
    )
    times = "DTSTART:20260105T070000Z\nDURATION:PT1H"
    at = utc("2026-01-05T07:30")
    assert rota(calendar(f"SUMMARY:Support\n{attendees}\n{times}")).at(at) == ("amy",)
    assert rota(calendar(f"SUMMARY:Support by Johan\n{attendees}\n{times}")).at(at) == ("johan",)
    assert rota(calendar(f"SUMMARY:Support\nATTENDEE:MAILTO:thandi@example.com\n{times}")).at(at) == ("thandi",)


def test_events_at_the_same_time_are_people_together() -> None:
    both = (
        "SUMMARY:johan\nDTSTART:20260105T080000Z\nDURATION:PT4H",
        "SUMMARY:thandi\nDTSTART:20260105T070000Z\nDURATION:PT2H",
    )
    shifts = rota(calendar(*both)).shifts(utc("2026-01-05T07:00"), utc("2026-01-05T12:00"))
    assert [shift.people for shift in shifts] == [("thandi",), ("thandi", "johan"), ("johan",)]


def test_an_event_that_names_nobody_is_a_stranger() -> None:
    layer = OnCalendar(
        read(calendar(WEEKS, "SUMMARY:Jhoan\nDTSTART:20260105T080000Z\nDURATION:PT4H")), NAMES, JOHANNESBURG
    )
    assert [event.summary for event in layer.strangers(utc("2026-01-01T00:00"), utc("2026-04-01T00:00"))] == ["Jhoan"]
    assert layer.strangers(utc("2026-01-06T00:00"), utc("2026-04-01T00:00")) == []


# --- what is refused --------------------------------------------------------------------------------------------------

HOUR = "DTSTART:20260105T070000Z\nDURATION:PT1H"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not iCalendar"),
        (b"<html>Sign in</html>", "not iCalendar"),
        (b"\xff\xfe\x00", "not iCalendar"),
        (b"BEGIN:VEVENT\r\nEND:VEVENT\r\n", "expected BEGIN:VCALENDAR"),
        (b"x" * (LARGEST + 1), "longer than 1,048,576 bytes"),
        (calendar("SUMMARY:Johan"), "the event 'Johan' has no DTSTART"),
        (calendar("SUMMARY:x\nDTSTART:2026XX05T070000Z"), "'x': DTSTART"),
        (calendar(f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=SOMETIMES"), "'x': RRULE"),
        (calendar(f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=MINUTELY"), "more often than 24 times a day"),
        (calendar(f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,5,10,15,20,25,30"), "more often than 24"),
        (calendar(f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=DAILY;INTERVAL=0"), "interval of 0"),
        (calendar(f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY"), "several rules"),
        (calendar("SUMMARY:x\nDTSTART:99990101T000000Z\nRRULE:FREQ=DAILY"), "begins after 2200"),
        (calendar("SUMMARY:x\nDTSTART:20260105T070000Z\nDTEND:20260104T070000Z"), "ends before it begins, at 2026-01-05 07:00"),
        (calendar(*[f"SUMMARY:x\n{HOUR}\nRRULE:FREQ=DAILY"] * 51), "or 50 that repeat"),
        (calendar(HOUR, HOUR).replace(b"UID:1@", b"UID:0@"), "two events have the UID '0@example.com'"),
    ],
)  # fmt: skip
def test_a_bad_calendar_is_told(content: bytes, said: str) -> None:
    with pytest.raises(CalendarError) as told:
        read(content)
    assert said in str(told.value)


def test_what_is_odd_and_says_nothing_of_the_time_is_passed_over() -> None:
    content = calendar(f"SUMMARY:thandi\n{HOUR}\nPRIORITY:high\nX-ODD;A=B:?\nGEO:somewhere")
    assert rota(content).at(utc("2026-01-05T07:30")) == ("thandi",)


WHOLE = calendar(WEEKS + "\nEXDATE;TZID=Europe/London:20260316T090000", f"SUMMARY:johan\n{HOUR}\nRDATE:20260107T070000Z",
                 "SUMMARY:thandi\nDTSTART;VALUE=DATE:20260105\nRRULE:FREQ=MONTHLY;COUNT=3;BYDAY=1MO")  # fmt: skip


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_calendar_is_read_or_refused_and_what_was_read_can_be_asked(data: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        cut = data.draw(st.integers(0, 12))
        others = [b"", b"0", b"9", b";", b":", b"=", b"\r\n", b"T", b"Z", b"\xff", b"DATE"]
        content[at : at + cut] = data.draw(st.sampled_from(others))
    try:
        found: Calendar = read(bytes(content))
    except CalendarError:
        return
    layer = Rota((OnCalendar(found, NAMES, LONDON),))
    begin = utc("2026-01-01T00:00")
    layer.shifts(begin, begin + timedelta(days=100))
