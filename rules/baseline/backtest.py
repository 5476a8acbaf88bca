"""What a detector would have paged over a series, and how good that would have been.

A page opens after 15 minutes of breach and closes after 30 minutes clear. An interval that somebody labelled counts as
detected if a page overlaps it that opened at most 6 hours before it; a page that opens within 30 minutes after one is not
counted; every other page is false. The first week is not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rules.baseline.guard import CLEAR_MS, Guard, Reading
from rules.baseline.history import History

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
WEEK_MS = 7 * 24 * HOUR_MS
OPEN_MS = 15 * MINUTE_MS
EARLY_MS = 6 * HOUR_MS
LATE_MS = 30 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Page:
    """opened, closed: event times in epoch ms; closed is None while it is open at the end. reading: of the step that opened
    it, from detectors that explain themselves."""

    opened: int
    closed: int | None = None
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """What was abnormal, from `start` to `end` (epoch ms)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Score:
    """delays_ms: of each interval that was detected, from its start to the page; weeks: the time that was scored."""

    intervals: int
    delays_ms: tuple[int, ...]
    false: int
    weeks: float

    @property
    def detected(self) -> int:
        return len(self.delays_ms)

    @property
    def missed(self) -> int:
        return self.intervals - self.detected

    @property
    def false_a_week(self) -> float:
        return self.false / self.weeks if self.weeks else 0.0

    @property
    def delay_ms(self) -> float | None:
        """The median delay; None where nothing was detected."""
        return median(self.delays_ms) if self.delays_ms else None

    def __add__(self, other: Score) -> Score:
        return Score(
            self.intervals + other.intervals,
            self.delays_ms + other.delays_ms,
            self.false + other.false,
            self.weeks + other.weeks,
        )


class Pager:
    """The life of pages around a detector without one of its own."""

    def __init__(self, open_ms: int = OPEN_MS, clear_ms: int = CLEAR_MS) -> None:
        self._open_ms, self._clear_ms = open_ms, clear_ms
        self._since: int | None = None
        self._is_open = False
        self.pages: list[Page] = []

    def step(self, start_ms: int, end_ms: int, breach: bool) -> None:
        """One closed step. What is not a breach is clear."""
        if breach is self._is_open:
            self._since = None
            return
        self._since = start_ms if self._since is None else self._since
        if end_ms - self._since < (self._clear_ms if self._is_open else self._open_ms):
            return
        if self._is_open:
            self.pages[-1] = replace(self.pages[-1], closed=end_ms)
        else:
            self.pages.append(Page(end_ms))
        self._is_open, self._since = not self._is_open, None


def pages(guard: Guard, history: History) -> list[Page]:
    """What the guard pages over a series that it sees for the first time."""
    found: list[Page] = []
    is_open = False
    for start, value in history.rows:
        reading = guard.step(start, value)
        if reading.open and not is_open:
            found.append(Page(start + guard.step_ms, None, reading))
        elif is_open and not reading.open:
            found[-1] = replace(found[-1], closed=start + guard.step_ms)
        is_open = reading.open
    return found


def intervals(history: History) -> list[Interval]:
    """The stretches of the series that are labelled."""
    found: list[Interval] = []
    for (start, _), label in zip(history.rows, history.labels or (), strict=False):
        end = start + history.step_ms
        if not label:
            continue
        if found and found[-1].end == start:
            found[-1] = Interval(found[-1].start, end)
        else:
            found.append(Interval(start, end))
    return found


def score(
    found: Iterable[Page], wanted: Sequence[Interval], start_ms: int, end_ms: int, ignored: Sequence[Interval] = ()
) -> Score:
    """How good the pages are between two times; what begins outside is not counted.

    ignored: intervals that need not be found, and about which a page is not false.
    """
    odd = [*wanted, *ignored]
    inside = [one for one in wanted if start_ms <= one.start < end_ms]
    delays: list[int] = []
    opened = sorted(found, key=lambda page: page.opened)
    for interval in inside:
        first = next((page for page in opened if _hits(page, interval)), None)
        if first is not None:
            delays.append(max(0, first.opened - interval.start))
    false = sum(
        1
        for page in opened
        if start_ms <= page.opened < end_ms
        and not any(_hits(page, one) or one.start <= page.opened <= one.end + LATE_MS for one in odd)
    )
    return Score(len(inside), tuple(delays), false, max(0, end_ms - start_ms) / WEEK_MS)


def _hits(page: Page, interval: Interval) -> bool:
    overlaps = page.opened <= interval.end and (page.closed is None or page.closed > interval.start)
    return overlaps and page.opened >= interval.start - EARLY_MS


def whole(found: Iterable[Page], history: History) -> Score:
    """The score of a series whose rows are labelled, without its first week."""
    first, last = history.rows[0][0], history.rows[-1][0]
    return score(found, intervals(history), first + WEEK_MS, last + history.step_ms)
