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
from console.shapes import Span, Tile
from console.words import NB, counted, duration, figure
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


def tiles(told: OperationsFigures) -> list[Tile]:
    """The figures as the page of incidents shows them, each with how many it rests on."""

    def time(name: str, value: float | None, count: int) -> Tile:
        figure, _, unit = ("–" if value is None else duration(value)).partition(NB)
        return _tile(name, figure, unit.replace(NB, " "), value, f"mean of {counted(count, 'incident')}")

    def rate(name: str, value: float | None, count: int, noun: str) -> Tile:
        return _tile(name, figure(value, 100, 0), "%", value, f"of {counted(count, noun)}")

    counts = told.counts
    return [
        time("To detect", told.mttd_s, counts.mttd_s),
        time("To answer", told.mtta_s, counts.mtta_s),
        time("To resolve", told.mttr_s, counts.mttr_s),
        rate("Answered in time", told.response_time_compliance, counts.response_time_compliance, "incident"),
        rate("Resolved", told.incident_resolution_rate, counts.incident_resolution_rate, "incident"),
        rate("False alarms", told.false_positive_rate, counts.false_positive_rate, "judgement"),
    ]


def _tile(name: str, figure: str, unit: str, value: float | None, note: str) -> Tile:
    return Tile(name=name, figure=figure, unit=unit, state="nodata" if value is None else "ok", note=note, trend=[])


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
