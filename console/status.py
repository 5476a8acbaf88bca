"""The public status page: how the services are, in the words of customers. Pure.

A service is a way to pay (the `method` of payments), or the access to what was paid for. What is measured speaks where people
said nothing; what people published goes before it. Names of providers, rules and people are never in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from console.health import BROKEN, ENOUGH, WORSE
from console.readings import Totals
from console.shapes import Mark, Shape
from rollups.tables import DAY, HOUR
from schemas.alert import Instant
from schemas.incident import Felt, Incident, Silence, Update
from schemas.tables import TABLES

DAYS = 90
SERVICES_MOST, EARLIER_MOST, UPDATES_MOST = 12, 20, 20
KNOWN = {"card": "Card payments", "eft": "EFT payments", "qr": "QR payments", "wallet": "Wallet payments"}
PAYMENTS, ACCESS = "Payments", "Enrolment and course access"
ACCESS_RULES = frozenset({"paid_not_enrolled", "access_not_granted"})
"""Rules that tell that who has paid does not get in."""
_OUTCOME, _METHOD, _FAULT = (TABLES["payments"].dimensions.index(name) for name in ("outcome", "method", "fault"))
_FAILING = ("technical", "unknown")
Day = Literal["", "p", "f", "n"]
"""A day of a service: no trouble, slow or partly down, down, not measured."""
_WORST: tuple[Day, ...] = ("f", "p", "", "n")
_SAID: dict[Day, str] = {"f": "down", "p": "slow or partly down", "": "no trouble", "n": "not measured"}
_STATE_WORDS: dict[Mark, str] = {
    "ok": "Working",
    "degraded": "Slow or partly down",
    "failing": "Failing",
    "nodata": "Not measured",
}
_FELT: dict[Felt, Mark] = {"failing": "failing", "degraded": "degraded", "ok": "ok"}


class PublicNote(Shape):
    """What was said, and when."""

    at: Instant
    text: str


class PublicService(Shape):
    """A service now and in the last 90 days. `days`: the oldest first: empty no trouble, p slow or partly down, f down, n not
    measured; `working`: of all that was tried in these days, the share that did not fail by a fault."""

    name: str
    state: Mark
    word: str
    days: list[Day]
    working: float | None


class PlannedWork(Shape):
    """A maintenance window ahead, or now."""

    start: Instant
    end: Instant
    text: str


class StatusPage(Shape):
    """How things are, for customers."""

    name: str
    state: Mark
    sentence: str
    why: str
    since: Instant | None
    next_at: Instant | None
    updates: list[PublicNote]
    services: list[PublicService]
    planned: list[PlannedWork]
    earlier: list[PublicNote]
    as_of: Instant | None


# --- what was measured ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Payments of one service that finished, and those that failed by a fault."""

    finished: int = 0
    failing: int = 0

    def add(self, finished: int, failing: int) -> None:
        self.finished += finished
        self.failing += failing

    @property
    def day(self) -> Day:
        """What such an hour means."""
        if not self.finished:
            return "n"
        share = self.failing / self.finished
        if self.failing < ENOUGH or share <= WORSE:
            return ""
        return "f" if share > BROKEN else "p"


@dataclass(slots=True)
class Measured:
    """One day: by service its sums, and its worst hour."""

    sums: dict[str, Tally] = field(default_factory=dict)
    worst: dict[str, Day] = field(default_factory=dict)


def service_of(method: object) -> str:
    """What a way to pay is called."""
    if method is None:
        return PAYMENTS
    name = str(method)
    return KNOWN.get(name, f"{name.replace('_', ' ').strip().capitalize()} payments")


def tallies(cells: Totals) -> dict[str, Tally]:
    """By service, of these cells of the table of payments."""
    found: dict[str, Tally] = {}
    for key, cell in cells.items():
        if key[_OUTCOME] in ("succeeded", "failed"):
            failing = key[_OUTCOME] == "failed" and key[_FAULT] in _FAILING
            found.setdefault(service_of(key[_METHOD]), Tally()).add(cell.count, cell.count if failing else 0)
    return found


