"""Who is on call at a moment: layers, of which the later go before the earlier, and overrides, which go before all.

People are named by their keys. Moments carry a zone; what comes out is in UTC. A span has its begin and not its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

from runtime.schedule import Schedule, instant

People = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """A span in which the same people are on call; nobody where there are none."""

    begin: datetime
    end: datetime
    people: People


class Layer(Protocol):
    """One way to say who is on call."""

    def at(self, at: datetime) -> People:
        """Who it names at a moment."""
        ...

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The moments between two others at which it may name somebody else, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same people always."""

    people: People

    def at(self, at: datetime) -> People:
        return self.people

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Rotation:
    """One after another, each for so many days, from the hand-over on the day `start` on; nobody before.

    Hand-overs are at the same time of day by the clocks of `zone`, whatever a clock change makes of the hours between.
    """

    people: People
    start: date
    days: int
    handover: time
    zone: ZoneInfo

    def at(self, at: datetime) -> People:
        turn = self._turn(at)
        return (self.people[turn % len(self.people)],) if turn >= 0 else ()

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        for turn in count(max(self._turn(begin), 0)):
            edge = self._begin(turn)
            if edge >= end:
                return
            yield edge

    def _turn(self, at: datetime) -> int:
        """The number of the turn that a moment lies in."""
        turn = (at.astimezone(self.zone).date() - self.start).days // self.days
        while at < self._begin(turn):
            turn -= 1
        while at >= self._begin(turn + 1):  # clocks that go back over midnight bring the day before again
            turn += 1
        return turn

    def _begin(self, turn: int) -> datetime:
        return instant(self.start + timedelta(days=turn * self.days), self.handover, self.zone)


@dataclass(frozen=True, slots=True)
class Restricted:
    """A layer that names somebody only within certain hours."""

    layer: Layer
    hours: Schedule

    def at(self, at: datetime) -> People:
        return self.layer.at(at) if self.hours.covers(at) else ()

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        yield from self.layer.edges(begin, end)
        for span in self.hours.spans(begin, end):
            yield from span


@dataclass(frozen=True, slots=True)
class Override:
    """Who is on call from `begin` to `end`, whatever the layers say."""

    people: People
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rota:
    """Who is on call for one level of a team. Of overrides of the same time the one that was written last is in force."""

    layers: tuple[Layer, ...]
    overrides: tuple[Override, ...] = ()

    def at(self, at: datetime) -> People:
        """Who is on call at a moment. Raises ValueError where it has no zone."""
        at = utc(at)
        for override in reversed(self.overrides):
            if override.begin <= at < override.end:
                return override.people
        for layer in reversed(self.layers):
            people = layer.at(at)
            if people:
                return people
        return ()

    def shifts(self, begin: datetime, end: datetime) -> tuple[Shift, ...]:
        """The time between two moments, without a hole; two that follow each other name different people."""
        begin, end = utc(begin), utc(end)
        if begin >= end:
            return ()
        edges = {edge for layer in self.layers for edge in layer.edges(begin, end)}
        edges |= {edge for override in self.overrides for edge in (override.begin, override.end)}
        found: list[Shift] = []
        for first, last in pairwise([begin, *sorted(edge for edge in edges if begin < edge < end), end]):
            people = self.at(first)
            if found and found[-1].people == people:
                first = found.pop().begin
            found.append(Shift(first, last, people))
        return tuple(found)


def utc(at: datetime) -> datetime:
    """The same moment in UTC. Two moments of one zone are compared by the clocks' hands, which is wrong where they go back."""
    if at.utcoffset() is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC)
