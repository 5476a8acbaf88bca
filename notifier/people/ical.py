"""On call by a calendar in iCalendar (RFC 5545): events whose summaries or attendees name people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from notifier.people.rotation import People
from runtime.schedule import instant
from runtime.suggest import quoted

LARGEST = 1024 * 1024
"""Bytes of a calendar, at most."""
MOST_EVENTS = 2_000
MOST_REPEATING = 50
MOST_A_DAY = 24
"""Times a day that an event may repeat."""
LAST_YEAR = 2200
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WHEN = ("DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_BLOCK = 32 * _DAY
_MOST_BLOCKS = 64


class CalendarError(ValueError):
    """Why a calendar cannot be used."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One event, once, in UTC. `attendees`: names and addresses of those who have not declined."""

    begin: datetime
    end: datetime
    summary: str
    attendees: tuple[str, ...]


class Calendar:
    """The events of a calendar that was read."""

    def __init__(self, events: recurring_ical_events.CalendarQuery) -> None:
        self._events = events

    def events(self, begin: datetime, end: datetime, zone: ZoneInfo) -> list[Event]:
        """Those that reach into a span, in order. `zone`: of whole days, and of times that name none."""
        # Times without a zone are taken for UTC there, which no zone is a day away from.
        found = (_event(one, zone) for one in self._events.between(begin - _DAY, end + _DAY))
        return sorted({one for one in found if one is not None and one.begin < end and one.end > begin})


def read(content: bytes) -> Calendar:
    """The calendar that a file holds. Raises CalendarError."""
    if len(content) > LARGEST:
        raise CalendarError(f"longer than {LARGEST:,} bytes")
    try:
        calendar = icalendar.Calendar.from_ical(content)
        if not isinstance(calendar, icalendar.Calendar):
            raise CalendarError("expected BEGIN:VCALENDAR to END:VCALENDAR")
        found = calendar.walk("VEVENT")
        if len(found) > MOST_EVENTS or sum("RRULE" in one for one in found) > MOST_REPEATING:
            raise CalendarError(
                f"more than {MOST_EVENTS:,} events, or {MOST_REPEATING} that repeat: keep old ones elsewhere"
            )
        for one in found:
            _check(one)
        _check_uids(found)
        events = recurring_ical_events.of(calendar)
        for series in events.series:  # what else is wrong with one is told now, not when somebody must be paged
            for part in series.components:
                if part.raw_end < part.raw_start:  # which it would turn round
                    raise CalendarError(f"an event ends before it begins, at {part.raw_start}")
                list(series.between(part.start, part.start + _DAY))
        return Calendar(events)
    except CalendarError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise CalendarError(f"not iCalendar: {quoted(str(error))}") from None


def _check(event: Any) -> None:
    """Raises CalendarError for what would be left out, be misread or take for ever."""
    name = f"the event {quoted(str(event.get('SUMMARY', event.get('UID', ''))))}"
    for what, why in event.errors:
        if what in _WHEN:
            raise CalendarError(f"{name}: {what}: {why}")
    if "DTSTART" not in event:
        raise CalendarError(f"{name} has no DTSTART")
    if event["DTSTART"].dt.year > LAST_YEAR:
        raise CalendarError(f"{name} begins after {LAST_YEAR}")
    rule = event.get("RRULE")
    if isinstance(rule, list):
        raise CalendarError(f"{name} has several rules of repetition")
    if rule is None:
        return
    if rule.get("INTERVAL", [1])[0] < 1:
        raise CalendarError(f"{name} repeats at an interval of 0")
    times = [len(rule.get(part, [0])) for part in ("BYHOUR", "BYMINUTE", "BYSECOND")]
    if rule.get("FREQ", [""])[0] not in _FREQUENCIES or times[0] * times[1] * times[2] > MOST_A_DAY:
        raise CalendarError(
            f"{name} repeats more often than {MOST_A_DAY} times a day, or not by the day, week, month or year"
        )


