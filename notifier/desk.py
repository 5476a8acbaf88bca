"""The desk: alerts, commands, results and time in; incidents and pages out. Pure: it reads no clock and sends nothing.

Everything that waits is a time in an incident or a silence, so it moves in the change that fires it: a step cannot be lost, nor
taken twice. What comes twice changes nothing: alerts are known by their place in the topic and their id, commands by their id,
results by the key of their page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol

import msgspec

from notifier import silences as silencing
from notifier.actions import calls
from notifier.actions.calls import Ran
from notifier.actions.occasions import Occasion, Turn
from notifier.actions.occasions import severities as told_severities
from notifier.actions.registered import Registered, Unfillable, about
from notifier.draft import SHORT, Draft, worse, worst
from notifier.grouping import STORM_OF_ALL, Grouping, entities
from notifier.policy import (
    CHANGES_BEFORE_MS,
    CHANGES_MOST,
    CLOSED_KEPT_MS,
    CLOSED_MOST,
    COOL_DOWN_LONGEST_S,
    MITIGATED_QUIET,
    OCCASIONS_AT_ONCE,
    OUTBOX,
    POLICY,
    QUIET_CHANNELS,
    SAMPLES_KEPT,
    SILENCE_KEPT_MS,
    SILENCES_MOST,
    SLICES_KEPT,
    SOURCES_KEPT,
    TEXT_KEPT,
    UPDATE_EVERY_MS,
    UPDATES_MOST,
    BusinessEnd,
    due,
)
from runtime.suggest import nearest, quoted
from schemas.alert import AlertEvent
from schemas.incident import (
    ANSWERED,
    SERVICES_MOST,
    SYSTEM,
    TEXT_MOST,
    TITLE_MOST,
    Action,
    Answer,
    Change,
    Command,
    Happened,
    Impact,
    Incident,
    Judgement,
    LevelName,
    Member,
    Moved,
    Onset,
    Page,
    Policy,
    SeverityPolicy,
    Silence,
    incident_id,
    matcher_text,
)
from schemas.severity import SEVERITIES

_ENDS = frozenset({"resolved", "retracted"})
_IDS = 4
_GREW = 0.5
"""Share by which what an incident costs must grow to be told again."""
_WORDS = {"ack": "acknowledged", "investigate": "is investigating", "mitigate": "has mitigated it"}
_STATUS = {"ack": "acknowledged", "investigate": "investigating", "mitigate": "mitigated"}


class Person(Protocol):
    """Somebody who can be paged; see `notifier.people.directory`. contacts: channel → address."""

    @property
    def key(self) -> str: ...

    @property
    def contacts(self) -> Mapping[str, str]: ...


class Team(Protocol):
    @property
    def key(self) -> str: ...


class Roster(Protocol):
    """Who is asked; `notifier.people.directory.Directory` is one."""

    def team_for(self, rule: str, pack: str, owner: str | None, components: Iterable[str]) -> Team: ...

    def on_call(self, team: str, level: str, at: datetime) -> Sequence[Person]:
        """Raises KeyError for no such team."""
        ...


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is asked and when they are at work. business_end: epoch ms → when the next business day ends. rooms: channels that
    have an address of their own, which hears of an incident whoever is on call. actions: what is called automatically, by
    name."""

    roster: Roster
    business_end: BusinessEnd
    rooms: frozenset[str] = frozenset()
    actions: Mapping[str, Registered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """An alert and its place in the alerts topic; places grow, also from one log of the topic to the next."""

    offset: int
    alert: AlertEvent


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a page. thread: what the channel wants to be told with the next message about the same incident."""

    incident: str
    key: str
    sent: bool
    detail: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """An incident after a change, what the change is called, what it added to the timeline, the messages to send, and the
    actions to call."""

    incident: Incident
    change: Change
    entries: tuple[Happened, ...]
    pages: tuple[Page, ...] = ()
    calls: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What a call changed. To be saved as one, then told in this order, then acted upon."""

    incidents: tuple[Changed, ...] = ()
    silences: tuple[tuple[Silence, str], ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.incidents or self.silences or self.answers)

    @property
    def pages(self) -> tuple[Page, ...]:
        return tuple(page for one in self.incidents for page in one.pages)


class Refused(Exception):
    """A command that cannot be done; the text says why, and what can."""


class Desk:
    """All incidents and silences of one installation.

    duty: may be replaced between two calls. policy: of incidents that open from now on. last: the last number that one of
    them was given.
    """

    def __init__(
        self,
        namespace: str,
        duty: Duty,
        incidents: Iterable[Incident] = (),
        silences: Iterable[Silence] = (),
        policy: Policy = POLICY,
        last: int = 0,
    ) -> None:
        self._namespace, self.duty, self._policy = namespace, duty, policy
        self.incidents = {one.id: one for one in incidents}
        self.silences = {one.id: one for one in silences}
        self.last = max((last, *(one.number for one in self.incidents.values())))
        self._grouping = Grouping()
        for one in self.incidents.values():
            self._grouping.put(one)
        self._drafts: dict[str, Draft] = {}
        self._moved_silences: dict[str, str] = {}
        self._answers: dict[str, Answer] = {}

    # --- what comes in ----------------------------------------------------------------------------------------------------

    def take(self, alerts: Sequence[Told], now_ms: int, moved: Sequence[Moved] = ()) -> Changes:
        """Alerts, in the order of the topic. moved: what was released or configured of late."""
        for one in alerts:
            self._take(one, now_ms, moved)
        for draft in list(self._drafts.values()):
            self._react(draft)
        return self._done(now_ms)

    def act(self, commands: Sequence[Command], now_ms: int) -> Changes:
        """Commands of people and programs. Each is answered; a repeat is answered and changes nothing."""
        for command in commands:
            try:
                self._answers[command.id] = self._act(command, now_ms)
            except (Refused, silencing.BadSilence) as error:
                self._answers[command.id] = Answer(False, str(error))
        return self._done(now_ms)

    def record(self, results: Sequence[Result], now_ms: int) -> Changes:
        """What came of pages."""
        for result in results:
            self._record(result, now_ms)
        return self._done(now_ms)

    def begin(self, now_ms: int, room: int) -> Changes:
        """Takes up the actions that are approved, so many at most: they run from now on."""
        for incident in list(self.incidents.values()):
            if room > 0 and any(one.state == "approved" for one in incident.actions):
                draft = self._draft(incident, now_ms)
                calls.begin(draft, room)
                room -= len(draft.calls)
        return self._done(now_ms)

    def resume(self, now_ms: int, under_way: Collection[str] = ()) -> Changes:
        """Takes over the actions that a leader left which is gone. under_way: keys of those that go on in this very process."""
        for incident in list(self.incidents.values()):
            if any(one.state == "running" for one in incident.actions):
                draft = self._draft(incident, now_ms)
                calls.resume(draft, under_way)
                if any(one.state == "unknown" and one.at_ms == now_ms for one in draft.it.actions):
                    self._tell_now(draft)
        return self._done(now_ms)

    def ended(self, results: Sequence[Ran], now_ms: int) -> Changes:
        """What came of actions."""
        for ran in results:
            incident = self.incidents.get(ran.incident)
            if incident is not None:
                draft = self._draft(incident, now_ms)
                if calls.end(draft, ran) and ran.state != "done":
                    self._tell_now(draft)
        return self._done(now_ms)

    def assess(self, impacts: Mapping[str, Impact], now_ms: int) -> Changes:
        """What incidents, by their ids, cost customers so far."""
        for mark, impact in impacts.items():
            incident = self.incidents.get(mark)
            if incident is not None and incident.open:
                self._assess(self._draft(incident, now_ms), impact)
        return self._done(now_ms)

    def tick(self, now_ms: int) -> Changes:
        """Does what is due: silences that begin and end, levels that did not answer, answers that went quiet, updates,
        approvals that nobody gave."""
        self._turn_silences(now_ms)
        for incident in list(self.incidents.values()):
            if incident.next_at is not None and incident.next_at <= now_ms:
                self._step(self._draft(incident, now_ms))
        return self._done(now_ms)

    def unsent(self) -> list[tuple[Incident, Page]]:
        """Every message of which nobody has said what came of it, the oldest first."""
        found = [(one, page) for one in self.incidents.values() for page in one.pages if page.state == "queued"]
        return sorted(found, key=lambda pair: (pair[1].at_ms, pair[1].key))

    def forgettable(self, now_ms: int) -> tuple[list[str], list[str]]:
        """Incidents and silences that need not be kept any longer, by their ids."""
        cool = now_ms - COOL_DOWN_LONGEST_S * 1000
        closed = sorted(
            (
                one
                for one in self.incidents.values()
                if not one.open and one.next_at is None and all(calls.is_over(call, cool) for call in one.actions)
            ),
            key=lambda one: one.changed_ms,
        )
        spare = len(closed) - CLOSED_MOST
        old = [one.id for n, one in enumerate(closed) if n < spare or now_ms - one.changed_ms > CLOSED_KEPT_MS]
        over = [
            one.id for one in self.silences.values() if one.phase == "over" and now_ms - one.end_ms > SILENCE_KEPT_MS
        ]
        return old, over

    def forget(self, incidents: Iterable[str], silences: Iterable[str]) -> None:
        for mark in incidents:
            self._grouping.drop(self.incidents.pop(mark))
        for mark in silences:
            del self.silences[mark]

    # --- one call ---------------------------------------------------------------------------------------------------------

    def _draft(self, incident: Incident, now_ms: int) -> Draft:
        found = self._drafts.get(incident.id)
        if found is None:
            found = self._drafts[incident.id] = Draft(incident, now_ms)
        return found

    def _done(self, now_ms: int) -> Changes:
        if self.duty.actions:
            for draft in list(self._drafts.values()):
                if draft.changed:
                    self._call_for(draft)
        changed = []
        for draft in self._drafts.values():
            if draft.changed:
                entries, change, pages = draft.entries, draft.change, tuple(draft.pages)
                incident = self.incidents[draft.it.id] = draft.finish()
                self._grouping.put(incident)
                changed.append(Changed(incident, change, tuple(entries), pages, tuple(draft.calls)))
        silences = tuple((self.silences[mark], change) for mark, change in self._moved_silences.items())
        changes = Changes(tuple(changed), silences, self._answers)
        self._drafts, self._moved_silences, self._answers = {}, {}, {}
        return changes

    # --- alerts -----------------------------------------------------------------------------------------------------------

    def _take(self, told: Told, now_ms: int, moved: Sequence[Moved]) -> None:
        alert, data = told.alert, told.alert.data
        holders = [self._draft(one, now_ms) for one in self._grouping.holding(data.fingerprint)]
        holders = [one for one in holders if data.fingerprint in one.members]
        known = [one.members[data.fingerprint] for one in holders]
        if any(told.offset <= one.offset or alert.id == one.last or alert.id in one.ids for one in known):
            return
        begins = alert.transition not in _ENDS and not any(one.active for one in known)
        draft: Draft | None
        if holders and not begins:
            draft = max(holders, key=lambda one: (one.members[data.fingerprint].active, one.it.number))
        elif alert.transition in _ENDS:
            self._end_other(data.fingerprint[:SHORT], now_ms)
            return
        else:
            home = self._grouping.counting(data.fingerprint[:SHORT]) or self._grouping.home(alert, now_ms)
            draft = self._gather(told, now_ms) if home is None else self._draft(home, now_ms)
        before = None if draft is None else draft.members.get(data.fingerprint)
        member = self._member(told, before, now_ms, begins=begins)
        if draft is None:
            draft = self._open(told, member, now_ms, moved)
        elif alert.transition == "firing" and member.loud:
            self._keep_worse(draft, alert)
        draft.alert(member, _alert_text(alert, member))
        self._grouping.put(draft.it, (member,))
        if data.fingerprint[:SHORT] in draft.others:
            self._grouping.put_other(draft.it, data.fingerprint[:SHORT])

    def _keep_worse(self, draft: Draft, alert: AlertEvent) -> None:
        """Keeps an alert that is worse than all before as it is now."""
        worst_yet = draft.it.gravest or draft.it.onset
        if worst_yet is not None and worse(alert.data.severity, worst_yet.severity):
            draft.set(gravest=_onset(alert))

    def _end_other(self, short: str, now_ms: int) -> None:
        counting = self._grouping.counting(short)
        if counting is not None:
            self._draft(counting, now_ms).forget_other(short)

    def _member(self, told: Told, before: Member | None, now_ms: int, *, begins: bool) -> Member:
        alert, data = told.alert, told.alert.data
        ids = () if before is None else before.ids
        member = Member(
            fingerprint=data.fingerprint,
            rule=data.rule,
            pack=data.pack,
            severity=data.severity,
            active=alert.transition not in _ENDS,
            summary=data.summary[:TEXT_KEPT],
            at_ms=now_ms,
            offset=told.offset,
            last=alert.id,
            group=dict(data.group),
            entities=entities(alert) or (() if before is None else before.entities),
            ids=(*ids, alert.id)[-_IDS:] if begins or alert.transition == "firing" else ids,
            channels=data.channels,
            arithmetic=data.arithmetic[:TEXT_KEPT],
            slice=_slice_text(alert),
            inhibited_by=data.inhibited_by,
            historical=data.historical,
            told=None if begins or before is None else before.told,
        )
        return msgspec.structs.replace(member, silenced_by=silencing.silencing(self.silences.values(), member))

    def _gather(self, told: Told, now_ms: int) -> Draft | None:
        """The incident that gathers a storm, where there is one."""
        data = told.alert.data
        storm = self._grouping.storm(f"{data.pack}/{data.rule}", now_ms)
        raging = None if storm is None else self._grouping.raging(storm, now_ms)
        return None if raging is None else self._draft(raging, now_ms)

    def _open(self, told: Told, member: Member, now_ms: int, moved: Sequence[Moved]) -> Draft:
        data = told.alert.data
        components = [one.removeprefix("component=") for one in member.entities if one.startswith("component=")]
        storm = self._grouping.storm(member.full_rule, now_ms)
        title = data.summary[:TEXT_KEPT]
        if storm is not None:
            what = "Many alerts" if storm == STORM_OF_ALL else f"Many alerts of {data.rule}"
            title = f"{what} at once, such as: {title}"
        since = min(data.first_bad_at or data.window.start, now_ms)
        before = [one for one in moved if since - CHANGES_BEFORE_MS <= one.at_ms <= now_ms]
        self.last += 1
        incident = Incident(
            id=incident_id(self._namespace, told.alert.id),
            number=self.last,
            version=0,
            title=title,
            severity=data.severity,
            status="triggered",
            opened_ms=now_ms,
            since_ms=since,
            team=self.duty.roster.team_for(data.rule, data.pack, data.owner, components).key,
            policy=self._policy,
            changed_ms=now_ms,
            alerted_ms=now_ms,
            owner=data.owner,
            storm=storm,
            runbook=data.runbook,
            changes=tuple(sorted(before, key=lambda one: one.at_ms)[-CHANGES_MOST:]),
            onset=_onset(told.alert),
        )
        draft = self._drafts[incident.id] = Draft(incident, now_ms, new=True)
        draft.say("opened", title, ref=told.alert.id)
        return draft

    # --- what follows from alerts -----------------------------------------------------------------------------------------

    def _react(self, draft: Draft) -> None:
        """Brings an incident in line with its alerts."""
        status = draft.it.status
        if not draft.changed or status == "reviewed":
            return
        if draft.over and not draft.it.held:
            if draft.it.open:
                self._resolve(draft, "all of its alerts are over", SYSTEM)
            else:
                draft.set(step_at=None)
        elif not draft.it.open:
            if draft.news:
                self._reopen(draft, "it fires again", SYSTEM)
            elif draft.loud and draft.it.step_at is None:
                self._arm(draft)
        elif not draft.loud:
            if draft.it.level < 0:
                self._weigh(draft)
            if draft.it.next_at is not None:
                draft.set(step_at=None, update_at=None)
                draft.say("silenced", "nobody is asked for now: what goes on is silenced, explained or of the past")
        else:
            raised = self._weigh(draft)
            if draft.it.level < 0:
                self._ask(draft, 0)
            elif raised or (status == "mitigated" and draft.news):
                if status in ANSWERED:
                    draft.set(status="triggered")
                    draft.say("triggered", "it got worse" if raised else "it fires again though it was mitigated")
                self._ask(draft, draft.it.level)
            else:
                if draft.it.step_at is None:
                    self._arm(draft)
                if draft.news:
                    self._inform(draft)
            self._spread(draft)

    def _weigh(self, draft: Draft) -> bool:
        """Makes the severity that of the worst alert; whether it got worse than what people were told."""
        it, asked = draft.it, draft.it.level >= 0
        now = worst(one.severity for one in draft.loud_members or draft.members.values() if one.active)
        if now is None or (it.by_hand is not None and not worse(now, it.by_hand_over)):
            return False
        if worse(now, it.severity) or not asked:
            draft.set(severity=now, by_hand=None, by_hand_over=None)
            if now != it.severity:
                draft.say("severity", f"{SEVERITIES[now].level} ({now}), the worst of its alerts")
            return worse(now, it.severity)
        return False

    def _spread(self, draft: Draft) -> None:
        """More than one component: one level is not enough."""
        names = [name for one in draft.loud_members for name in one.entities]
        for kind in ("component", "provider"):
            found = sorted({name.partition("=")[2] for name in names if name.startswith(f"{kind}=")})
            if len(found) > 1:
                shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
                self._trigger(draft, "spread", f"more than one {kind} is affected: {shown}")

    def _trigger(self, draft: Draft, name: str, why: str) -> None:
        """Asks the next level as well, once for each reason."""
        if name not in draft.it.triggers and draft.it.level >= 0:
            draft.set(triggers=(*draft.it.triggers, name))
            self._escalate(draft, why)

    def _assess(self, draft: Draft, impact: Impact) -> None:
        before, policy = draft.it.impact, draft.it.policy
        failed = f"{impact.failed_payments} failed payment{'s' if impact.failed_payments > 1 else ''}"
        sums = ", ".join(f"{minor / 100:,.2f} {currency}" for currency, minor in sorted(impact.at_risk.items()))
        cost = failed + (f", {sums} at risk" if sums else "")
        if impact.failed_payments > (0 if before is None else before.failed_payments * (1 + _GREW)):
            draft.set(impact=impact)
            draft.say("impact", f"so far {cost}")
        much = max(impact.at_risk.values(), default=0) >= policy.impact_minor
        if draft.loud and (much or impact.failed_payments >= policy.impact_payments):
            self._trigger(draft, "impact", f"customers feel it: {cost}")

    # --- asking people ----------------------------------------------------------------------------------------------------

    def _ask(self, draft: Draft, level: int, *, everybody: bool = False, keep: bool = False) -> None:
        """Pages this level, or the next that somebody is on. everybody: the levels before it, too. keep: the time to answer
        goes on as it is."""
        steps, channels = self._severity(draft).steps, self._channels(draft)
        draft.set(step=draft.it.step + 1)
        level, paged = min(level, len(steps) - 1), 0
        while True:
            for step in steps[: level + 1] if everybody else (steps[level],):
                sent = {(one.person, one.channel) for one in draft.pages if one.step == draft.it.step}
                to = [one for one in self._addressed(draft, step.level, channels) if one not in sent]
                paged += draft.page("page", step.level, to)
            if paged or level == len(steps) - 1:
                break
            draft.say("escalated", f"nobody is to be reached as {_name(steps[level].level)}: the next level is asked at once")
            level += 1
        if not paged:
            draft.say("escalated", "nobody is to be reached at any level: see who is on call, and their contacts")
        draft.page("page", steps[level].level, [(None, channel) for channel in channels if channel in self.duty.rooms])
        draft.told()
        draft.set(level=max(level, draft.it.level) if keep else level)
        if not keep:
            draft.set(step_at=due(steps[level].within_s, draft.now_ms, self.duty.business_end))

    def _addressed(self, draft: Draft, level: LevelName, channels: Sequence[str]) -> dict[tuple[str, str], None]:
        """(person, channel) of everybody on this level. To whom the outbox is an address, every channel is."""
        at, roster = datetime.fromtimestamp(draft.now_ms / 1000, UTC), self.duty.roster
        try:
            people = roster.on_call(draft.it.team, level, at)
        except KeyError:
            gone, team = draft.it.team, roster.team_for("", "", None, ()).key
            draft.set(team=team)
            draft.say("assigned", f"there is no team {gone} any more: it is {team}'s")
            people = roster.on_call(team, level, at)
        reached = ((one.key, channel) for one in people for channel in channels if {channel, OUTBOX} & one.contacts.keys())
        return dict.fromkeys(reached)

    def _escalate(self, draft: Draft, why: str, author: str = SYSTEM, ref: str | None = None) -> None:
        """Asks the next level, or everybody once more where there is none. Who is at work on it stays so."""
        steps = self._severity(draft).steps
        level = draft.it.level + 1
        last = level >= len(steps)
        to = "everybody is asked again" if last else f"{_name(steps[level].level)} is asked"
        draft.say("escalated", f"{why}: {to}", author, ref)
        self._ask(draft, level, everybody=last, keep=draft.it.status in ANSWERED)

    def _inform(self, draft: Draft) -> None:
        """Tells those who know of it what is new, at most so often."""
        said = draft.it.said_ms
        at = draft.now_ms if said is None else said + UPDATE_EVERY_MS
        if at > draft.now_ms:
            draft.set(update_at=at)
            return
        self._send(draft, "update", QUIET_CHANNELS)
        draft.told()

    def _send(self, draft: Draft, kind: Any, through: Collection[str]) -> None:
        draft.set(step=draft.it.step + 1)
        draft.page(kind, draft.it.rung or "primary", [one for one in draft.it.reached if one[1] in through])

    def _severity(self, draft: Draft) -> SeverityPolicy:
        return draft.it.policy.severities[draft.it.severity]

    def _channels(self, draft: Draft) -> list[str]:
        """Those that the worst of its alerts name themselves, else those of the severity."""
        it, policy = draft.it, self._severity(draft).channels
        named = [one.channels or policy for one in draft.loud_members if one.severity == it.severity]
        return list(dict.fromkeys(channel for channels in named for channel in channels)) or list(policy)

    # --- time -------------------------------------------------------------------------------------------------------------

    def _arm(self, draft: Draft) -> None:
        """Sets when the next step of an incident is due as it is now."""
        policy, it = self._severity(draft), draft.it
        if it.status == "triggered":
            within = policy.steps[min(max(it.level, 0), len(policy.steps) - 1)].within_s
        else:
            within = policy.quiet_s
            if it.status == "mitigated" and within is not None:
                within *= MITIGATED_QUIET
        draft.set(step_at=due(within, draft.now_ms, self.duty.business_end))

    def _step(self, draft: Draft) -> None:
        it, now = draft.it, draft.now_ms
        if it.step_at is not None and it.step_at <= now:
            if it.status == "resolved":
                draft.set(step_at=None)
                if draft.loud:
                    self._reopen(draft, "its alerts still fire", SYSTEM)
            elif it.status == "triggered":
                self._escalate(draft, f"{_name(it.rung)} did not answer in time")
            else:
                draft.set(status="triggered")
                draft.say("triggered", f"nothing was heard since {it.acknowledged_by or 'somebody'} answered")
                self._ask(draft, it.level)
        if draft.it.update_at is not None and draft.it.update_at <= now:
            draft.set(update_at=None)
            if draft.news:
                self._inform(draft)
        if draft.it.act_at is not None and draft.it.act_at <= now and calls.expire(draft):
            self._tell_now(draft)

    # --- its end ----------------------------------------------------------------------------------------------------------

    def _resolve(self, draft: Draft, why: str, author: str, ref: str | None = None) -> None:
        draft.say("resolved", why, author, ref)
        draft.set(status="resolved", resolved_ms=draft.now_ms, step_at=None, update_at=None, held=False)
        if draft.loud:  # a person says so while alerts go on: it is looked at again
            self._arm(draft)
        self._send(draft, "resolved", QUIET_CHANNELS | {"sms"})
        if author != SYSTEM:
            draft.told()

    def _reopen(self, draft: Draft, why: str, author: str, ref: str | None = None, *, held: bool = False) -> None:
        draft.say("reopened", why, author, ref)
        draft.set(
            status="triggered", level=-1, resolved_ms=None, reviewed_ms=None, acknowledged_by=None, triggers=(), held=held
        )
        self._weigh(draft)
        self._ask(draft, 0)

    # --- actions ----------------------------------------------------------------------------------------------------------

    def _call_for(self, draft: Draft) -> None:
        """Plans the actions that a change calls for."""
        if not draft.it.open and (draft.before is None or draft.before.open):
            calls.withdraw(draft, f"the incident is {draft.it.status}")
        turn = Turn(draft.before, draft.now, lambda component: told_severities(self._others(draft), component))
        tell = False
        for one in self.duty.actions.values():
            for occasion in islice(turn.calls(one.on), OCCASIONS_AT_ONCE):
                call = calls.plan(draft, one, occasion, self._others(draft))
                tell = tell or (call is not None and call.state in ("waiting", "failed"))
        if tell and not any(page.kind == "page" for page in draft.pages):
            self._tell_now(draft)

    def _others(self, draft: Draft) -> list[Incident]:
        """All incidents but this, as they are meanwhile."""
        now = {mark: one.now for mark, one in self._drafts.items()}
        return [one for mark, one in (self.incidents | now).items() if mark != draft.it.id]

    def _tell_now(self, draft: Draft) -> None:
        """Tells those who know of it what came of an action, or that one waits for them."""
        self._send(draft, "update", QUIET_CHANNELS | {"sms"})

    def _decide(self, draft: Draft, command: Command, text: str) -> str:
        """What a person says of an action."""
        it, author = draft.it, command.author
        if command.kind in ("run", "try"):
            return self._by_hand(draft, command, text)
        name, _, why = text.partition(" ")
        call = calls.waiting(it, name)
        if call is None:
            raise Refused(f"#{it.number} has no action {quoted(name)} that waits: 'tillwatch actions list' shows what does")
        if call.state != "waiting":
            raise Refused(f"{call.name} of #{it.number} does not wait for approval: it is {call.state.replace('_', ' ')}")
        if call.until_ms is not None and call.until_ms <= draft.now_ms:
            raise Refused(f"{call.name} of #{it.number} was to be approved earlier: its time is over")
        if command.kind == "refuse":
            calls.refuse(draft, call, author, why.strip(), command.id)
            return f"will not have {call.name}"
        one = self.duty.actions.get(call.name)
        if one is None or one.fingerprint != call.registered:
            raise Refused(f"{call.name} is not registered any more as it was when it was planned: it is not called")
        it = msgspec.structs.replace(it, actions=tuple(each for each in it.actions if each is not call))
        busy = calls.why_busy((it, *self._others(draft)), it.id, one, call.aim, draft.now_ms)
        if busy is not None:
            raise Refused(f"{call.name} cannot be called now: {busy}")
        calls.approve(draft, call, author, command.id)
        return f"has your approval of {call.name}"

    def _by_hand(self, draft: Draft, command: Command, name: str) -> str:
        one, trial = self.duty.actions.get(name), command.kind == "try"
        if one is None:
            near = nearest(name, self.duty.actions)
            hint = f" (did you mean {near}?)" if near else ""
            raise Refused(f"no action {quoted(name)} is registered{hint}")
        asked, others = Occasion(calls.ASKED, _worst_about(draft.now)), self._others(draft)
        try:
            aim = one.aim(draft.it.id, about(draft.it, asked.about))
        except Unfillable as error:
            raise Refused(f"{name} cannot be called: {error}") from None
        busy = None if trial else calls.why_busy((draft.it, *others), draft.it.id, one, aim, draft.now_ms)
        if busy is not None:
            raise Refused(f"{name} cannot be called now: {busy}")
        call = calls.plan(draft, one, asked, others, by=command.author, trial=trial, ref=command.id)
        return f"gets {'a dry run of ' if call is not None and call.trial else ''}{name}"

    # --- silences ---------------------------------------------------------------------------------------------------------

    def _turn_silences(self, now_ms: int) -> None:
        """Begins and ends what is due, and brings every incident in line with it."""
        moved = []
        for silence in list(self.silences.values()):
            phase = "over" if now_ms >= silence.end_ms else "active" if now_ms >= silence.start_ms else "waiting"
            if silence.phase not in (phase, "over"):
                self._put_silence(msgspec.structs.replace(silence, phase=phase, version=silence.version + 1), phase)
                moved.append(silence.id)
        if moved:
            for incident in list(self.incidents.values()):
                if incident.status != "reviewed":
                    self._silence_members(self._draft(incident, now_ms))

    def _put_silence(self, silence: Silence, change: str) -> None:
        self.silences[silence.id] = silence
        self._moved_silences[silence.id] = "began" if change == "active" else change

    def _silence_members(self, draft: Draft) -> None:
        for mark, one in draft.members.items():
            by = silencing.silencing(self.silences.values(), one) if one.active else one.silenced_by
            if by != one.silenced_by:
                draft.members[mark] = msgspec.structs.replace(one, silenced_by=by)
                if by is not None:
                    silence = self.silences[by]
                    draft.say("silenced", f"{one.rule} is silenced by {silence.author}: {silence.reason}", ref=by)
                else:
                    draft.say("silenced", f"{one.rule} is no longer silenced")
        self._react(draft)

    # --- commands ---------------------------------------------------------------------------------------------------------

    def _act(self, command: Command, now_ms: int) -> Answer:
        if len(command.text) > TEXT_MOST:
            raise Refused(f"the text is longer than {TEXT_MOST} characters")
        if command.kind == "silence":
            return self._add_silence(command, now_ms)
        if command.kind == "unsilence":
            return self._end_silence(command, now_ms)
        incident = self.find(command.incident or "")
        draft = self._draft(incident, now_ms)
        known = (*incident.timeline, *draft.entries)
        if any(one.ref == command.id for one in known):
            return Answer(True, f"#{incident.number} has it already", incident.id)
        return Answer(True, f"#{incident.number} {self._do(draft, command)}", incident.id)

    def find(self, wanted: str) -> Incident:
        """The incident with this number, id, or beginning of its id. Raises Refused."""
        return found_among(self.incidents.values(), wanted)

    def _do(self, draft: Draft, command: Command) -> str:
        """Does it, and tells what was done."""
        it, kind, author, text = draft.it, command.kind, command.author, command.text.strip()
        says = f": {text}" if text else ""
        if kind == "reopen":
            if it.open:
                raise Refused(f"#{it.number} is open: it is {it.status}")
            self._reopen(draft, f"{author} opens it again{says}", author, command.id, held=True)
            return "is open again"
        if kind == "review":
            if it.status != "resolved":
                raise Refused(f"#{it.number} is {it.status}: only what is resolved can be reviewed")
            draft.say("reviewed", f"{author} has reviewed it{says}", author, command.id)
            draft.set(status="reviewed", reviewed_ms=draft.now_ms, step_at=None)
            return "is reviewed"
        if kind == "note":
            if not text:
                raise Refused("a note needs a text")
            draft.say("noted", text, author, command.id)
            self._heard(draft)
            return "has your note"
        if kind in ("approve", "refuse", "run", "try"):
            return self._decide(draft, command, text)
        if kind == "publish":
            return self._publish(draft, command)
        if kind == "judge":
            return self._judge(draft, command, text)
        if not it.open:
            raise Refused(f"#{it.number} is {it.status}: reopen it first")
        if kind == "resolve":
            self._resolve(draft, f"{author} has resolved it{says}", author, command.id)
            return "is resolved"
        if kind == "assign":
            if not text:
                raise Refused("to whom? Name a person")
            draft.say("assigned", f"{author} assigns it to {text}", author, command.id)
            draft.set(assignee=text)
            self._heard(draft)
            return f"is {text}'s"
        if kind == "severity":
            return self._grade(draft, command, text)
        if kind == "escalate":
            draft.set(status="triggered")
            self._escalate(draft, f"{author} cannot solve it{says}", author, command.id)
            return f"is escalated: {_name(draft.it.rung)} is asked"
        status: Any = _STATUS[kind]
        draft.say(status, f"{author} {_WORDS[kind]}{says}", author, command.id)
        draft.set(status=status, acknowledged_by=author, assignee=it.assignee or author)
        if it.acknowledged_ms is None:
            draft.set(acknowledged_ms=draft.now_ms)
        if kind == "mitigate":
            draft.set(mitigated_ms=draft.now_ms)
        self._heard(draft)
        return f"is {status}"

    def _heard(self, draft: Draft) -> None:
        """Somebody at work on it said something: the time until it counts as quiet begins anew."""
        if draft.it.status in ANSWERED and draft.loud:
            self._arm(draft)

    def _publish(self, draft: Draft, command: Command) -> str:
        """What customers are told from now on."""
        update = command.update
        if update is None or not update.text.strip():
            raise Refused("what are customers to be told? An update needs a text")
        if len(update.text) > TEXT_MOST or len(update.title) > TITLE_MOST or len(update.services) > SERVICES_MOST:
            raise Refused(f"an update has at most {TEXT_MOST} characters, {TITLE_MOST} of title, and {SERVICES_MOST} services")
        told = msgspec.structs.replace(
            update, text=update.text.strip(), title=update.title.strip(), at_ms=draft.now_ms, author=command.author
        )
        draft.set(updates=(*draft.it.updates, told)[-UPDATES_MOST:])
        draft.say("published", told.title or told.text, command.author, command.id)
        self._heard(draft)
        return "is on the status page"

    def _judge(self, draft: Draft, command: Command, text: str) -> str:
        """What a person says of its alerts: whether they were worth being told."""
        judgement: Judgement | None = "right" if text == "right" else "wrong" if text == "wrong" else None
        if judgement is None:
            raise Refused("were its alerts right or wrong? Say one of the two")
        known = dict.fromkeys(one.full_rule for one in draft.it.members)
        strange = next((one for one in command.rules if one not in known), None)
        if strange is not None:
            raise Refused(f"#{draft.it.number} has no alert of {strange!r}: there are {', '.join(known)}")
        draft.set(judgements=draft.it.judgements | dict.fromkeys(command.rules or known, judgement))
        what = ", ".join(command.rules) or "its alerts"
        draft.say("judged", f"{command.author} finds {what} {judgement}", command.author, command.id)
        return f"is judged: {judgement}"

    def _grade(self, draft: Draft, command: Command, text: str) -> str:
        named = next((one for one in SEVERITIES.values() if text.lower() in (one.name, one.level.lower())), None)
        if named is None:
            raise Refused(f"no severity {text!r}: there are {', '.join(SEVERITIES)}")
        before = draft.it.severity
        over = worst(one.severity for one in draft.members.values() if one.active) or before
        draft.set(severity=named.name, by_hand=named.name, by_hand_over=over)
        draft.say("severity", f"{command.author} makes it {named.level} ({named.name})", command.author, command.id)
        if draft.it.status == "triggered" and draft.loud:
            if worse(named.name, before):
                self._ask(draft, max(draft.it.level, 0))
            else:
                self._arm(draft)
        else:
            self._heard(draft)
        return f"is {named.level} ({named.name})"

    def _add_silence(self, command: Command, now_ms: int) -> Answer:
        silence = command.silence
        if silence is None:
            raise Refused("what is to be silenced?")
        if silence.id in self.silences:
            return Answer(True, "it is there already", silence.id)
        fresh = msgspec.structs.replace(silence, version=1, phase="waiting", author=command.author)
        silencing.check(fresh, now_ms)
        if sum(one.phase != "over" for one in self.silences.values()) >= SILENCES_MOST:
            raise Refused(f"there are {SILENCES_MOST} silences: end some first")
        self._put_silence(fresh, "added")
        self._turn_silences(now_ms)
        self._moved_silences[fresh.id] = "added"
        return Answer(True, f"{' and '.join(map(matcher_text, silence.matchers))} will page nobody", silence.id)

    def _end_silence(self, command: Command, now_ms: int) -> Answer:
        found = [one for one in self.silences.values() if len(command.text) >= 6 and one.id.startswith(command.text)]
        if len(found) != 1:
            raise Refused(f"no silence {command.text!r}: 'tillwatch silence list' shows them")
        silence = found[0]
        if silence.phase == "over":
            return Answer(True, "it is over already", silence.id)
        self.silences[silence.id] = msgspec.structs.replace(silence, end_ms=now_ms)
        self._turn_silences(now_ms)
        return Answer(True, "it is over", silence.id)

    # --- results ----------------------------------------------------------------------------------------------------------

    def _record(self, result: Result, now_ms: int) -> None:
        incident = self.incidents.get(result.incident)
        if incident is None:
            return
        draft = self._draft(incident, now_ms)
        page = next((one for one in draft.it.pages if one.key == result.key), None)
        if page is None or page.state != "queued":
            return
        done = msgspec.structs.replace(page, state="sent" if result.sent else "failed")
        draft.set(pages=tuple(done if one is page else one for one in draft.it.pages))
        if result.thread is not None:
            draft.set(threads=draft.it.threads | {thread_of(page): result.thread})
        whom = f"{page.person} by {page.channel}" if page.person else page.channel
        kind: Change = "delivered" if result.sent else "undelivered"
        verb = "told" if result.sent else "could not tell"
        draft.say(kind, f"{verb} {whom}" + (f": {result.detail}" if result.detail else ""), ref=page.key)
        if not result.sent and page.kind == "page":
            self._unreached(draft, page)

    def _unreached(self, draft: Draft, page: Page) -> None:
        """Where no message of the level that was asked last got through, the next is asked at once."""
        it = draft.it
        asked = [one for one in it.pages if one.kind == "page" and one.person is not None]
        latest = max((one.step for one in asked), default=0)
        failed = page.step == latest and all(one.state == "failed" for one in asked if one.step == latest)
        last = it.level >= len(self._severity(draft).steps) - 1
        if failed and it.status == "triggered" and not last and it.step_at is not None:
            self._escalate(draft, f"{_name(it.rung)} could not be reached")


def _worst_about(incident: Incident) -> dict[str, str]:
    """The rule that an action which a person asks for is about."""
    worst_one = next((one for one in incident.members if one.loud), next(iter(incident.members), None))
    return {} if worst_one is None else {"rule": worst_one.rule, "pack": worst_one.pack}


def found_among(incidents: Iterable[Incident], wanted: str) -> Incident:
    """The incident with this number (`41`, `#41`), id, or beginning of its id. Raises Refused."""
    if wanted.lstrip("#").isdecimal() and len(wanted) < SHORT:
        found = [one for one in incidents if one.number == int(wanted.lstrip("#"))]
    else:
        found = [one for one in incidents if len(wanted) >= 6 and one.id.startswith(wanted)]
    if len(found) != 1:
        raise Refused(f"no incident {wanted!r}: 'tillwatch incidents list' shows them with their numbers")
    return found[0]


def thread_of(page: Page) -> str:
    """Under what the thread of a channel and its recipient is kept."""
    return f"{page.channel}/{page.person or ''}"


def _name(level: LevelName | None) -> str:
    return {"primary": "the primary", "secondary": "the secondary", "lead": "the team lead", "executive": "the executive"}.get(
        level or "primary", "the primary"
    )


def _onset(alert: AlertEvent) -> Onset:
    data = alert.data
    return Onset(
        alert=alert.id,
        rule=data.rule,
        pack=data.pack,
        rule_version=data.rule_version,
        severity=data.severity,
        unit=data.unit,
        start_ms=data.window.start,
        end_ms=data.window.end,
        detected_ms=data.detected_at,
        summary=data.summary[:TEXT_KEPT],
        arithmetic=data.arithmetic[:TEXT_KEPT],
        group=dict(data.group),
        value=data.value,
        threshold=data.threshold,
        first_bad_ms=data.first_bad_at,
        slices=tuple((dict(one.dimensions), one.share) for one in data.slice[:SLICES_KEPT]),
        samples=data.evidence.samples[:SAMPLES_KEPT],
        sources=tuple((one.topic, one.partition, one.from_, one.to) for one in data.evidence.offsets[:SOURCES_KEPT]),
    )


def _slice_text(alert: AlertEvent) -> str:
    """`80 % of it: provider ozow, method card`."""
    first = next(iter(alert.data.slice), None)
    if first is None or not first.dimensions:
        return ""
    names = ", ".join(f"{name} {value}" for name, value in first.dimensions.items())
    return f"{first.share:.0%} of it: {names}"[:TEXT_KEPT]


def _alert_text(alert: AlertEvent, member: Member) -> str:
    why = [
        "of the past" if member.historical else "",
        "explained by another alert" if member.inhibited_by else "",
        "silenced" if member.silenced_by else "",
    ]
    quiet = " and ".join(filter(None, why))
    return f"{alert.data.rule} {alert.transition}: {member.summary}" + (f" ({quiet}; pages nobody)" if quiet else "")
