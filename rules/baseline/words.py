"""What is said of a reading: a sentence that a person who is paged understands."""

from __future__ import annotations

from rules.baseline.calendar import Calendar
from rules.baseline.guard import ENOUGH, LEARNING_MS, PRESENT, WIDEST_MS, Reading

_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def sentence(title: str, reading: Reading, calendar: Calendar) -> str:
    """`Payments: 41 in 15 min, expected 118 (105 to 131) from the last 7 days at 14:15, down 65 %, 9.2 times normal noise
    (pages above 4.0).`"""
    return f"{title}: {said(reading, calendar)}."


def said(reading: Reading, calendar: Calendar) -> str:
    """The same without the title."""
    if reading.state == "skipped":
        return "a special day that is not judged"
    if reading.state == "learning" and reading.known_ms < LEARNING_MS:
        return (
            f"LEARNING, {_number(reading.known_ms / _HOUR_MS)} of {LEARNING_MS // _HOUR_MS} hours of history are known"
        )
    if reading.state == "learning":
        return f"LEARNING, nothing is known yet of {calendar.local(reading.start_ms):%A at %H:%M}"
    if reading.value is None or reading.expected is None or reading.low is None or reading.high is None:
        return f"not judged, less than {PRESENT:.0%} of the last {_time(reading.window_ms)} is known".replace("%", " %")
    value = f"{_number(reading.value)} in {_time(reading.window_ms)}{_widened(reading)}"
    band = f"expected {_number(reading.expected)} ({_number(reading.low)} to {_number(reading.high)})"
    found = f"{value}, {band} from {_from(reading, calendar)}"
    if reading.state == "few":
        return f"{found}, too few to judge (at least {ENOUGH:.0f} must be expected within {_time(WIDEST_MS)})"
    noise = f"{reading.z:.1f} times normal noise (pages above {reading.limit:.1f})"
    return f"{found}, {_change(reading.value, reading.expected)}, {noise}"


def _widened(reading: Reading) -> str:
    if not reading.widened:
        return ""
    return f" (widened from {_time(reading.wanted_ms)} until {ENOUGH:.0f} were expected)"


def _from(reading: Reading, calendar: Calendar) -> str:
    """What the expectation rests on, at the local time of the window's last moment."""
    at = f"{calendar.local(reading.end_ms):%H:%M}".replace("00:00", "24:00")
    n = reading.rests_on
    if reading.which == "week":
        days = _DAYS[reading.weekday]
        return f"the last {n} {days} at {at}" if n > 1 else f"last {days[:-1]} at {at}"
    return f"the last {n} days at {at}" if n > 1 else f"the day before at {at}"


def _change(value: float, expected: float) -> str:
    if expected <= 0:
        return "where nothing was expected"
    percent = round(100 * (value / expected - 1))
    return "as expected" if percent == 0 else f"{'down' if percent < 0 else 'up'} {abs(percent)} %"


def _time(ms: int) -> str:
    if ms < _HOUR_MS:
        return f"{ms // _MINUTE_MS} min"
    hours, minutes = divmod(ms // _MINUTE_MS, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _number(value: float) -> str:
    """Whole numbers from ten on, three figures below."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.3g}"
