"""A night on call: a desk on a clock that the test moves, and what it said, in a short notation.

A line is `minutes:seconds kind person-or-channel: channels`, such as `5:00 page sipho: phone sms email`. `#slack` is the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from notifier.desk import Changes, Desk, Duty, Result, Told
from notifier.silences import matcher
from schemas.alert import AlertData, AlertEvent, JudgedAt, Transition, Window, alert_event, fingerprint
from schemas.incident import Answer, Command, Happened, Incident, Moved, Silence, digest
from schemas.severity import SEVERITIES, SeverityName

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
TUESDAY = datetime(2026, 11, 24, 2, 0, tzinfo=JOHANNESBURG)
EVERY = ("phone", "sms", "email", "slack", "webhook")
DIRECT = {"phone": "+27 00 000 0000", "sms": "+27 00 000 0000", "email": "someone@example.org"}


@dataclass(frozen=True)
class Someone:
    key: str
    contacts: Mapping[str, str] = field(default_factory=lambda: dict(DIRECT))


@dataclass(frozen=True)
class Crew:
    key: str


class Book:
    """Who is on call: thandi, sipho, lerato and naledi, from the primary to the executive, unless the test says otherwise."""

    def __init__(self) -> None:
        self.duty: dict[str, tuple[Someone, ...]] = {
            "primary": (Someone("thandi"),),
            "secondary": (Someone("sipho"),),
            "lead": (Someone("lerato"),),
            "executive": (Someone("naledi"),),
        }
        self.asked_at: list[datetime] = []
        self.gone: set[str] = set()
        """Teams that there are no more."""

    def team_for(self, rule: str, pack: str, owner: str | None, components: Iterable[str]) -> Crew:
        return Crew(owner or "everybody")

    def on_call(self, team: str, level: str, at: datetime) -> Sequence[Someone]:
        if team in self.gone:
            raise KeyError(team)
        self.asked_at.append(at)
        return self.duty.get(level, ())


def end_of_business(zone: tzinfo, holidays: frozenset[str] = frozenset()) -> Callable[[int], int]:
    """Tells when the next business day ends: at 17:00, not on weekends, not on these dates."""

    def end(ms: int) -> int:
        at = datetime.fromtimestamp(ms / 1000, zone)
        day = at.date() + timedelta(days=at.hour >= 8)
        while day.weekday() >= 5 or day.isoformat() in holidays:
            day += timedelta(days=1)
        return int(datetime(day.year, day.month, day.day, 17, tzinfo=zone).timestamp() * 1000)

    return end


class Night:
    """A desk, its roster, and all it said since `start`. deliver: every message gets through at once; rooms: the channels
    slack and webhook have an address of their own."""

    def __init__(
        self, start: datetime = TUESDAY, *, deliver: bool = True, rooms: bool = False, holidays: frozenset[str] = frozenset()
    ) -> None:
        self.start_ms = self.now_ms = int(start.timestamp() * 1000)
        self.zone = start.tzinfo or UTC
        self.book, self.deliver = Book(), deliver
        named = frozenset({"slack", "webhook"}) if rooms else frozenset()
        self.duty = Duty(self.book, end_of_business(self.zone, holidays), named)
        self.desk = Desk("tillwatch", self.duty)
        self.log: list[str] = []
        self.sent: dict[str, str] = {}
        self.moved: tuple[Moved, ...] = ()
        self._offsets, self._ids, self._updates = count(), count(), count(1)

    # --- time -------------------------------------------------------------------------------------------------------------

    def until(self, at: str) -> list[str]:
        """What is said up to this time (`m:ss` or `h:mm:ss` since the start, or `Thu 17:00`), this included."""
        target, before = self._ms(at), len(self.log)
        while (due := self._due()) is not None and due <= target:
            self.now_ms = max(self.now_ms, due)
            self._told(self.desk.tick(self.now_ms))
        self.now_ms = target
        self._told(self.desk.tick(self.now_ms))
        return self.log[before:]

    def _due(self) -> int | None:
        steps = [one.next_at for one in self.desk.incidents.values()]
        turns = [
            one.start_ms if one.phase == "waiting" else one.end_ms
            for one in self.desk.silences.values()
            if one.phase != "over"
        ]
        return min((at for at in (*steps, *turns) if at is not None), default=None)

    def _ms(self, at: str) -> int:
        day, _, clock = at.rpartition(" ")
        if day:
            found = datetime.fromtimestamp(self.now_ms / 1000, self.zone)
            while found.strftime("%a") != day:
                found += timedelta(days=1)
            hour, minute = map(int, clock.split(":"))
            return int(found.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp() * 1000)
        total = 0
        for part in clock.split(":"):
            total = total * 60 + int(part)
        return self.start_ms + total * 1000

    # --- what comes in ----------------------------------------------------------------------------------------------------

    def alert(self, *alerts: AlertEvent) -> list[str]:
        before = len(self.log)
        self._told(self.desk.take([Told(next(self._offsets), one) for one in alerts], self.now_ms, self.moved))
        return self.log[before:]

    def tell(
        self, kind: str, text: str = "", *, by: str = "thandi", number: int = 1, ident: str | None = None, **more: Any
    ) -> Answer:
        """A command about an incident."""
        command = Command(ident or f"c{next(self._ids)}", kind, by, f"#{number}", text, **more)  # type: ignore[arg-type]
        return self._answered(command)

    def silence(self, *matchers: str, start: str, end: str, kind: str = "silence", reason: str = "works") -> Answer:
        found = tuple(matcher(one) for one in matchers)
        ident = digest("test", next(self._ids))
        silence = Silence(ident, kind, found, self._ms(start), self._ms(end), "", reason)  # type: ignore[arg-type]
        return self._answered(Command(ident, "silence", "thandi", silence=silence))

    def _answered(self, command: Command) -> Answer:
        changes = self.desk.act([command], self.now_ms)
        self._told(changes)
        return changes.answers[command.id]

    def fails(self, *channels: str, person: str | None = None) -> list[str]:
        """The messages that are under way through these channels do not get through."""
        before = len(self.log)
        under_way = [
            (one, page)
            for one, page in self.desk.unsent()
            if page.channel in channels and (person is None or page.person == person)
        ]
        for one, page in under_way:
            self._told(self.desk.record([Result(one.id, page.key, False, "no answer")], self.now_ms))
        return self.log[before:]

    # --- what comes out ---------------------------------------------------------------------------------------------------

    def _told(self, changes: Changes) -> None:
        many: dict[tuple[str, str], list[str]] = {}
        for page in changes.pages:
            assert page.key not in self.sent, "a key is used once"
            self.sent[page.key] = page.channel
            whom = page.person or f"#{page.channel}"
            many.setdefault((page.kind, whom), []).append(page.channel)
        rooms = [(kind, whom) for kind, whom in many if whom.startswith("#")]
        for kind, whom in many:
            if (kind, whom) not in rooms:
                self.log.append(f"{self.clock} {kind} {whom}: {' '.join(many[kind, whom])}")
        for kind, whom in rooms:
            self.log.append(f"{self.clock} {kind} {whom}")
        if self.deliver and changes.pages:
            results = [
                Result(one.incident.id, page.key, True, "") for one in changes.incidents for page in one.pages
            ]
            assert not self.desk.record(results, self.now_ms).pages

    @property
    def clock(self) -> str:
        seconds = (self.now_ms - self.start_ms) // 1000
        if seconds >= 86_400:
            return datetime.fromtimestamp(self.now_ms / 1000, self.zone).strftime("%a %H:%M")
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"

    def incident(self, number: int = 1) -> Incident:
        return next(one for one in self.desk.incidents.values() if one.number == number)

    def story(self, number: int = 1, *kinds: str) -> list[str]:
        """The texts of the timeline, of these kinds or all."""
        return [one.text for one in self.incident(number).timeline if not kinds or one.kind in kinds]

    def entries(self, number: int = 1) -> tuple[Happened, ...]:
        return self.incident(number).timeline

    def restart(self) -> None:
        """Another desk goes on from what was kept."""
        self.desk = Desk("tillwatch", self.duty, self.desk.incidents.values(), self.desk.silences.values())


# --- alerts -----------------------------------------------------------------------------------------------------------


def alert(
    rule: str,
    transition: Transition = "firing",
    severity: SeverityName = "critical",
    *,
    episode: int = 0,
    n: int = 0,
    pack: str = "payment_alerts",
    group: Mapping[str, Any] | None = None,
    at_ms: int = int(TUESDAY.timestamp() * 1000),
    **more: Any,
) -> AlertEvent:
    """An alert as the topic has it. group: `provider="ozow"` and such may be given as `more` as well."""
    fields = AlertData.model_fields
    dimensions = dict(group or {}) | {name: value for name, value in more.items() if name not in fields}
    data = {
        "fingerprint": fingerprint("tillwatch", pack, rule, dimensions),
        "rule": rule,
        "pack": pack,
        "rule_version": "1",
        "severity": severity,
        "status": {"updated": "firing", "retracted": "inactive"}.get(transition, transition),
        "group": dimensions,
        "value": 0.2,
        "threshold": 0.1,
        "unit": "ratio",
        "window": Window(start=at_ms - 60_000, end=at_ms),
        "first_bad_at": at_ms - 10_000,
        "detected_at": at_ms,
        "summary": f"{rule} is bad",
        "arithmetic": "2 / 10 = 20 %",
        "channels": SEVERITIES[severity].channels,
        "judged_at": JudgedAt(offset=1),
    }
    given = {name: value for name, value in more.items() if name in fields}
    return alert_event("tillwatch", transition, AlertData(**(data | given)), episode_ms=episode, n=n, time_ms=at_ms)

