"""What the API and the pages say of incidents, silences and people on call. Times RFC 3339 UTC; durations seconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from console.shapes import Mark, Page, Shape, Span, Tile
from schemas.alert import Instant, Number
from schemas.incident import SERVICES_MOST, TEXT_MOST, TITLE_MOST, Change, Felt, Judgement, LevelName, Status
from schemas.severity import Level, SeverityName

Action = Literal[
    "ack",
    "investigate",
    "mitigate",
    "note",
    "assign",
    "escalate",
    "severity",
    "resolve",
    "reopen",
    "review",
    "publish",
    "judge",
    "approve",
    "refuse",
    "run",
    "try",
]


class AtRisk(Shape):
    """Failed payments beyond what is usual, and their sum by currency in minor units."""

    failed_payments: int
    amounts: dict[str, int]


class IncidentRow(Shape):
    """An incident in a line. `state`: how bad it is now, `ok` once it is over. `lasted_s`: from its first bad event to its
    end, or to now."""

    id: str
    number: int = Field(description="the short number that people say")
    version: int
    title: str = Field(description="what the worst of its alerts said when it began")
    severity: SeverityName
    level: Level
    status: Status
    state: Mark
    since: Instant
    opened_at: Instant
    acknowledged_at: Instant | None
    mitigated_at: Instant | None
    resolved_at: Instant | None
    reviewed_at: Instant | None
    lasted_s: float
    team: str
    assignee: str | None
    escalation: LevelName | None = Field(description="the level that was asked last, null while nobody was")
    components: list[str]
    providers: list[str]
    rules: list[str]
    alerts: int
    active_alerts: int
    impact: AtRisk | None
    published: bool


class Incidents(Shape):
    """Incidents, the latest first. `next`: what to ask `before` for the ones before these, null where there are no more."""

    incidents: list[IncidentRow]
    next: int | None
    open: int = Field(description="how many are open, whatever was asked for")
    followed: bool = Field(description="whether changes are known within moments; otherwise there may be newer ones")


class TimelineEntry(Shape):
    """What happened. `by_person`: it is somebody's word."""

    at: Instant
    kind: Change
    text: str
    author: str
    by_person: bool


class MemberAlert(Shape):
    """An alert of the incident, as it was last told. `pages`: people hear of it while it goes on."""

    rule: str
    pack: str
    severity: SeverityName
    active: bool
    pages: bool
    group: dict[str, Any]
    summary: str
    arithmetic: str
    slice: str
    judgement: Judgement | None


class ChangeBefore(Shape):
    """What was released or configured. `before_s`: so long before the first bad event; negative: after it."""

    at: Instant
    kind: str
    component: str
    text: str
    before_s: float


class Line(Shape):
    """A label and its value, as they are written."""

    label: str
    value: str


class Slip(Shape):
    """The arithmetic that decided. `decision`: the comparison in words."""

    lines: list[Line]
    decision: str
    words: str


class SliceShare(Shape):
    """A part of what was judged. `share`: of what was wrong; `wrong` of `all`: events in the window, null where not known
    or, of what is counted, not to be told apart."""

    dimensions: dict[str, Any]
    share: float
    wrong: int | None = None
    all: int | None = None


class FrozenChart(Shape):
    """The signal around the onset, in buckets that begin at `start` and are `step_s` wide; null where there is nothing to tell.

    `usual`: the range of the half hour before. `limited`: each point can be held against the threshold. `final`: it will not
    change any more.
    """

    title: str
    unit: str
    step_s: int
    start: Instant
    points: list[float | None]
    counts: list[int]
    usual: tuple[float, float] | None
    limited: bool
    final: bool


class Source(Shape):
    """Records that the verdict rests on; both offsets belong to it."""

    topic: str
    partition: int
    from_: int = Field(alias="from")
    to: int


class EvidenceAtOnset(Shape):
    """What its worst alert rested on when it began."""

    alert: str
    rule: str
    pack: str
    rule_version: str
    means: str | None = Field(description="what the rule says in a sentence, where it is in force as it was")
    summary: str
    group: dict[str, Any]
    value: Number | None
    threshold: Number | None
    unit: str
    window: Span
    first_bad_at: Instant | None
    detected_at: Instant
    slip: Slip
    slices: list[SliceShare]
    counted: Span | None = Field(description="over which whole buckets the slices are counted")
    samples: list[str]
    sources: list[Source]
    chart: FrozenChart | None


class Similar(Shape):
    """An earlier incident that is like this one. `why`: in what."""

    id: str
    number: int
    title: str
    opened_at: Instant
    lasted_s: float | None
    why: str
    ended_by: str


class Node(Shape):
    """A part of a text: an element with its children, or a text."""

    tag: str = ""
    text: str = ""
    href: str | None = None
    children: tuple[Node, ...] = ()


class Runbook(Shape):
    """What to do. `url`: where it is, where it is not ours; then it has no text."""

    name: str
    title: str
    url: str | None = None
    text: str = ""
    nodes: tuple[Node, ...] = ()


class PublicUpdate(Shape):
    """What customers were told."""

    at: Instant
    text: str
    felt: Felt
    title: str
    services: list[str]
    next_at: Instant | None
    author: str


class ActionCall(Shape):
    """A call of a registered action. `until`: up to when its approval is waited for; `trial`: a dry run."""

    key: str
    name: str
    means: Literal["command", "webhook"]
    state: str
    why: str
    by: str | None
    trial: bool
    detail: str
    planned_at: Instant
    until: Instant | None


class NextStep(Shape):
    """What time alone will do. `asks`: the level that is asked then, null where the incident counts as unanswered again."""

    at: Instant
    asks: LevelName | None


