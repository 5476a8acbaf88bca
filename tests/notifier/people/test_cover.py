"""Gaps and hand-overs, to the instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.people import ical
from notifier.people.cover import gaps, handovers, strangers
from notifier.people.directory import Directory, read

DAY = timedelta(days=1)
HEAD = "".join(f'[people.{key}]\ncontacts = {{email = "{key}@example.com"}}\n' for key in ("thandi", "johan"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def directory(lines: str) -> Directory:
    return read("teams.toml", f"{HEAD}[teams.payments]\n{lines}\n".encode())


def test_a_gap_is_as_long_as_it_is_and_only_of_levels_that_there_are() -> None:
    found = directory(
        'primary = [{people = "thandi", hours = "mon-fri 08:00-17:00"}, {people = "johan", hours = "daily 17:00-00:00"}]\n'
        'lead = {people = "johan", hours = "daily 00:00-00:00"}'
    )
    # Friday to Monday: nobody before eight, and nobody at the weekend before five
    told = gaps(found, utc("2026-01-09T10:00"), utc("2026-01-12T10:00"))
    assert [(gap.team, gap.level, gap.begin, gap.end) for gap in told] == [
        ("payments", "primary", utc("2026-01-09T22:00"), utc("2026-01-10T15:00")),
        ("payments", "primary", utc("2026-01-10T22:00"), utc("2026-01-11T15:00")),
        ("payments", "primary", utc("2026-01-11T22:00"), utc("2026-01-12T06:00")),
    ]


def test_a_gap_before_a_rotation_begins_ends_with_its_first_handover() -> None:
    found = directory('primary = {rotate = ["thandi", "johan"], start = 2026-01-05}')
    [gap] = gaps(found, utc("2026-01-01T00:00"), utc("2026-02-01T00:00"))
    assert (gap.begin, gap.end) == (utc("2026-01-01T00:00"), utc("2026-01-05T07:00"))


def test_a_clock_change_leaves_a_gap_where_hours_of_two_zones_part() -> None:
    found = directory(
        'primary = [{people = "thandi", hours = "daily 08:00-20:00 Africa/Johannesburg"},'
        ' {people = "johan", hours = "daily 18:00-06:00 Europe/London"}]'
    )
    assert gaps(found, utc("2026-01-05T00:00"), utc("2026-03-28T12:00")) == []
    # in summer London's six is five in UTC, and Johannesburg begins at six
    first = gaps(found, utc("2026-03-28T12:00"), utc("2026-03-31T00:00"))
    assert [(gap.begin, gap.end) for gap in first] == [
        (utc(f"2026-03-{day}T05:00"), utc(f"2026-03-{day}T06:00")) for day in (29, 30)
    ]


def test_a_handover_tells_who_goes_and_who_comes() -> None:
    override = '[[overrides]]\nwho = "thandi"\nteam = "payments"\nfrom = 2026-01-13\nto = 2026-01-14\n'
    found = directory(f'primary = {{rotate = ["thandi", "johan"], start = 2026-01-05}}\n{override}')
    told = handovers(found, utc("2026-01-05T07:00"), utc("2026-01-19T07:00"))
    assert [(one.at, one.before, one.after) for one in told] == [
        (utc("2026-01-05T07:00"), (), ("thandi",)),
        (utc("2026-01-12T07:00"), ("thandi",), ("johan",)),
        (utc("2026-01-12T22:00"), ("johan",), ("thandi",)),
        (utc("2026-01-13T22:00"), ("thandi",), ("johan",)),
    ]


def test_handovers_of_all_levels_are_in_order() -> None:
    found = directory(
        'primary = {rotate = ["thandi", "johan"], start = 2026-01-05, every = "2 days"}\n'
        'lead = {rotate = ["johan", "thandi"], start = 2026-01-05, every = "1 day", handover = "10:00"}'
    )
    told = handovers(found, utc("2026-01-06T00:00"), utc("2026-01-08T00:00"))
    assert [(one.level, one.at) for one in told] == [
        ("lead", utc("2026-01-06T08:00")),
        ("primary", utc("2026-01-07T07:00")),
        ("lead", utc("2026-01-07T08:00")),
    ]


def test_strangers_in_a_calendar_are_told_also_where_hours_restrict_it() -> None:
    event = "BEGIN:VEVENT\nUID:1\nSUMMARY:Jhoan\nDTSTART:20260105T080000Z\nDURATION:PT1H\nEND:VEVENT"
    url = "https://calendar.example.com/x.ics"
    calendar = ical.read(
        f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{event}\nEND:VCALENDAR\n".replace("\n", "\r\n").encode()
    )
    text = f'{HEAD}[teams.payments]\nprimary = {{calendar = "{url}", hours = "business hours"}}\n'
    found = read("teams.toml", text.encode(), {url: calendar})
    [one] = strangers(found, utc("2026-01-01T00:00"), utc("2026-02-01T00:00"))
    assert (one.team, one.level, one.event.summary) == ("payments", "primary", "Jhoan")


HOURS = st.sampled_from(
    ["mon-fri 08:00-17:00", "daily 22:00-06:00 America/New_York", "sat,sun 00:00-12:00 Europe/London"]
)
LAYERS = st.one_of(
    st.builds('{{people = "thandi", hours = "{}"}}'.format, HOURS),
    st.builds('{{rotate = ["thandi", "johan"], start = 2026-03-20, every = "1 day", hours = "{}"}}'.format, HOURS),
)
MARCH = utc("2026-03-01T00:00")
SPANS = st.builds(
    lambda day, days: (MARCH + day * DAY, MARCH + (day + days) * DAY), st.integers(0, 20), st.integers(1, 20)
)


@settings(max_examples=30)
@given(st.lists(LAYERS, min_size=1, max_size=3), SPANS)
def test_gaps_and_cover_share_the_time_between_them(layers: list[str], span: tuple[datetime, datetime]) -> None:
    found = directory(f"primary = [{', '.join(layers)}]")
    begin, end = span
    rota = found.teams["payments"].levels["primary"]
    empty = [(gap.begin, gap.end) for gap in gaps(found, begin, end)]
    covered = [(shift.begin, shift.end) for shift in rota.shifts(begin, end) if shift.people]
    parts = sorted(empty + covered)
    assert parts[0][0] == begin and parts[-1][1] == end
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert all(one[1] < other[0] for one, other in pairwise(empty)), "two gaps that touch are one"
    for first, last in empty:
        quarters = [first + number * DAY / 96 for number in range((last - first) // (DAY / 96))]
        assert not any(found.on_call("payments", "primary", at) for at in quarters)


@settings(max_examples=30)
@given(st.lists(LAYERS, min_size=1, max_size=3), SPANS, st.integers(1, 40))
def test_handovers_asked_for_span_after_span_are_each_found_once(
    layers: list[str], span: tuple[datetime, datetime], hours: int
) -> None:
    found = directory(f"primary = [{', '.join(layers)}]")
    begin, end = span
    edges = [begin]
    while edges[-1] < end:
        edges.append(min(edges[-1] + timedelta(hours=hours), end))
    assert [one for first, last in pairwise(edges) for one in handovers(found, first, last)] == handovers(
        found, begin, end
    )