def measured(rows: Mapping[int, Totals]) -> Measured:
    """A day, by its hours."""
    day = Measured()
    for cells in rows.values():
        for name, tally in tallies(cells).items():
            day.sums.setdefault(name, Tally()).add(tally.finished, tally.failing)
            day.worst[name] = min(day.worst.get(name, "n"), tally.day, key=_WORST.index)
    return day


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read. days: by the start of each (UTC) what was measured; now: the last minutes of payments; live: whether what
    is measured is of now; as_of_ms: up to when it is known."""

    name: str
    now_ms: int
    as_of_ms: int | None
    live: bool
    now: Totals
    days: Mapping[int, Measured]
    incidents: Sequence[Incident]
    silences: Sequence[Silence]


def day_starts(now_ms: int) -> list[int]:
    """The start of each of the days that are shown, in UTC, the oldest first."""
    today = now_ms - now_ms % DAY
    return [today - n * DAY for n in range(DAYS - 1, -1, -1)]


def status(facts: Facts) -> StatusPage:
    """The page."""
    told = [one for one in facts.incidents if one.updates]
    current = sorted((one for one in told if _current(one)), key=lambda one: one.updates[-1].at_ms, reverse=True)
    services = _services(facts, current)
    state, sentence, why, since = _verdict(facts, services, current)
    return StatusPage(
        name=facts.name,
        state=state,
        sentence=sentence,
        why=why,
        since=since,
        next_at=_next(current, facts.now_ms),
        updates=_notes(update for one in current for update in one.updates),
        services=services,
        planned=_planned(facts),
        earlier=[
            PublicNote(at=one.since_ms, text=_ended(one, one.updates[-1]))
            for one in sorted(told, key=lambda one: one.since_ms, reverse=True)
            if not _current(one) and facts.now_ms - one.since_ms < DAYS * DAY
        ][:EARLIER_MOST],
        as_of=facts.as_of_ms,
    )


def _current(incident: Incident) -> bool:
    """Whether customers still feel it, by what was published and by its status."""
    return incident.open and incident.updates[-1].felt != "ok"


def _verdict(
    facts: Facts, services: Sequence[PublicService], current: Sequence[Incident]
) -> tuple[Mark, str, str, int | None]:
    if current:
        worst = min(current, key=lambda one: one.updates[-1].felt != "failing")
        last = worst.updates[-1]
        title = next((one.title for one in reversed(worst.updates) if one.title), "") or _measured_sentence(services)
        return _FELT[last.felt], title or "Some of our services have trouble.", last.text, worst.since_ms
    if not facts.live:
        return "nodata", "We do not know how payments are right now.", "Nothing could be measured for a while.", facts.as_of_ms
    bad = [one for one in services if one.state in ("failing", "degraded")]
    if bad:
        state: Mark = "failing" if any(one.state == "failing" for one in bad) else "degraded"
        return state, _measured_sentence(services), "We see it in our own measurements. What we know more is told here.", None
    if not any(one.state == "ok" for one in services):
        return "nodata", "Nobody has paid in the last minutes.", "So nothing can be said about payments.", None
    return "ok", "Everything works.", "You can pay, and get what you paid for.", None


def _measured_sentence(services: Sequence[PublicService]) -> str:
    """What is not well, and what is."""
    failing = [one.name for one in services if one.state == "failing"]
    slow = [one.name for one in services if one.state == "degraded"]
    fine = [one.name for one in services if one.state == "ok"]
    if not failing and not slow:
        return ""
    what = f"{_all(failing)} are failing for many customers" if failing else f"{_all(slow)} fail for some customers"
    rest = f" {_all(fine)} work." if fine else ""
    return f"{what}.{rest}"


def _all(names: Sequence[str]) -> str:
    """`Card payments`; `Card, EFT and QR payments` where all are payments."""
    ways = [name.removesuffix(" payments") for name in names]
    if len(names) > 1 and all(name.endswith(" payments") for name in names):
        return f"{', '.join(ways[:-1])} and {ways[-1]} payments"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _next(current: Sequence[Incident], now_ms: int) -> int | None:
    """By when more is told; a promise that was not kept is none."""
    times = [at for one in current if (at := one.updates[-1].next_ms) is not None and at > now_ms]
    return min(times, default=None)


def _notes(updates: Iterable[Update]) -> list[PublicNote]:
    found = sorted(updates, key=lambda one: one.at_ms, reverse=True)[:UPDATES_MOST]
    return [PublicNote(at=one.at_ms, text=one.text) for one in found]


def _ended(incident: Incident, last: Update) -> str:
    return last.text if last.felt == "ok" or incident.open else f"{last.text} It is over."


def _planned(facts: Facts) -> list[PlannedWork]:
    """Maintenance windows. What is written in them is for the people who work on it, so it is not told here."""
    found = sorted(
        (one for one in facts.silences if one.kind == "maintenance" and one.phase != "over" and one.end_ms > facts.now_ms),
        key=lambda one: one.start_ms,
    )
    text = "Payments may be slower, or fail for a short time. Try again, or pay another way."
    return [PlannedWork(start=one.start_ms, end=one.end_ms, text=text) for one in found]


def _services(facts: Facts, current: Sequence[Incident]) -> list[PublicService]:
    now = tallies(facts.now)
    sums: dict[str, Tally] = {}
    for day in facts.days.values():
        for name, tally in day.sums.items():
            sums.setdefault(name, Tally()).add(tally.finished, tally.failing)
    names = sorted(sums.keys() | now.keys(), key=lambda name: (-sums.get(name, Tally()).finished, name))[:SERVICES_MOST]
    found = [_service(facts, current, name, now.get(name, Tally()), sums.get(name, Tally())) for name in names]
    access = [one for one in facts.incidents if ACCESS_RULES & {*one.rules}]
    if access or any(ACCESS in update.services for one in facts.incidents for update in one.updates):
        found.append(_access(facts, current, access))
    return found


def _service(facts: Facts, current: Sequence[Incident], name: str, now: Tally, sums: Tally) -> PublicService:
    state: Mark = {"f": "failing", "p": "degraded", "": "ok", "n": "nodata"}[now.day] if facts.live else "nodata"  # type: ignore[assignment]
    state = _said(current, name, state)
    days = []
    for start in day_starts(facts.now_ms):
        day = facts.days.get(start, Measured())
        days.append(min(day.worst.get(name, "n"), _published(facts, name, start), key=_WORST.index))
    return PublicService(
        name=name,
        state=state,
        word=_STATE_WORDS[state],
        days=days,
        working=round(1 - sums.failing / sums.finished, 6) if sums.finished else None,
    )


def _access(facts: Facts, current: Sequence[Incident], troubled: Sequence[Incident]) -> PublicService:
    """Known by the incidents about it alone."""
    state = _said(current, ACCESS, "degraded" if any(one.open for one in troubled) else "ok")
    days: list[Day] = []
    for start in day_starts(facts.now_ms):
        hit = any(_lasts(one, start, facts.now_ms) for one in troubled)
        days.append(min("p" if hit else "", _published(facts, ACCESS, start), key=_WORST.index))
    return PublicService(name=ACCESS, state=state, word=_STATE_WORDS[state], days=days, working=None)


def _said(current: Sequence[Incident], name: str, state: Mark) -> Mark:
    """What people published of it goes before what was measured, where it is worse."""
    said = [one.updates[-1].felt for one in current if name in one.updates[-1].services]
    order: tuple[Mark, ...] = ("failing", "degraded", "nodata", "ok")
    return min([state, *(_FELT[felt] for felt in said)], key=order.index)


def _published(facts: Facts, name: str, start: int) -> Day:
    """What was published of this service on this day."""
    felt = {
        update.felt
        for one in facts.incidents
        if _lasts(one, start, facts.now_ms)
        for update in one.updates
        if name in update.services
    }
    return "f" if "failing" in felt else "p" if "degraded" in felt else "n"


def _lasts(incident: Incident, start: int, now_ms: int) -> bool:
    return incident.since_ms < start + DAY and (incident.resolved_ms or now_ms) >= start


# --- as it is sent ----------------------------------------------------------------------------------------------------


def clock(ms: int, now_ms: int, zone: tzinfo, today: str = "Today ") -> str:
    """`Today 11:05`, `Fri 13 Nov 16:48` in the zone of the organisation."""
    at, now = (datetime.fromtimestamp(one / 1000, UTC).astimezone(zone) for one in (ms, now_ms))
    if at.date() == now.date():
        return f"{today}{at:%H:%M}"
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def blanks(page: StatusPage, now_ms: int, zone: tzinfo) -> dict[str, str]:
    """What is filled into the template."""

    def at(ms: int, today: str = "") -> str:
        stamp = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
        return f'<time class="num" datetime="{stamp}">{clock(ms, now_ms, zone, today)}</time>'

    def note(one: PublicNote) -> str:
        return f'<div class="upd">{at(one.at, "Today ")}<div>{escape(one.text)}</div></div>'

    why = f"{f'Since {at(page.since)}. ' if page.since is not None else ''}{escape(page.why)}"
    if page.next_at is not None:
        why += f" Next update by {at(page.next_at)}."
    sections = []
    if page.updates:
        sections.append("<h2>Updates</h2>" + "".join(map(note, page.updates)))
    services = "".join(map(_row, page.services)) or '<p class="empty">Services show with their first payment.</p>'
    sections.append(f'<h2>Services <span class="muted">last {DAYS} days</span></h2>{services}{_KEY}')
    if page.planned:
        mark = f'<span class="st" data-s="maint">{_icon("maint")}Maintenance</span>'
        planned = "".join(
            f'<div class="upd">{at(one.start, "Today ")}<div>{mark}, to {at(one.end)}: {escape(one.text)}</div></div>'
            for one in page.planned
        )
        sections.append(f"<h2>Planned</h2>{planned}")
    if page.earlier:
        sections.append("<h2>Earlier</h2>" + "".join(map(note, page.earlier)))
    zone_name = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).tzname() or ""
    as_of = "Not measured yet"
    if page.as_of is not None:
        measured_at = datetime.fromtimestamp(page.as_of / 1000, UTC).astimezone(zone)
        day = "" if now_ms - page.as_of < HOUR else f"{measured_at:%a} {measured_at.day} {measured_at:%b} "
        as_of = f"Measured {day}{measured_at:%H:%M:%S} {escape(zone_name)}"
    return {
        "title": escape(f"{page.sentence} · {page.name}"),
        "whose": escape(page.name),
        "state": page.state,
        "sentence": escape(page.sentence),
        "why": why,
        "body": "\n".join(sections),
        "as_of": as_of,
        "age": "" if page.as_of is None else str(max(now_ms - page.as_of, 0) / 1000),
    }


def _icon(name: str) -> str:
    return f'<svg class="i" aria-hidden="true"><use href="/static/icons.svg#{name}"/></svg>'


def _row(one: PublicService) -> str:
    name = escape(one.name)
    trouble = [f"{DAYS - 1 - at} days ago {_SAID[day]}" for at, day in enumerate(one.days) if day in ("p", "f")]
    spoken = "; ".join(trouble).replace("0 days ago", "today").replace("1 days", "1 day") or "no trouble"
    days = "".join(f'<i data-d="{day}" title="{_SAID[day]}"></i>' if day else '<i title="no trouble"></i>' for day in one.days)
    working = "" if one.working is None else f"{one.working * 100:.2f}\u00a0% working"
    mark = f'<span class="st" data-s="{one.state}">{_icon(one.state)}{one.word}</span>'
    return (
        f'<div class="svc"><div><span>{name}</span>{mark}</div>'
        f'<div class="days" role="img" aria-label="{name}, {DAYS} days: {spoken}">{days}</div>'
        f'<div class="ax num"><span class="hide-s">{DAYS} days ago</span><span class="only-s">{DAYS // 2} days ago</span>'
        f"<span>{working}</span><span>today</span></div></div>"
    )


_KEY = (
    '<p class="key days-key"><span><i></i>no trouble</span><span><i data-d="p"></i>slow or partly down</span>'
    '<span><i data-d="f"></i>down</span><span><i data-d="n"></i>not measured</span></p>'
)


def feed(page: StatusPage, address: str) -> bytes:
    """The updates as an Atom feed (RFC 4287). `address`: of the status page."""
    top = Element("feed", xmlns="http://www.w3.org/2005/Atom")
    SubElement(top, "title").text = f"{page.name}: status"
    SubElement(top, "id").text = address
    SubElement(top, "link", href=address)
    SubElement(top, "link", rel="self", href=f"{address}.atom")
    author = SubElement(top, "author")
    SubElement(author, "name").text = page.name
    notes = [*page.updates, *page.earlier]
    SubElement(top, "updated").text = _rfc3339(max((one.at for one in notes), default=0))
    for one in notes:
        entry = SubElement(top, "entry")
        SubElement(entry, "id").text = f"{address}#{one.at}"
        SubElement(entry, "title").text = one.text[:80]
        SubElement(entry, "updated").text = _rfc3339(one.at)
        SubElement(entry, "content", type="text").text = one.text
        SubElement(entry, "link", href=address)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(top, encoding="unicode")}'.encode()


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


