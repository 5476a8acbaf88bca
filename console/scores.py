"""How well a rule serves whoever is on call: what came of the incidents that it had a part in. Pure.

Counted are incidents that opened in the window and that people were told of. Definitions:

- taken: somebody acknowledged it
- by itself: it was over within ten minutes, and until then nobody had done anything about it
- again: it fired again after it had ended by itself, so that the incident was opened anew: the rule flaps
- right, wrong: what people judged of this rule; precision: right of all that were judged
- to detect: from the first bad event to its detection, where the alert of this rule opened the incident or was its gravest
- lasted: from the first bad event of the incident to its end
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from console.incidents import known_from
from console.shapes import RuleRecord, RuleScore
from rollups.tables import DAY
from schemas.incident import SYSTEM, Incident, Onset

SOON_MS = 10 * 60_000
DAYS, LONG_DAYS = 30, 90
LATEST = 5
"""Incidents that are named."""


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of an incident, whichever rule it is told of. lasted_ms: None while it goes on."""

    incident: Incident
    lasted_ms: int | None
    by_itself: bool
    again: bool


def records(incidents: Iterable[Incident], now_ms: int) -> dict[str, RuleRecord]:
    """By `pack/rule`, of those that had any part. incidents: all that are kept, the latest first."""
    parts: dict[str, list[_Came]] = {}
    for incident in incidents:
        if incident.said_ms is not None and now_ms - LONG_DAYS * DAY <= incident.opened_ms <= now_ms:
            came = _came(incident)
            for pack, rule in {(member.pack, member.rule) for member in incident.members}:
                parts.setdefault(f"{pack}/{rule}", []).append(came)
    return {rule: _record(rule, had, now_ms) for rule, had in parts.items()}


def _came(incident: Incident) -> _Came:
    again, end = _again(incident), incident.resolved_ms
    if incident.open or end is None:
        return _Came(incident, None, False, again)
    untouched = incident.acknowledged_ms is None and all(
        one.author == SYSTEM or one.at_ms > end for one in incident.timeline
    )
    return _Came(incident, end - incident.since_ms, untouched and end - incident.opened_ms <= SOON_MS, again)


def _again(incident: Incident) -> bool:
    ended = None
    for one in incident.timeline:
        if one.kind == "resolved":
            ended = one.author
        elif one.kind == "reopened" and one.author == ended == SYSTEM:
            return True
    return False


def known_since(incidents: Sequence[Incident], now_ms: int) -> int | None:
    """Since when every incident is known that people were told of: not before the first one, of which nothing is known."""
    if not incidents:
        return None
    first = next((one.opened_ms for one in incidents if one.number == 1), None)
    since = known_from(incidents, now_ms)
    return since if first is None else max(since, first)


def _record(rule: str, had: Sequence[_Came], now_ms: int) -> RuleRecord:
    daily = [0] * DAYS
    for one in had:
        ago = (now_ms - one.incident.opened_ms) // DAY
        if ago < DAYS:
            daily[DAYS - 1 - ago] += 1
    return RuleRecord(
        month=_score(rule, [one for one in had if now_ms - one.incident.opened_ms < DAYS * DAY]),
        quarter=_score(rule, had),
        daily=daily,
        latest=[one.incident.number for one in had[:LATEST]],
    )


def _score(rule: str, had: Sequence[_Came]) -> RuleScore:
    judged = [one.incident.judgements.get(rule) for one in had]
    right, wrong = judged.count("right"), judged.count("wrong")
    lasted = [one.lasted_ms for one in had if one.lasted_ms is not None]
    detected = [
        onset.detected_ms - onset.first_bad_ms
        for one in had
        if (onset := _onset(rule, one.incident)) is not None and onset.first_bad_ms is not None
    ]
    return RuleScore(
        incidents=len(had),
        taken=sum(one.incident.acknowledged_ms is not None for one in had),
        over=len(lasted),
        by_itself=sum(one.by_itself for one in had),
        again=sum(one.again for one in had),
        right=right,
        wrong=wrong,
        precision=round(right / (right + wrong), 4) if right + wrong else None,
        detected=len(detected),
        detect_s=_median_s(detected),
        lasted_s=_median_s(lasted),
    )


def _onset(rule: str, incident: Incident) -> Onset | None:
    pack, _, name = rule.partition("/")
    for one in (incident.onset, incident.gravest):
        if one is not None and one.rule == name and one.pack == pack:
            return one
    return None


def _median_s(found: Sequence[int]) -> float | None:
    return round(max(median(found), 0) / 1000, 1) if found else None