class Clocks(Shape):
    """How fast it went, from the first bad event on; null what did not happen yet."""

    first_bad_at: Instant
    detected_after_s: float | None
    paged_after_s: float | None
    acknowledged_after_s: float | None
    mitigated_after_s: float | None
    resolved_after_s: float | None


class WholeIncident(IncidentRow):
    """All that is known of an incident. The timeline, the changes and what is similar come latest first."""

    clocks: Clocks
    next_step: NextStep | None
    triggers: list[str]
    timeline: list[TimelineEntry]
    timeline_more: int
    members: list[MemberAlert]
    members_more: int
    changes: list[ChangeBefore]
    evidence: EvidenceAtOnset | None
    similar: list[Similar]
    runbook: Runbook | None
    updates: list[PublicUpdate]
    calls: list[ActionCall]


When = Annotated[Instant, Field(ge=0, le=4_102_444_800_000)]
"""A time that somebody names: up to the year 2100."""


class _Said(Shape):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True, validate_by_name=True)


class Said(_Said):
    """What is said with an action. text: the note, the reason; of `assign` the person, of `severity` its name, of `judge` right
    or wrong, of `publish` what customers are told, of `approve`, `refuse`, `run` and `try` the action. rules: of `judge`, as
    `pack/rule`; all unless said. The rest: of `publish`."""

    text: str = Field("", max_length=TEXT_MOST)
    rules: list[Annotated[str, Field(max_length=200)]] = Field([], max_length=200)
    felt: Felt = "failing"
    title: str = Field("", max_length=TITLE_MOST)
    services: list[Annotated[str, Field(max_length=80)]] = Field([], max_length=SERVICES_MOST)
    next_at: When | None = Field(None, description="by when customers hear more")


class Answered(Shape):
    """What came of it. `done`: null where no notifier answered in time: it was asked and will be done once one leads."""

    done: bool | None
    text: str
    incident: IncidentRow | None = None


class SilenceRow(Shape):
    """Alerts that match all of the matchers page nobody between start and end."""

    id: str
    kind: Literal["silence", "maintenance"]
    matchers: list[str] = Field(examples=[["component=checkout", "rule!=system_down"]])
    start: Instant
    end: Instant
    author: str
    reason: str
    phase: Literal["waiting", "active", "over"]


class Silences(Shape):
    """Silences and maintenance windows, those that are not over first."""

    silences: list[SilenceRow]
    followed: bool


class NewSilence(_Said):
    """A silence, or a planned maintenance window. It begins now unless said, and ends at `end` or after `lasts_s`."""

    kind: Literal["silence", "maintenance"] = "silence"
    matchers: list[Annotated[str, Field(max_length=400)]] = Field(min_length=1, max_length=20, examples=[["provider=ozow"]])
    reason: str = Field(min_length=1, max_length=500)
    start: When | None = None
    end: When | None = None
    lasts_s: float | None = Field(None, gt=0, le=90 * 86_400)


class SilenceAnswered(Shape):
    """What came of it; see Answered."""

    done: bool | None
    text: str
    silence: SilenceRow | None = None


class OnDuty(Shape):
    """Who is asked, and until when; nobody where `people` is empty."""

    team: str
    name: str
    level: LevelName
    people: list[str]
    keys: list[str]
    until: Instant | None
    next: list[str]


class CoverGap(Shape):
    """A time in which nobody is on call."""

    team: str
    level: LevelName
    start: Instant
    end: Instant


class OnCall(Shape):
    """Who is on call now, by team and level, and the gaps of the next 28 days."""

    now: list[OnDuty]
    gaps: list[CoverGap]
    as_of: Instant
    zone: str
    notes: list[str] = Field(description="what is not as it should be: no file, a calendar that cannot be read")


class Counts(Shape):
    """How many incidents (or judgements) each figure rests on."""

    mttd_s: int
    mtta_s: int
    mttr_s: int
    alert_accuracy: int
    false_positive_rate: int
    response_time_compliance: int
    incident_resolution_rate: int


class OperationsFigures(Shape):
    """How incidents are handled: those that opened in the window and that people were told of. Means in seconds, rates as
    fractions; null where there is nothing to judge."""

    mttd_s: float | None = Field(description="first bad event to its detection")
    mtta_s: float | None = Field(description="opened to acknowledged")
    mttr_s: float | None = Field(description="opened to resolved")
    alert_accuracy: float | None = Field(description="of the alerts that people judged, those that were right")
    false_positive_rate: float | None = Field(description="of the alerts that people judged, those that were wrong")
    response_time_compliance: float | None = Field(description="answered within the time of their severity")
    incident_resolution_rate: float | None = Field(description="of all that opened, those that are resolved")
    counts: Counts
    window: Span
    as_of: Instant
    stale: bool


# --- pages ------------------------------------------------------------------------------------------------------------


class Act(Shape):
    """A button of the room. `asks`: pressing it asks for more, it does not act."""

    do: str
    label: str
    key: str = ""
    main: bool = False
    asks: bool = True


class Room(Page):
    """The page of one incident."""

    may: bool = Field(description="whether who asks may act")
    me: str
    acts: list[Act]
    people: list[str] = Field(description="to whom it can be handed")
    services: list[str] = Field(description="what the status page calls its services")
    incident: WholeIncident


class RunbookPage(Page):
    """The page of one runbook."""

    runbook: Runbook


class IncidentsPage(Page):
    """The page of incidents."""

    open: list[IncidentRow]
    last: list[IncidentRow]
    next: int | None
    tiles: list[Tile]
    figures: OperationsFigures
    asked: dict[str, str] = Field(description="the filter")
    followed: bool