def _check_uids(events: Iterable[Any]) -> None:
    """Raises CalendarError where an event would hide another: the same UID means that it is a later version of it."""
    seen = set()
    for one in events:
        if "UID" in one and "RECURRENCE-ID" not in one:
            version = (str(one["UID"]), one.get("SEQUENCE", 0))
            if version in seen:
                raise CalendarError(f"two events have the UID {quoted(version[0])}: each needs one of its own")
            seen.add(version)


def _event(found: Any, zone: ZoneInfo) -> Event | None:
    """An event as it is meant; None for one that is cancelled."""
    if str(found.get("STATUS", "")).upper() == "CANCELLED":
        return None
    attendees = found.get("ATTENDEE", [])
    coming = [one for one in (attendees if isinstance(attendees, list) else [attendees]) if _comes(one)]
    names = (
        text for one in coming for text in (str(one.params.get("CN", "")), re.sub("^mailto:", "", str(one), flags=re.I))
    )
    summary = " ".join(str(found.get("SUMMARY", "")).split())
    return Event(_moment(found["DTSTART"].dt, zone), _moment(found["DTEND"].dt, zone), summary, tuple(names))


def _comes(attendee: Any) -> bool:
    return str(attendee.params.get("PARTSTAT", "")).upper() != "DECLINED"


def _moment(at: date, zone: ZoneInfo) -> datetime:
    if not isinstance(at, datetime):
        return instant(at, time(0), zone)
    return at.replace(tzinfo=at.tzinfo or zone).astimezone(UTC)


class Names:
    """Finds people in a text by what they are called: whole words, whatever their letters.

    called: a person's key by each name.
    """

    def __init__(self, called: Mapping[str, str]) -> None:
        self._keys = {" ".join(name.split()).casefold(): key for name, key in called.items()}
        longest_first = sorted(self._keys, key=len, reverse=True)
        self._any = re.compile(rf"(?<![\w@.-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w@-]|\.\w)")

    def within(self, texts: Iterable[str]) -> People:
        """Those that texts name, in order."""
        found = (match[0] for text in texts for match in self._any.finditer(text.casefold()))
        return tuple(dict.fromkeys(self._keys[name] for name in found))

    def of(self, event: Event) -> People:
        """Those whom an event is about: the summary's, or else the attendees."""
        return self.within([event.summary]) or self.within(event.attendees)


class OnCalendar:
    """A layer: whom the events of a moment name, the earlier event first. Events that name nobody are left out."""

    def __init__(self, calendar: Calendar, names: Names, zone: ZoneInfo) -> None:
        self._calendar, self._names, self._zone = calendar, names, zone
        self._blocks: dict[int, list[tuple[Event, People]]] = {}

    def at(self, at: datetime) -> People:
        number = (at - _EPOCH) // _BLOCK
        named = (who for event, people in self._block(number) if event.begin <= at < event.end for who in people)
        return tuple(dict.fromkeys(named))

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        for event, people in self._between(begin, end):
            if people:
                yield from (event.begin, event.end)

    def strangers(self, begin: datetime, end: datetime) -> list[Event]:
        """The events between two moments that name nobody who is known."""
        return sorted({event for event, people in self._between(begin, end) if not people and event.end > begin})

    def _between(self, begin: datetime, end: datetime) -> Iterator[tuple[Event, People]]:
        for number in range((begin - _EPOCH) // _BLOCK, (end - _EPOCH) // _BLOCK + 1):
            for event, people in self._block(number):
                if event.begin < end:
                    yield event, people

    def _block(self, number: int) -> list[tuple[Event, People]]:
        """The events of 32 days, kept: repeating them anew for each page would take longer than the page."""
        if number not in self._blocks:
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks.clear()
            begin = _EPOCH + number * _BLOCK
            events = self._calendar.events(begin, begin + _BLOCK, self._zone)
            self._blocks[number] = [(event, self._names.of(event)) for event in events]
        return self._blocks[number]
