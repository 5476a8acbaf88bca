"""Incidents: what the notifier keeps of each, what people tell it, and what the incidents topic carries.

Three shapes. `Incident` is the whole of what is kept, in Redis and in a header of every lifecycle event, so that a new leader
can go on from the topic alone. `Command` is what a person (or a program) tells the notifier. `IncidentEvent` is the CloudEvent
that others read. Times are epoch milliseconds, RFC 3339 in the CloudEvent.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, get_args

import msgspec
from pydantic import Field

from schemas.alert import Instant, Number, Part, Value
from schemas.severity import SEVERITIES, Level, SeverityName

Status = Literal["triggered", "acknowledged", "investigating", "mitigated", "resolved", "reviewed"]
STATUSES: tuple[Status, ...] = get_args(Status)
OPEN: frozenset[Status] = frozenset(STATUSES[:4])
ANSWERED: frozenset[Status] = frozenset(STATUSES[1:4])
"""Somebody is at work on it."""
LevelName = Literal["primary", "secondary", "lead", "executive"]
LEVELS: tuple[LevelName, ...] = get_args(LevelName)

PageKind = Literal["page", "update", "resolved"]

Change = Literal[
    "opened",
    "reopened",
    "resolved",
    "reviewed",
    "triggered",
    "acknowledged",
    "investigating",
    "mitigated",
    "escalated",
    "severity",
    "assigned",
    "published",
    "judged",
    "alerted",
    "silenced",
    "noted",
    "impact",
    "action",
    "paged",
    "undelivered",
    "delivered",
]
CHANGES: tuple[Change, ...] = get_args(Change)
"""What may happen to an incident; the first of these that did names the lifecycle event, the others are in its entries."""
TYPE_PREFIX = "tillwatch.incident."
SILENCE_CHANGES = ("added", "began", "over")
SILENCE_TYPE_PREFIX = "tillwatch.silence."
SYSTEM = "tillwatch"
"""The author of what no person did."""


class Happened(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of the timeline. ref: the id of the alert or command, or the key of the page, that made it."""

    at_ms: int
    kind: Change
    text: str
    author: str = SYSTEM
    ref: str | None = None


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alert (one rule and group) of an incident, as it was last told.

    ids: of the alerts that began its latest episodes, since `inhibited_by` names one; last: of the latest alert. offset: of the
    last record of the alerts topic that is in this. slice: where most of it is, in words. told: the severity with which people
    were told of this episode, None if they were not.
    """

    fingerprint: str
    rule: str
    pack: str
    severity: SeverityName
    active: bool
    summary: str
    at_ms: int
    offset: int
    last: str
    group: dict[str, Value] = {}
    entities: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    arithmetic: str = ""
    slice: str = ""
    inhibited_by: str | None = None
    historical: bool = False
    silenced_by: str | None = None
    told: SeverityName | None = None

    @property
    def full_rule(self) -> str:
        return f"{self.pack}/{self.rule}"

    @property
    def loud(self) -> bool:
        """Whether it goes on, and nothing says that people need not hear of it."""
        return self.active and self.inhibited_by is None and not self.historical and self.silenced_by is None


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to one person through one channel. person: None where the channel itself is addressed (a room, a webhook).
    key: a hash of incident, step, person and channel; whoever sends it twice sends it with the same. Addresses are looked up
    when it is sent: no state holds any."""

    key: str
    kind: PageKind
    step: int
    level: LevelName
    channel: str
    at_ms: int
    person: str | None = None
    state: Literal["queued", "sent", "failed"] = "queued"


