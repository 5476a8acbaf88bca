"""Incidents on the first page: the ones that matter now, and what happened so far. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console.incidents import lasted_s, short_title, state_of, worst_first
from console.shapes import HappenedBrief, IncidentBrief
from schemas.incident import Incident
from schemas.severity import SEVERITIES

SHOWN, HAPPENED_SHOWN = 5, 7
_QUIET = frozenset({"delivered", "undelivered", "paged", "silenced"})
"""Of the timeline, what is about messages alone: that is in the room."""


def incidents(known: Sequence[Incident], now_ms: int) -> list[IncidentBrief]:
    return [
        IncidentBrief(
            number=one.number,
            title=short_title(one),
            level=SEVERITIES[one.severity].level,
            state=state_of(one),
            status=one.status,
            since=one.since_ms,
            lasted_s=lasted_s(one, now_ms),
            who=one.assignee,
        )
        for one in worst_first(known)[:SHOWN]
    ]


def happened(known: Sequence[Incident]) -> list[HappenedBrief]:
    """In the worst that is open; nothing while none is."""
    first = next(iter(worst_first(known)), None)
    if first is None or not first.open:
        return []
    entries = [one for one in reversed(first.timeline) if one.kind not in _QUIET]
    return [HappenedBrief(at=one.at_ms, kind=one.kind, text=one.text) for one in entries[:HAPPENED_SHOWN]]
