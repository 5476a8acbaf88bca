"""How incidents are handled: MTTD, MTTA, MTTR and what people judged, from what the notifier keeps. Pure.

Counted are the incidents that opened in the window and that people were told of. Definitions:

- mttd: from the first bad event to its detection, by the alert that opened it
- mtta: from the opening to the first acknowledgement; mttr: from the opening to the end
- compliance: of those that were acknowledged, or whose time is over, those acknowledged within the time that their severity
  gives the first level; what ended by itself before that is not counted, nor what may wait for a business day
- accuracy, false positives: by the judgements of people; whom nobody judged is not counted
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from console.incident_shapes import Counts, OperationsFigures
from console.incidents import detected_ms
from console.readings import Window
from console.shapes import Span
from schemas.incident import Incident


def figures(incidents: Iterable[Incident], window: Window, now_ms: int, *, stale: bool) -> OperationsFigures:
    """The figures of the incidents that opened in the window."""
    told = [one for one in incidents if window.start_ms <= one.opened_ms < window.end_ms and one.said_ms is not None]
    detected = [detected_ms(one) - one.since_ms for one in told if one.onset is not None and one.onset.first_bad_ms is not None]
    taken = [one.acknowledged_ms - one.opened_ms for one in told if one.acknowledged_ms is not None]
    ended = [one.resolved_ms - one.opened_ms for one in told if one.resolved_ms is not None]
    in_time = [answered for one in told if (answered := answered_in_time(one, now_ms)) is not None]
    judged = [judgement for one in told for judgement in one.judgements.values()]
    return OperationsFigures(
        mttd_s=_mean_s(detected),
        mtta_s=_mean_s(taken),
        mttr_s=_mean_s(ended),
        alert_accuracy=_share(judged.count("right"), len(judged)),
        false_positive_rate=_share(judged.count("wrong"), len(judged)),
        response_time_compliance=_share(sum(in_time), len(in_time)),
        incident_resolution_rate=_share(len(ended), len(told)),
        counts=Counts(
            mttd_s=len(detected),
            mtta_s=len(taken),
            mttr_s=len(ended),
            alert_accuracy=len(judged),
            false_positive_rate=len(judged),
            response_time_compliance=len(in_time),
            incident_resolution_rate=len(told),
        ),
        window=Span(start=window.start_ms, end=window.end_ms),
        as_of=now_ms,
        stale=stale,
    )


def answered_in_time(incident: Incident, now_ms: int) -> bool | None:
    """Whether somebody answered within the time of its severity; None where that cannot be said, or not yet."""
    within_s = incident.policy.severities[incident.severity].steps[0].within_s
    if within_s is None:
        return None
    limit = incident.opened_ms + within_s * 1000
    if incident.acknowledged_ms is not None:
        return incident.acknowledged_ms <= limit
    over = incident.resolved_ms if incident.resolved_ms is not None else now_ms
    return False if over > limit else None


def _mean_s(found: Sequence[int]) -> float | None:
    return round(sum(max(one, 0) for one in found) / len(found) / 1000, 1) if found else None


def _share(part: int, of: int) -> float | None:
    return round(part / of, 4) if of else None
