"""How people are asked: who, how soon, through what, and how often. Every figure of the desk is here.

`POLICY` is what ships; each incident carries the one that was in force when it opened. The matrix is that of P0: the primary
has 5 minutes, the secondary is to have answered 15 minutes after the beginning, the team lead after 30, the executive after an
hour. P1 takes three times as long and P2 twelve times, as their times to answer say; P3 goes by business days.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas.incident import LEVELS, Policy, SeverityPolicy, Step
from schemas.severity import SEVERITIES, SeverityName

MINUTE_S, HOUR_S = 60, 3_600

DUE_BY_S = dict(zip(LEVELS, (5 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S, HOUR_S), strict=True))
"""By when each level of a P0 is to have answered, from the beginning."""
REACH: dict[SeverityName, int] = {"critical": 4, "high": 4, "medium": 3, "low": 2}
"""How many levels are asked: nobody's executive is asked about what can wait for an hour."""
QUIET_S: dict[SeverityName, int | None] = {"critical": 30 * MINUTE_S, "high": HOUR_S, "medium": 4 * HOUR_S, "low": None}
MITIGATED_QUIET = 4
"""What is mitigated may be quiet for so many times as long."""
IMPACT_PAYMENTS, IMPACT_MINOR = 50, 1_000_000

TOGETHER_MS = 15 * MINUTE_S * 1000
"""Alerts about one thing are one incident if no more time lies between one and the next, or between its end and the next."""
EXPLAINED_MS = 24 * HOUR_S * 1000
"""An incident that ended longer ago explains nothing."""
STORM_WITHIN_MS, STORM_RULE, STORM_ALL = 5 * MINUTE_S * 1000, 3, 20
"""Once a rule has opened so many incidents within that time, what it tells further is one incident; the same for all rules."""
UPDATE_EVERY_MS = 5 * MINUTE_S * 1000
"""People who know of an incident hear what is new in it at most so often."""
CHANGES_BEFORE_MS, CHANGES_MOST = 30 * MINUTE_S * 1000, 20
SLICE_SHARE = 0.5
"""A slice with this share of what is wrong says what an alert is about."""

MEMBERS_MOST = 200
TIMELINE_HEAD, TIMELINE_TAIL, TIMELINE_CHARS = 50, 200, 100_000
"""Of a long timeline the first entries are kept, and the latest, these with so many characters; all are on the topic."""
TEXT_KEPT = 500
"""Characters of what an alert says."""
SLICES_KEPT, SAMPLES_KEPT, SOURCES_KEPT = 10, 10, 100
"""What is kept of the alert that opened an incident: slices, ids of events, spans of offsets."""
UPDATES_MOST = 50
"""What customers were told, the latest."""
ENTRIES_AT_ONCE = 20
"""Alerts that come at once and are more than this are one entry."""
PAGES_MOST = 100
ACTIONS_KEPT, ACTIONS_MOST = 30, 200
"""Calls of actions that are kept with an incident: the latest, and of those that do the same the last that was begun; and how
many there may be in all."""
OCCASIONS_AT_ONCE = 10
"""One change of an incident calls an action no more often than this."""
COOL_DOWN_LONGEST_S = 24 * HOUR_S
QUIET_CHANNELS = frozenset({"email", "slack", "webhook"})
"""Through these an update goes; the end of an incident also by sms. Nobody is phoned to be told that it is over."""
OUTBOX = "outbox"
"""The channel that is always there, and shows messages as any other would."""
CLOSED_MOST, CLOSED_KEPT_MS = 1_000, 90 * 24 * HOUR_S * 1000
"""So many incidents that are over are kept for so long: the public page has ninety days, and the report of a month tells them
beside those of the month before. All are on the incidents topic."""
SILENCES_MOST, SILENCE_LONGEST_MS, SILENCE_KEPT_MS = 500, 90 * 24 * HOUR_S * 1000, 7 * 24 * HOUR_S * 1000

BusinessEnd = Callable[[int], int]
"""Takes epoch ms, tells when the next business day ends, in epoch ms: of a morning before business opens that day's."""


def _severity(name: SeverityName) -> SeverityPolicy:
    within = SEVERITIES[name].answer_within_s
    levels = LEVELS[: REACH[name]]
    if within is None:
        return SeverityPolicy(SEVERITIES[name].channels, tuple(Step(level, None) for level in levels), QUIET_S[name])
    scale, steps, before = within // DUE_BY_S["primary"], [], 0
    for level in levels:
        steps.append(Step(level, (DUE_BY_S[level] - before) * scale))
        before = DUE_BY_S[level]
    return SeverityPolicy(SEVERITIES[name].channels, tuple(steps), QUIET_S[name])


POLICY = Policy({name: _severity(name) for name in SEVERITIES}, IMPACT_PAYMENTS, IMPACT_MINOR)


def due(within_s: int | None, now_ms: int, business_end: BusinessEnd) -> int:
    """When a time to answer that begins now is over."""
    return business_end(now_ms) if within_s is None else now_ms + within_s * 1000