ActionState = Literal[
    "waiting",
    "approved",
    "running",
    "done",
    "failed",
    "timed_out",
    "unknown",
    "skipped",
    "refused",
    "expired",
    "withdrawn",
]
"""How far one call of an action is. unknown: it was begun, and whoever began it is gone; withdrawn: what it waited for is
over."""
UNDER_WAY: frozenset[ActionState] = frozenset({"waiting", "approved", "running"})


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a registered action. key: a hash of incident, number and name, which goes with every attempt; at_ms: since
    when the state is so. why: what called for it. registered: a fingerprint of what was registered when it was planned; aim:
    of what the call does, which its cool-down goes by; about: what its placeholders stood for then. until_ms: up to when its
    approval is waited for. by: the person who approved it, refused it or asked for it. trial: a dry run. began_ms: since when
    it counts for the cool-down. detail: what came of it."""

    key: str
    name: str
    means: Literal["command", "webhook"]
    state: ActionState
    planned_ms: int
    at_ms: int
    why: str
    registered: str
    aim: str = ""
    about: dict[str, str] = {}
    until_ms: int | None = None
    by: str | None = None
    trial: bool = False
    began_ms: int | None = None
    detail: str = ""


class Moved(msgspec.Struct, frozen=True):
    """A change of the system before the incident: what kind of event, of which component, and what it says."""

    at_ms: int
    kind: str
    component: str
    text: str


class Onset(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alert as it was when it began: what it rests on is not touched by what is told later. Times in epoch ms.

    slices: (dimensions, share of what was wrong). sources: (topic, partition, first and last offset) of its records.
    """

    alert: str
    rule: str
    pack: str
    rule_version: str
    severity: SeverityName
    unit: str
    start_ms: int
    end_ms: int
    detected_ms: int
    summary: str
    arithmetic: str
    group: dict[str, Value] = {}
    value: int | float | None = None
    threshold: int | float | None = None
    first_bad_ms: int | None = None
    slices: tuple[tuple[dict[str, Value], float], ...] = ()
    samples: tuple[str, ...] = ()
    sources: tuple[tuple[str, int, int, int], ...] = ()


Felt = Literal["failing", "degraded", "ok"]
"""What customers feel: they cannot pay; they get through, with trouble; nothing any more."""


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """What customers are told on the public page. text: in their words; title: the sentence above all others; services: those
    that are meant, as the page calls them; next_ms: by when they hear more. Author and time are set by whoever takes it."""

    text: str
    felt: Felt
    title: str = ""
    services: tuple[str, ...] = ()
    next_ms: int | None = None
    at_ms: int = 0
    author: str = SYSTEM


Judgement = Literal["right", "wrong"]
"""Whether an alert told of something that somebody had to see to."""


class Impact(msgspec.Struct, frozen=True):
    """What it costs customers so far. at_risk: the sum of failed payments by currency, in minor units."""

    failed_payments: int
    at_risk: dict[str, int]
    at_ms: int


class Step(msgspec.Struct, frozen=True):
    """A level of the escalation. within_s: how long it has to answer before the next is asked; None: to the end of the next
    business day."""

    level: LevelName
    within_s: int | None


class SeverityPolicy(msgspec.Struct, frozen=True):
    """What holds for one severity. quiet_s: after so long without a word from whoever answered, people are paged again; None:
    at the end of the next business day."""

    channels: tuple[str, ...]
    steps: tuple[Step, ...]
    quiet_s: int | None


