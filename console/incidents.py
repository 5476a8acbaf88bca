"""Incidents as people see them: what the notifier keeps in, lines and rooms out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from console.evidence import Frozen
from console.incident_shapes import (
    Act,
    ActionCall,
    AtRisk,
    ChangeBefore,
    Clocks,
    EvidenceAtOnset,
    IncidentRow,
    MemberAlert,
    NextStep,
    PublicUpdate,
    Runbook,
    SilenceRow,
    Similar,
    SliceShare,
    Source,
    TimelineEntry,
    WholeIncident,
)
from console.shapes import Mark, OpenIncidents, Span, Words
from console.slip import slip
from console.words import counted, duration
from notifier.policy import CLOSED_KEPT_MS, CLOSED_MOST
from schemas.incident import SYSTEM, Incident, Onset, Silence, matcher_text
from schemas.severity import SEVERITIES

SIMILAR_MOST = 5
GRAVITY: dict[str, Mark] = {"critical": "failing", "high": "degraded", "medium": "degraded", "low": "ok"}


def state_of(incident: Incident) -> Mark:
    """How bad it is now."""
    return GRAVITY[incident.severity] if incident.open else "ok"


def worst_onset(incident: Incident) -> Onset | None:
    """The worst of its alerts, as it was when it began."""
    return incident.gravest or incident.onset


def title_of(incident: Incident) -> str:
    """What the worst of its alerts said when it began."""
    return incident.gravest.summary if incident.gravest is not None and incident.storm is None else incident.title


def short_title(incident: Incident) -> str:
    """The same without its arithmetic."""
    return title_of(incident).partition(":")[0].rstrip(".")


def row(incident: Incident, now_ms: int) -> IncidentRow:
    return IncidentRow(**_row(incident, now_ms))


def _row(incident: Incident, now_ms: int) -> dict[str, object]:
    impact = incident.impact
    return {
        "id": incident.id,
        "number": incident.number,
        "version": incident.version,
        "title": title_of(incident),
        "severity": incident.severity,
        "level": SEVERITIES[incident.severity].level,
        "status": incident.status,
        "state": state_of(incident),
        "since": incident.since_ms,
        "opened_at": incident.opened_ms,
        "acknowledged_at": incident.acknowledged_ms,
        "mitigated_at": incident.mitigated_ms,
        "resolved_at": incident.resolved_ms,
        "reviewed_at": incident.reviewed_ms,
        "lasted_s": lasted_s(incident, now_ms),
        "team": incident.team,
        "assignee": incident.assignee,
        "escalation": incident.rung,
        "components": list(incident.affected("component")),
        "providers": list(incident.affected("provider")),
        "rules": list(incident.rules),
        "alerts": len(incident.members) + incident.members_more,
        "active_alerts": len(incident.active) + len(incident.others),
        "impact": None
        if impact is None
        else AtRisk(failed_payments=impact.failed_payments, amounts=dict(impact.at_risk)),
        "published": bool(incident.updates),
    }


def lasted_s(incident: Incident, now_ms: int) -> float:
    """From its first bad event to its end, or to now."""
    return round(max((incident.resolved_ms or now_ms) - incident.since_ms, 0) / 1000, 1)


def whole(
    incident: Incident,
    others: Iterable[Incident],
    now_ms: int,
    *,
    means: str | None = None,
    kept: Frozen | None = None,
    runbook: Runbook | None = None,
) -> WholeIncident:
    """All that is known of one. means: what its rule says; kept: the figures of then; others: all incidents."""
    onset = worst_onset(incident)
    return WholeIncident(
        **_row(incident, now_ms),
        clocks=_clocks(incident),
        next_step=_next_step(incident),
        triggers=list(incident.triggers),
        timeline=[
            TimelineEntry(
                at=one.at_ms, kind=one.kind, text=one.text, author=one.author, by_person=one.author != SYSTEM
            )
            for one in reversed(incident.timeline)
        ],
        timeline_more=incident.timeline_more,
        members=[
            MemberAlert(
                rule=one.rule,
                pack=one.pack,
                severity=one.severity,
                active=one.active,
                pages=one.loud,
                group=dict(one.group),
                summary=one.summary,
                arithmetic=one.arithmetic,
                slice=one.slice,
                judgement=incident.judgements.get(one.full_rule),
            )
            for one in incident.members
        ],
        members_more=incident.members_more,
        changes=[
            ChangeBefore(
                at=one.at_ms,
                kind=one.kind,
                component=one.component,
                text=one.text,
                before_s=round((incident.since_ms - one.at_ms) / 1000, 1),
            )
            for one in reversed(incident.changes)
        ],
        evidence=None if onset is None else _evidence(onset, means, kept),
        similar=similar(incident, others),
        runbook=runbook,
        updates=updates(incident),
        calls=[
            ActionCall(
                key=one.key,
                name=one.name,
                means=one.means,
                state=one.state.replace("_", " "),
                why=one.why,
                by=one.by,
                trial=one.trial,
                detail=one.detail,
                planned_at=one.planned_ms,
                until=one.until_ms,
            )
            for one in reversed(incident.actions)
        ],
    )


def updates(incident: Incident) -> list[PublicUpdate]:
    """What customers were told, the latest first."""
    return [
        PublicUpdate(
            at=one.at_ms,
            text=one.text,
            felt=one.felt,
            title=one.title,
            services=list(one.services),
            next_at=one.next_ms,
            author=one.author,
        )
        for one in reversed(incident.updates)
    ]


def silence_row(one: Silence) -> SilenceRow:
    return SilenceRow(
        id=one.id,
        kind=one.kind,
        matchers=[matcher_text(matcher) for matcher in one.matchers],
        start=one.start_ms,
        end=one.end_ms,
        author=one.author,
        reason=one.reason,
        phase=one.phase,
    )


def known_from(incidents: Iterable[Incident], now_ms: int) -> int:
    """Since when every incident is known, of all that are kept; those before may have been removed."""
    closed = [one.opened_ms for one in incidents if not one.open]
    kept = now_ms - CLOSED_KEPT_MS
    return max(kept, min(closed)) if len(closed) >= CLOSED_MOST else kept


# --- times ------------------------------------------------------------------------------------------------------------


def paged_ms(incident: Incident) -> int | None:
    """When the first message got through."""
    return next((one.at_ms for one in incident.timeline if one.kind == "delivered"), None)


def detected_ms(incident: Incident) -> int:
    return incident.opened_ms if incident.onset is None else incident.onset.detected_ms


def _clocks(incident: Incident) -> Clocks:
    since = incident.since_ms

    def after(at: int | None) -> float | None:
        return None if at is None else round((at - since) / 1000, 1)

    return Clocks(
        first_bad_at=since,
        detected_after_s=after(detected_ms(incident)),
        paged_after_s=after(paged_ms(incident)),
        acknowledged_after_s=after(incident.acknowledged_ms),
        mitigated_after_s=after(incident.mitigated_ms),
        resolved_after_s=after(incident.resolved_ms),
    )


def _next_step(incident: Incident) -> NextStep | None:
    if incident.step_at is None or not incident.open:
        return None
    steps = incident.policy.severities[incident.severity].steps
    asks = None
    if incident.status == "triggered":
        at = min(incident.level + 1, len(steps) - 1)
        asks = steps[at].level
    return NextStep(at=incident.step_at, asks=asks)


# --- evidence ---------------------------------------------------------------------------------------------------------


def _evidence(onset: Onset, means: str | None, kept: Frozen | None) -> EvidenceAtOnset:
    told = [SliceShare(dimensions=dict(dimensions), share=share) for dimensions, share in onset.slices]
    return EvidenceAtOnset(
        alert=onset.alert,
        rule=onset.rule,
        pack=onset.pack,
        rule_version=onset.rule_version,
        means=means,
        summary=onset.summary,
        group=dict(onset.group),
        value=onset.value,
        threshold=onset.threshold,
        unit=onset.unit,
        window=Span(start=onset.start_ms, end=onset.end_ms),
        first_bad_at=onset.first_bad_ms,
        detected_at=onset.detected_ms,
        slip=slip(onset),
        slices=told if kept is None else kept.slices,
        counted=None if kept is None else kept.counted,
        samples=list(onset.samples),
        sources=[Source(topic=topic, partition=number, from_=first, to=last) for topic, number, first, last in onset.sources],
        chart=None if kept is None else kept.chart,
    )


# --- what is like it --------------------------------------------------------------------------------------------------


def similar(incident: Incident, others: Iterable[Incident]) -> list[Similar]:
    """Earlier incidents of the same rule, slice, component or provider: the more they share, the nearer."""
    scored = []
    for other in others:
        if other.number < incident.number:
            shared = _shared(incident, other)
            if shared:
                scored.append((len(shared), other.number, other, shared))
    scored.sort(key=lambda one: (one[0], one[1]), reverse=True)
    return [
        Similar(
            id=other.id,
            number=other.number,
            title=title_of(other),
            opened_at=other.opened_ms,
            lasted_s=None if other.resolved_ms is None else lasted_s(other, other.resolved_ms),
            why=", ".join(f"same {name}" for name in shared),
            ended_by=_ended_by(other),
        )
        for _, _, other, shared in scored[:SIMILAR_MOST]
    ]


def _shared(one: Incident, other: Incident) -> list[str]:
    found = []
    if {*one.rules} & {*other.rules}:
        found.append("rule")
    if one.onset and other.onset and _slice(one.onset) and _slice(one.onset) == _slice(other.onset):
        found.append("slice")
    found += [name for name in ("provider", "component", "host") if {*one.affected(name)} & {*other.affected(name)}]
    return found


def _slice(onset: Onset) -> dict[str, object]:
    return dict(onset.slices[0][0]) if onset.slices else {}


def _ended_by(incident: Incident) -> str:
    """What people said when it ended; what is not known stays so."""
    if incident.open:
        return "open"
    said = next((one for one in reversed(incident.timeline) if one.kind == "resolved"), None)
    if said is None:
        return ""
    if said.author == SYSTEM:
        noted = next((one.text for one in reversed(incident.timeline) if one.kind in ("mitigated", "noted")), None)
        return noted or "Ended by itself"
    return said.text.partition(": ")[2] or said.text


# --- words ------------------------------------------------------------------------------------------------------------


def sentence(incident: Incident, now_ms: int) -> Words:
    """How it is, in a sentence."""
    title = short_title(incident)
    if not incident.open:
        length = duration(lasted_s(incident, now_ms))
        ended = incident.resolved_ms
        since: Words = [] if ended is None else [" since ", ended]
        return [f"{title}: over", *since, f", after {length}."]
    onset = worst_onset(incident)
    share = ""
    if onset is not None and onset.unit == "ratio" and onset.value is not None and len(title) < 60:
        share = f": {onset.value * 100:.0f}\u00a0%"
    return [f"{title}{share} since ", incident.since_ms, "."]


def why(incident: Incident) -> Words:
    """Who has it, and what comes next."""
    level = SEVERITIES[incident.severity].level
    words: Words = [f"Incident {incident.number}, {incident.severity} ({level}), {incident.status}. "]
    if incident.open:
        asked = f"The {incident.rung} was asked and has not answered." if incident.rung else "Nobody was asked."
        words.append(f"{incident.assignee} has it" if incident.assignee else asked.rstrip("."))
        step = _next_step(incident)
        if step is not None and step.asks is not None:
            words += [f"; the {step.asks} is asked at ", step.at]
        elif step is not None:
            words += ["; people are asked again at ", step.at, " if nothing is heard"]
        words.append(".")
    elif incident.status == "resolved":
        words.append("It was not looked back at yet.")
    return words


def open_ones(shown: Sequence[Incident]) -> OpenIncidents:
    """Of the incidents that are open."""
    marks = [state_of(one) for one in shown]
    return OpenIncidents(open=len(shown), state=next((one for one in ("failing", "degraded") if one in marks), "ok"))


def worst_first(incidents: Iterable[Incident]) -> list[Incident]:
    """Those that are open, the worst first; then the others, the latest first."""
    order = list(SEVERITIES)
    return sorted(incidents, key=lambda one: (not one.open, order.index(one.severity) if one.open else 0, -one.number))


def list_sentence(shown: Sequence[Incident], *, known: bool) -> tuple[Mark, Words]:
    """The verdict on all incidents that are open."""
    if not known:
        return "nodata", ["Nothing is known of incidents: the store has not answered yet."]
    if not shown:
        return "ok", ["No incident is open."]
    worst = worst_first(shown)[0]
    title = short_title(worst)
    if len(shown) == 1:
        return state_of(worst), [f"One incident is open: {title}, since ", worst.since_ms, "."]
    return state_of(worst), [f"{counted(len(shown), 'incident')} are open. The worst: {title}, since ", worst.since_ms, "."]


def list_why(shown: Sequence[Incident]) -> Words:
    waiting = sum(one.status == "triggered" for one in shown)
    if not shown:
        return ["What opens shows here at once."]
    if not waiting:
        return [f"Somebody is at work on {'it' if len(shown) == 1 else 'each'}."]
    return [f"{waiting} of {len(shown)} {'waits' if waiting == 1 else 'wait'} for an answer."]


# --- what can be done -------------------------------------------------------------------------------------------------


def acts(incident: Incident) -> list[Act]:
    """The buttons, the next sensible one first. What ends it is never that while its alerts go on."""
    if not incident.open:
        judged = bool(incident.judgements)
        found = []
        if incident.status == "resolved":
            found.append(Act(do="review", label="Looked back at…"))
        if not judged:
            found.append(Act(do="judge", label="Right or wrong…"))
        return [*found, Act(do="publish", label="Post update", key="p"), Act(do="reopen", label="Reopen…")]
    rest = [
        Act(do="assign", label="Hand over", key="h"),
        Act(do="status", label="Status…"),
        Act(do="escalate", label="Escalate…"),
        Act(do="silence", label="Silence…", key="s"),
    ]
    publish, resolve = Act(do="publish", label="Post update", key="p"), Act(do="resolve", label="Resolve…", key="r")
    if incident.status == "triggered":
        return [Act(do="ack", label="Take it", key="a", main=True, asks=False), publish, *rest, resolve]
    if incident.over:
        return [resolve.model_copy(update={"main": True}), publish, *rest]
    return [publish.model_copy(update={"main": True}), *rest, resolve]


def wanted(
    incidents: Iterable[Incident], status: Collection[str] | None, severity: str | None, before: int | None
) -> list[Incident]:
    """Those of these statuses and this severity with a number below `before`."""
    return [
        one
        for one in incidents
        if (status is None or one.status in status)
        and severity in (None, one.severity)
        and (before is None or one.number < before)
    ]
