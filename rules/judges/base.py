"""What every judge answers: since when something is wrong, and when it is over.

A judge keeps nothing: it looks at the slots of one group and says what they say. So it makes no difference when it is
asked, how often, or by whom, and a late event is judged in the minute in which it happened.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from rules.series import Slots

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
UPWARD = frozenset({">", ">="})
"""Comparisons that more can only make truer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was compared, in the signal's unit, and what it rests on.

    start, end: the window. n: events in it; k: those of them that are marked, where the signal marks some; bound: the
    confidence bound of a ratio. place: which of the condition's tests it is about. limit: what it was compared with, where the
    test does not say; said: how that came about.
    """

    value: Fraction
    start: int
    end: int
    n: int
    k: int | None = None
    bound: float | None = None
    place: int = 0
    limit: Fraction | None = None
    said: str | None = None


class Point(NamedTuple):
    """From the event time `at` on (epoch ms), the condition is true or not. `since`: where it is true, the time of the
    earliest event of which that is so; for a `for`, since when it has held."""

    at: int
    bad: bool
    since: int
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class Scope:
    """How far the slots are known: nothing at or after `end` may be judged; before `closed` nothing more will come (but
    what is late), None where that is not known. Multiples of the bucket's width."""

    end: int
    closed: int | None
    bucket_ms: int


Over = tuple[int, Reading | None]


class Judge(Protocol):
    """Judges one test. `reach_ms`: how far before a time its verdict on that time looks."""

    @property
    def reach_ms(self) -> int: ...

    def points(self, slots: Slots, start: int, scope: Scope) -> Iterator[Point]:
        """Each change of truth from the bucket `start` on, in order of time; the first point tells how it is to begin with.
        Until the first point it is not true."""

    def over(self, slots: Slots, since: int, scope: Scope) -> Over | None:
        """When what was true at `since` was over: a time after it, and what was read then. None while it goes on."""

    def settled(self, slots: Slots, since: int, scope: Scope) -> int:
        """While it goes on: a later time from which `over` gives the same answer, so that it need not look so far back."""


class Flips:
    """Turns verdicts, one event after another, into changes."""

    def __init__(self) -> None:
        self._bad: bool | None = None

    def changed(self, bad: bool) -> bool:
        changed, self._bad = bad is not self._bad, bad
        return changed


def closed_ends(slots: Slots, since: int, scope: Scope) -> Iterator[int]:
    """The ends of the closed buckets after `since`."""
    if scope.closed is None:
        return
    width = scope.bucket_ms
    end = since - since % width + width
    while end <= scope.closed:
        yield end
        end += width


def settled_at_close(since: int, scope: Scope) -> int:
    """`Judge.settled` of those that look at closed buckets alone."""
    return since if scope.closed is None else max(since, scope.closed - scope.bucket_ms)
