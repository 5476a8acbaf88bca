"""The checklists of whoever runs a payment integration: each day, each week, each month. Pure.

An item ticks itself where Tillwatch can know that it is done, with the evidence and its age. Where it finds something wrong, or
cannot know, a person ticks it, for this day, week or month of the organisation's zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from console import kpis
from console.kpis import Held
from console.readings import Pulse
from console.reports.periods import KINDS, Kind, Period, period_of
from console.reports.report import noise, written
from console.shapes import Mark, Page, Shape, Words
from console.words import NB, counted, duration, grouped
from notifier.people.cover import Gap
from rollups.tables import DAY
from rules.signals import shipped
from schemas.alert import Instant
from schemas.incident import Incident, Silence
from schemas.severity import SEVERITIES

State = Literal["done", "attention", "open"]
NOTE_MOST = 500
BEHIND_S = 120.0
"""A watermark that is older is not a matter of the usual lateness."""
COVER_DAYS = 28
FULL = 0.75
"""Share of the store's memory from which on it is worth a thought."""
_TARGETS = ("payment_success_rate", "payment_failure_rate", "avg_payment_latency")


# --- what is known ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What items look at. day: what the tables hold of the last 24 hours; gaps: of the primary levels, 28 days ahead, None
    where the rotas cannot be had, and `no_gaps` says why; memory: (used, at most) bytes of the store, at most 0 where it has
    no limit. None, and empty notifiers: not known. read_ms: when all this was read."""

    read_ms: int
    pulse: Pulse
    day: Held | None = None
    incidents: Sequence[Incident] | None = None
    silences: Sequence[Silence] = ()
    gaps: Sequence[Gap] | None = None
    no_gaps: str = ""
    notifiers: Sequence[Mapping[str, Any]] = ()
    memory: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an item found: whether all is well, None where it cannot know; and the evidence in words, as of a moment."""

    well: bool | None
    evidence: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """What a person said of an item."""

    by: str
    at_ms: int
    note: str = ""


# --- what is told -----------------------------------------------------------------------------------------------------


class ItemTold(Shape):
    """An item. `done`: all is well, by Tillwatch itself (`by` is tillwatch) or by a person; `attention`: Tillwatch found that
    it is not; `open`: nobody has said."""

    key: str
    title: str
    why: str
    state: State
    by: str | None
    at: Instant | None
    note: str
    evidence: str
    evidence_age_s: float | None
    automatic: bool = Field(description="whether Tillwatch looks itself")


class ChecklistTold(Shape):
    """The items of a day, a week or a month."""

    kind: Kind
    title: str
    name: str
    items: list[ItemTold]
    done: int


class Checklists(Page):
    """All three. `zone`: whose days these are."""

    zone: str
    lists: list[ChecklistTold]


# --- the items --------------------------------------------------------------------------------------------------------

