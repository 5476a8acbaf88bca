"""The time that a page shows, as its address says: `range=6h`, or `from=` and `to=` that somebody brushed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from console.problems import Refused
from console.readings import FINE_MS, KEPT_S, MINUTE_MS, Window
from rollups.tables import DAY, HOUR, RESOLUTIONS
from runtime.settings import duration_s
from runtime.suggest import quoted
from schemas.time import epoch_ms

LONGEST_MS = 400 * DAY
_GRID = (
    (30 * MINUTE_MS, "10s", FINE_MS),
    (3 * HOUR, "1m", MINUTE_MS),
    (8 * HOUR, "1m", 2 * MINUTE_MS),
    (2 * DAY, "1m", 5 * MINUTE_MS),
    (10 * DAY, "1h", HOUR),
    (40 * DAY, "1h", 4 * HOUR),
    (LONGEST_MS, "1h", DAY),
)
"""Up to so long: the rows that it is made of, and how much of them a point of a chart is."""
SHARED_S, PAST_S = 2.0, 5.0
_SAFE = 0.9
"""Rows are taken for gone a little before they are."""


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows: whole steps, the last of which is open where it ends now (`live`)."""

    window: Window
    resolution: str
    step_ms: int
    live: bool

    @property
    def starts(self) -> range:
        """The start of each step."""
        return range(self.window.start_ms, self.window.end_ms, self.step_ms)

    @property
    def shared_s(self) -> float:
        """How long an answer about it is given again: of 10 s a moment, of what is over longer than of what still happens."""
        return KEPT_S if self.step_ms <= FINE_MS else SHARED_S if self.live else PAST_S

    def before(self, ms: int) -> View:
        """The same, so much earlier. Rows of that time may exist at a coarser resolution only."""
        earlier = Window(self.window.start_ms - ms, self.window.end_ms - ms)
        return View(earlier, self.resolution, self.step_ms, False)


def view_of(length: str | None, start: str | None, end: str | None, usual: str, now_ms: int) -> View:
    """Raises Refused."""
    if start is None and end is None:
        try:
            ms = round(float(str(duration_s(length or usual))) * 1000)
        except ValueError as error:
            raise Refused(400, f"range: {error}") from None
        low, high = now_ms - ms, now_ms
    else:
        high = now_ms if end is None else moment("to", end)
        low = high - HOUR if start is None else moment("from", start)
    high = min(high, now_ms)
    if not FINE_MS <= high - low <= LONGEST_MS:
        raise Refused(400, "expected a range from 10s to 400d that does not end before it begins or begin in the future")
    age = now_ms - low
    resolution, step = next(
        (name, step) for most, name, step in _GRID
        if high - low <= most and (age <= RESOLUTIONS[name].kept_ms * _SAFE or name == "1h")
    )  # fmt: skip
    live = now_ms - high < step
    ends = high - high % step + step if live else -(-high // step) * step
    first = low - low % step if start is not None else ends - max(round((high - low) / step), 1) * step
    return View(Window(first, ends), resolution, step, live)


def moment(name: str, text: str) -> int:
    """The time that a parameter names. Raises Refused."""
    try:
        # In a query a plus that is not escaped is a blank.
        return epoch_ms(f"{text[:-6]}+{text[-5:]}" if text[-6:-5] == " " else text)
    except (ValueError, OverflowError) as error:
        raise Refused(400, f"{name}={quoted(text)}: {error}") from None


Length = Annotated[str | None, Query(alias="range", max_length=20, description="how long until now, such as 1h, 24h or 31d")]
From = Annotated[str | None, Query(alias="from", max_length=64, description="RFC 3339; in place of `range`")]
To = Annotated[str | None, Query(alias="to", max_length=64, description="RFC 3339")]