class Policy(msgspec.Struct, frozen=True):
    """How people are asked. impact_payments, impact_minor: from so many failed payments, or so much at risk in one currency,
    the next level is asked as well."""

    severities: dict[SeverityName, SeverityPolicy]
    impact_payments: int
    impact_minor: int


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is known of one incident; each change makes a new `version`.

    number: the short one that people say. alerted_ms: when the last alert came. by_hand: the severity that a person set,
    `by_hand_over` the worst of the alerts at that time. storm: what it gathers, of a storm. held: a person keeps it open
    whatever its alerts say. level: index into the steps of the severity, -1 while nobody was asked. step: number of the last
    round of messages. step_at, update_at: when the next step and the next update are due. said_ms: when people were told last.
    actions: the latest calls of registered actions; acted: how many there were; act_at: when the first approval that is
    waited for expires. reached: (person, channel) that were told of it. others: short fingerprints of alerts that go on
    beyond those that are kept; members_more, timeline_more: how many were counted and not kept. updates: what customers
    were told; judgements: what people say of its alerts, by `pack/rule`. onset: the alert that opened it; gravest: one that
    came to it and was worse than all before.
    """

    id: str
    number: int
    version: int
    title: str
    severity: SeverityName
    status: Status
    opened_ms: int
    since_ms: int
    team: str
    policy: Policy
    changed_ms: int
    alerted_ms: int
    owner: str | None = None
    by_hand: SeverityName | None = None
    by_hand_over: SeverityName | None = None
    storm: str | None = None
    held: bool = False
    level: int = -1
    step: int = 0
    step_at: int | None = None
    update_at: int | None = None
    said_ms: int | None = None
    triggers: tuple[str, ...] = ()
    assignee: str | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    mitigated_ms: int | None = None
    resolved_ms: int | None = None
    reviewed_ms: int | None = None
    runbook: str | None = None
    members: tuple[Member, ...] = ()
    others: frozenset[str] = frozenset()
    members_more: int = 0
    timeline: tuple[Happened, ...] = ()
    timeline_more: int = 0
    pages: tuple[Page, ...] = ()
    reached: tuple[tuple[str | None, str], ...] = ()
    threads: dict[str, str] = {}
    changes: tuple[Moved, ...] = ()
    impact: Impact | None = None
    actions: tuple[Action, ...] = ()
    acted: int = 0
    act_at: int | None = None
    onset: Onset | None = None
    gravest: Onset | None = None
    updates: tuple[Update, ...] = ()
    judgements: dict[str, Judgement] = {}

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def next_at(self) -> int | None:
        """When time alone does something to it."""
        return min((at for at in (self.step_at, self.update_at, self.act_at) if at is not None), default=None)

    @property
    def active(self) -> tuple[Member, ...]:
        return tuple(one for one in self.members if one.active)

    @property
    def over(self) -> bool:
        """Whether none of its alerts goes on."""
        return not self.others and not any(one.active for one in self.members)

    @property
    def loud(self) -> bool:
        """Whether people are to hear of it. What is counted and not kept is as what is kept."""
        return self.held or any(one.loud for one in self.members) or (bool(self.others) and not self.active)

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.rule for one in self.members))

    def affected(self, name: str) -> tuple[str, ...]:
        """The values of an entity (`component`, `provider`, `host`) among its alerts, without those that tell of the past."""
        found = (one.entities for one in self.members if not one.historical)
        start = f"{name}="
        return tuple(dict.fromkeys(one.removeprefix(start) for many in found for one in many if one.startswith(start)))

    @property
    def rung(self) -> LevelName | None:
        """The level that was asked last, None while nobody was."""
        steps = self.policy.severities[self.severity].steps
        return None if self.level < 0 else steps[min(self.level, len(steps) - 1)].level


# --- what people tell it ----------------------------------------------------------------------------------------------

CommandKind = Literal[
    "ack",
    "investigate",
    "mitigate",
    "resolve",
    "reopen",
    "review",
    "note",
    "assign",
    "escalate",
    "severity",
    "publish",
    "judge",
    "silence",
    "unsilence",
    "approve",
    "refuse",
    "run",
    "try",
]
TEXT_MOST = 2_000
TITLE_MOST, SERVICES_MOST = 140, 20


class Silence(msgspec.Struct, frozen=True, omit_defaults=True):
    """While it lasts, alerts that match page nobody. matchers: (name, whether it must match, pattern with `*` and `?`).
    phase: whether its beginning and its end have been seen to."""

    id: str
    kind: Literal["silence", "maintenance"]
    matchers: tuple[tuple[str, bool, str], ...]
    start_ms: int
    end_ms: int
    author: str
    reason: str
    version: int = 1
    phase: Literal["waiting", "active", "over"] = "waiting"


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody wants done. id: chosen by whoever sends it, so that what is sent twice is done once. incident: its id,
    the beginning of it, or its number. text: the note, the reason, the assignee, the severity or the judgement. silence: of
    `silence`, to be added; of `unsilence`, `text` is the id. Of `approve` and `refuse` `text` is the key or the name of an
    action's call that waits, of `run` and `try` (a dry run) the name of an action. update: of `publish`. rules: of `judge`,
    those that are meant, as `pack/rule`; all unless said."""

    id: str
    kind: CommandKind
    author: str
    incident: str | None = None
    text: str = ""
    silence: Silence | None = None
    update: Update | None = None
    rules: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What came of a command: whether it was done, and what is to be said of it. id: of the incident or silence."""

    done: bool
    text: str
    id: str | None = None


# --- what others read -------------------------------------------------------------------------------------------------


class Entry(Part):
    """An entry of the timeline."""

    at: Instant
    kind: Change
    text: str
    author: str


class AtRisk(Part):
    """Failed payments since it began, and their sum by currency in minor units."""

    failed_payments: int
    amounts: dict[str, Number]


class Called(Part):
    """A call of a registered action. `key`: the idempotency key that went with it."""

    key: str
    name: str
    state: ActionState
    at: Instant
    why: str
    by: str | None
    dry_run: bool
    detail: str


class IncidentData(Part):
    """The incident after a change. `entries`: what this change added to its timeline."""

    id: str
    number: int = Field(description="the short number that people say")
    version: int = Field(description="grows with each change")
    title: str
    severity: SeverityName
    level: Level
    status: Status
    escalation: LevelName | None = Field(description="the level that was asked last, null while nobody was")
    team: str
    assignee: str | None
    components: tuple[str, ...]
    providers: tuple[str, ...]
    rules: tuple[str, ...]
    alerts: int
    active_alerts: int
    since: Instant
    opened_at: Instant
    acknowledged_at: Instant | None
    mitigated_at: Instant | None
    resolved_at: Instant | None
    reviewed_at: Instant | None
    impact: AtRisk | None
    runbook: str | None
    actions: tuple[Called, ...] = Field(description="the latest calls of registered actions")
    entries: tuple[Entry, ...]


class _Envelope(Part):
    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    time: Instant
    subject: str
    datacontenttype: Literal["application/json"] = "application/json"


class IncidentEvent(_Envelope):
    """The CloudEvent around it; `subject` is the incident's id. The same change has the same `id`, whoever sends it."""

    type: str = Field(pattern=rf"^tillwatch\.incident\.({'|'.join(CHANGES)})$")
    data: IncidentData