Check = Callable[[Known], Finding]
_STORE_AWAY = Finding(None, "The store does not answer.")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to see to. check: how Tillwatch finds out itself; None: only a person can."""

    key: str
    every: Kind
    title: str
    why: str
    check: Check | None = None


def _targets(known: Known) -> Finding:
    if known.day is None:
        return _STORE_AWAY
    values = {name: kpis.value(name, known.day) for name in _TARGETS}
    if values[_TARGETS[0]] is None:
        return Finding(None, "No payment finished in the last 24 hours.", known.pulse.as_of_ms)
    told = ", ".join(
        f"{shipped()[name].title} {written(shipped()[name].unit, value)}" for name, value in values.items()
    )
    missed = [name for name, value in values.items() if kpis.target(name, value).met is False]
    words = f"Last 24 hours: {told}."
    return Finding(not missed, f"{words} Missed: {', '.join(missed)}." if missed else words, known.pulse.as_of_ms)


def _none_of(name: str) -> Check:
    """All is well where the count of a signal over the last 24 hours is 0."""

    def check(known: Known) -> Finding:
        if known.day is None:
            return _STORE_AWAY
        count = round(kpis.value(name, known.day) or 0)
        counted_as = shipped()[name].counted(count)
        return Finding(
            not count, f"Last 24 hours: {grouped(count) if count else 'no'} {counted_as}.", known.pulse.as_of_ms
        )

    return check


def _reconciled(known: Known) -> Finding:
    if known.day is None:
        return _STORE_AWAY
    checked = sum(cell.count for cell in known.day["reconciliations"].values())
    if not checked:
        return Finding(
            None, "No payment was compared with a provider's records in the last 24 hours.", known.pulse.as_of_ms
        )
    count = round(kpis.value("reconciliation_differences", known.day) or 0)
    words = f"Last 24 hours: {counted(count, 'difference')} in {counted(checked, 'comparison')}."
    return Finding(not count, words, known.pulse.as_of_ms)


def _owned(known: Known) -> Finding:
    if known.incidents is None:
        return _STORE_AWAY
    still = [one for one in known.incidents if one.open]
    nobody = [f"#{one.number}" for one in still if one.assignee is None and one.acknowledged_ms is None]
    if nobody:
        return Finding(False, f"Nobody has taken {', '.join(nobody[:8])}.", known.read_ms)
    words = f"{counted(len(still), 'incident')} open, each taken by somebody." if still else "No incident is open."
    return Finding(True, words, known.read_ms)


def _reviewed(known: Known) -> Finding:
    if known.incidents is None:
        return _STORE_AWAY
    left = [
        f"#{one.number}"
        for one in known.incidents
        if one.status == "resolved"
        and one.said_ms is not None
        and SEVERITIES[one.severity].level in ("P0", "P1")
        and (one.resolved_ms or 0) >= known.read_ms - 14 * DAY
    ]
    if left:
        return Finding(False, f"Resolved within 14 days, and not reviewed: {', '.join(left[:8])}.", known.read_ms)
    return Finding(
        True, "Every critical or high incident of the last 14 days that is over was reviewed.", known.read_ms
    )


def _covered(days: int) -> Check:
    def check(known: Known) -> Finding:
        if known.gaps is None:
            return Finding(None, known.no_gaps)
        until = datetime.fromtimestamp(known.read_ms / 1000 + days * 86_400, UTC)
        found = [gap for gap in known.gaps if gap.begin < until]
        ahead = "24 hours" if days == 1 else f"{days} days"
        if found:
            first = found[0]
            words = (
                f"{counted(len(found), 'gap')}; the first is {first.team}'s, from {first.begin:%a %d %b %H:%M} UTC on."
            )
            return Finding(False, words, known.read_ms)
        return Finding(True, f"Somebody is on call for every team through the next {ahead}.", known.read_ms)

    return check


def _current(known: Known) -> Finding:
    pulse = known.pulse
    if pulse.state == "blind":
        return _STORE_AWAY
    if pulse.state != "live" or pulse.leader is None:
        return Finding(False, f"The pipeline is {pulse.state}: {pulse.detail}.", known.read_ms)
    marks = [mark for mark in pulse.leader["table_watermarks"].values() if mark is not None]
    if not marks:
        return Finding(None, "No event has come yet.", known.read_ms)
    age_s = max(known.read_ms - min(marks), 0) / 1000
    return Finding(age_s <= BEHIND_S, f"The oldest watermark is {duration(age_s)} old.", known.read_ms)


def _quiet(known: Known) -> Finding:
    if known.incidents is None:
        return _STORE_AWAY
    week = [one for one in known.incidents if one.opened_ms >= known.read_ms - 7 * DAY and one.said_ms is not None]
    noisy = [one for one in noise(week) if one.noisy]
    if noisy:
        told = ", ".join(f"{one.rule} ({one.unattended} of {one.incidents})" for one in noisy[:5])
        return Finding(False, f"Incidents that were over before anybody took them: {told}.", known.read_ms)
    return Finding(True, "No rule was noisy in the last 7 days.", known.read_ms)


def _ending(known: Known) -> Finding:
    if known.incidents is None:
        return _STORE_AWAY
    long = [one for one in known.silences if one.phase != "over" and one.end_ms - one.start_ms > 7 * DAY]
    if long:
        told = "; ".join(f"{one.reason} ({one.author})" for one in long[:5])
        return Finding(False, f"{counted(len(long), 'silence')} of more than a week: {told}.", known.read_ms)
    return Finding(True, "No silence lasts longer than a week.", known.read_ms)


def _reachable(known: Known) -> Finding:
    told = next((one for one in known.notifiers if one.get("leader")), None)
    if told is None:
        return Finding(None if not known.notifiers else False, "No notifier says that it leads.", known.read_ms)
    failing = sorted(name for name, one in told.get("channels", {}).items() if one["failures"])
    if failing:
        return Finding(False, f"Failed when used last: {', '.join(failing)}.", known.read_ms)
    used = sorted(name for name, one in told.get("channels", {}).items() if one["last_ok_at"] is not None)
    if not used:
        return Finding(
            None, "No channel was used since the notifier began: 'tillwatch test-alerts' tries them.", known.read_ms
        )
    return Finding(True, f"Worked when used last: {', '.join(used)}.", known.read_ms)


def _deadman(known: Known) -> Finding:
    told = next((one for one in known.notifiers if one.get("leader")), None)
    if told is None:
        return Finding(None if not known.notifiers else False, "No notifier says that it leads.", known.read_ms)
    if told.get("deadman") is None:
        return Finding(False, "No dead man's switch is set (TILLWATCH_DEADMAN).", known.read_ms)
    return Finding(None, "A dead man's switch is called. Stop it for a test: are you told?", known.read_ms)


def _memory(known: Known) -> Finding:
    if known.memory is None:
        return _STORE_AWAY
    used, most = known.memory
    words = f"The store uses {used / 2**20:.0f}{NB}MB"
    if not most:
        return Finding(None, f"{words}; it has no limit (maxmemory).", known.read_ms)
    return Finding(used < FULL * most, f"{words} of {most / 2**20:.0f}{NB}MB.", known.read_ms)


ITEMS: tuple[Item, ...] = (
    Item(
        "targets",
        "daily",
        "Payments met their targets",
        "Success, failures and latency of the last 24 hours.",
        _targets,
    ),
    Item(
        "open_incidents",
        "daily",
        "Every open incident is somebody's",
        "What nobody has taken is looked at by nobody.",
        _owned,
    ),
    Item(
        "cover_today",
        "daily",
        "Somebody is on call for the next 24 hours",
        "A page to nobody wakes nobody.",
        _covered(1),
    ),
    Item(
        "dead_letters",
        "daily",
        "No event was refused",
        "Each is a payment, or a part of one, that is not counted.",
        _none_of("dead_letters"),
    ),
    Item(
        "signatures",
        "daily",
        "No webhook had an invalid signature",
        "A secret that is out of date, or somebody who tries.",
        _none_of("invalid_webhook_signatures"),
    ),
    Item(
        "reconciliation",
        "daily",
        "Payments agree with the providers' records",
        "Money that one side knows of and the other does not.",
        _reconciled,
    ),
    Item("pipeline", "daily", "Tillwatch keeps up", "A verdict on old data is a guess.", _current),
    Item(
        "violations",
        "daily",
        "No security violation",
        "Card numbers in events, forged requests, broken policies.",
        _none_of("security_violations"),
    ),
    Item("report", "daily", "Yesterday's report was read", "On this page, in your mail, or by 'tillwatch report daily'."),
    Item("noisy_rules", "weekly", "No rule cries wolf", "Pages that nobody needs teach people to ignore them.", _quiet),
    Item(
        "cover_ahead",
        "weekly",
        "The rotas have no gaps for four weeks",
        "It is easier to fill one now than on the day.",
        _covered(COVER_DAYS),
    ),
    Item(
        "reviews",
        "weekly",
        "Grave incidents were reviewed",
        "What was learned is written down while people remember.",
        _reviewed,
    ),
    Item(
        "silences", "weekly", "No silence goes on for ever", "What was meant for a day hides the next outage.", _ending
    ),
    Item("channels", "weekly", "Channels that page people work", "Seen by what was sent last.", _reachable),
    Item(
        "test_alerts",
        "weekly",
        "A test alert reached everybody on call",
        "'tillwatch test-alerts', and ask who got it.",
    ),
    Item(
        "rule_changes",
        "weekly",
        "Changes of rules were looked at by a second person",
        "A threshold that is too high is an outage that nobody hears of.",
    ),
    Item("memory", "monthly", "The store has room", "A store that is full takes no more counts.", _memory),
    Item("deadman", "monthly", "Somebody hears when Tillwatch dies", "Who watches the watcher.", _deadman),
    Item(
        "thresholds",
        "monthly",
        "Thresholds fit what is usual now",
        "'tillwatch rules explain', beside the monthly report.",
    ),
    Item("contacts", "monthly", "Contacts of every escalation level were tried", "Numbers change, and so do jobs."),
    Item("restore", "monthly", "A backup of the store was restored", "One that was never restored is none."),
    Item(
        "access",
        "monthly",
        "Who may do what is still right",
        "Accounts, tokens and teams: who has left, who has changed?",
    ),
    Item(
        "retention",
        "monthly",
        "What is kept is what was agreed",
        "Hours for 13 months, incidents for 70 days; topics as Kafka is set.",
    ),
    Item(
        "updates",
        "monthly",
        "Tillwatch, Kafka and the store are up to date",
        "Security fixes do not install themselves.",
    ),
)
BY_KEY: Mapping[str, Item] = {one.key: one for one in ITEMS}


def period(item: Item, now_ms: int, zone: ZoneInfo) -> Period:
    """The day, week or month for which a tick counts."""
    return period_of(item.every, datetime.fromtimestamp(now_ms / 1000, zone).date(), zone)


def checklists(known: Known, ticks: Mapping[tuple[str, str], Tick], now_ms: int, zone: ZoneInfo) -> Checklists:
    """All three as they are. ticks: what people said, by (item, name of the period)."""
    lists = []
    for kind in KINDS:
        items = [one for one in ITEMS if one.every == kind]
        now = period(items[0], now_ms, zone)
        told = [_told(one, known, ticks.get((one.key, now.name)), now_ms) for one in items]
        done = sum(one.state == "done" for one in told)
        lists.append(ChecklistTold(kind=kind, title=now.title, name=now.name, items=told, done=done))
    state, sentence, why = _verdict(lists)
    return Checklists(
        state=state, sentence=sentence, why=why, as_of=known.read_ms, now=now_ms, zone=zone.key, lists=lists
    )


def _told(item: Item, known: Known, tick: Tick | None, now_ms: int) -> ItemTold:
    found = None if item.check is None else item.check(known)
    state: State = "open"
    by, at = None, None
    if found is not None and found.well:
        state, by, at = "done", "tillwatch", found.at_ms
    elif tick is not None:
        state, by, at = "done", tick.by, tick.at_ms
    elif found is not None and found.well is False:
        state = "attention"
    age = None if found is None or found.at_ms is None else max(now_ms - found.at_ms, 0) / 1000
    return ItemTold(
        key=item.key,
        title=item.title,
        why=item.why,
        state=state,
        by=by,
        at=at,
        note="" if tick is None else tick.note,
        evidence="" if found is None else found.evidence,
        evidence_age_s=age,
        automatic=item.check is not None,
    )


def _verdict(lists: Sequence[ChecklistTold]) -> tuple[Mark, Words, Words]:
    wrong = [one for many in lists for one in many.items if one.state == "attention"]
    left = {many.kind: len(many.items) - many.done for many in lists}
    words = {"daily": "today", "weekly": "this week", "monthly": "this month"}
    why: Words = [", ".join(f"{count} left {words[kind]}" for kind, count in left.items()) + "."]
    if wrong:
        sentence = f"{len(wrong)} {'thing wants' if len(wrong) == 1 else 'things want'} attention."
        return "degraded", [sentence], [" ".join(one.evidence for one in wrong[:2]), " ", *why]
    if left["daily"]:
        return "ok", [f"Nothing wants attention. {counted(left['daily'], 'thing')} left to do today."], why
    return "ok", ["Everything of today is done."], why