class SilenceData(Part):
    """A silence or a maintenance window after a change."""

    id: str
    kind: Literal["silence", "maintenance"]
    matchers: tuple[str, ...] = Field(examples=[["component=checkout", "rule!=system_down"]])
    start: Instant
    end: Instant
    author: str
    reason: str


class SilenceEvent(_Envelope):
    """The CloudEvent around it; `subject` is the silence's id."""

    type: str = Field(pattern=rf"^tillwatch\.silence\.({'|'.join(SILENCE_CHANGES)})$")
    data: SilenceData


def incident_event(namespace: str, change: Change, incident: Incident, entries: tuple[Happened, ...]) -> IncidentEvent:
    """The event that announces a change."""
    impact = incident.impact
    data = IncidentData(
        id=incident.id,
        number=incident.number,
        version=incident.version,
        title=incident.title,
        severity=incident.severity,
        level=SEVERITIES[incident.severity].level,
        status=incident.status,
        escalation=incident.rung,
        team=incident.team,
        assignee=incident.assignee,
        components=incident.affected("component"),
        providers=incident.affected("provider"),
        rules=incident.rules,
        alerts=len(incident.members) + incident.members_more,
        active_alerts=len(incident.active),
        since=incident.since_ms,
        opened_at=incident.opened_ms,
        acknowledged_at=incident.acknowledged_ms,
        mitigated_at=incident.mitigated_ms,
        resolved_at=incident.resolved_ms,
        reviewed_at=incident.reviewed_ms,
        impact=None
        if impact is None
        else AtRisk(failed_payments=impact.failed_payments, amounts=dict(impact.at_risk)),
        runbook=incident.runbook,
        actions=tuple(map(_called, incident.actions)),
        entries=tuple(Entry(at=one.at_ms, kind=one.kind, text=one.text, author=one.author) for one in entries),
    )
    return IncidentEvent(
        id=digest("lifecycle", incident.id, incident.version),
        source=f"/tillwatch/{namespace}",
        type=TYPE_PREFIX + change,
        time=incident.changed_ms,
        subject=incident.id,
        data=data,
    )


def _called(one: Action) -> Called:
    return Called(
        key=one.key,
        name=one.name,
        state=one.state,
        at=one.at_ms,
        why=one.why,
        by=one.by,
        dry_run=one.trial,
        detail=one.detail,
    )


def silence_event(namespace: str, change: str, silence: Silence, now_ms: int) -> SilenceEvent:
    """The event that announces that a silence was added, began or is over."""
    return SilenceEvent(
        id=digest("silence", silence.id, silence.version),
        source=f"/tillwatch/{namespace}",
        type=SILENCE_TYPE_PREFIX + change,
        time=now_ms,
        subject=silence.id,
        data=SilenceData(
            id=silence.id,
            kind=silence.kind,
            matchers=tuple(matcher_text(one) for one in silence.matchers),
            start=silence.start_ms,
            end=silence.end_ms,
            author=silence.author,
            reason=silence.reason,
        ),
    )


def matcher_text(matcher: tuple[str, bool, str]) -> str:
    """A matcher as people write it: `component=checkout`, `rule!=system_*`."""
    name, wanted, pattern = matcher
    return f"{name}{'=' if wanted else '!='}{pattern}"


def incident_id(namespace: str, alert: str) -> str:
    """The id of the incident that this alert (by its id) opens: 64 hex digits."""
    return digest("incident", namespace, alert)


def page_key(incident: str, step: int, person: str | None, channel: str) -> str:
    """The idempotency key of a page: 64 hex digits."""
    return digest("page", incident, step, person, channel)


def action_key(incident: str, number: int, name: str) -> str:
    """The idempotency key of an action's call: 64 hex digits."""
    return digest("action", incident, number, name)


def digest(*parts: Any) -> str:
    """A hash of what names a thing: 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
