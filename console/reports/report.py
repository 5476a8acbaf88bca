"""A report: what a period was like, beside the period before. Facts in, the shape out. Pure.

Each figure is a signal of rules/signals.yaml over the whole period. What is not known is null, never zero; several currencies
are never added up; what the tables hold only in part is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from console import kpis
from console.incidents import detected_ms, known_from
from console.kpis import Held
from console.reports.facts import Facts, Part, window_of
from console.reports.money import MINUS
from console.reports.periods import Kind, local
from console.shapes import Mark, Shape, Span, Target
from console.words import NB, counted, duration, grouped, percent
from rollups.tables import HOUR
from rules.signals import Unit, shipped
from schemas.alert import Instant
from schemas.incident import Incident
from schemas.severity import SEVERITIES
from schemas.tables import TABLES, Key

NOISY_FROM = 3
"""A rule that opened so many incidents which were over before anybody took them is noisy."""
REASONS_MOST, PROVIDERS_MOST, INCIDENTS_MOST, RULES_MOST = 8, 20, 50, 20
ENOUGH = 20
"""Payments from which on a rate of theirs is worth a word."""
PAYMENTS = (
    "payment_success_rate",
    "payment_failure_rate",
    "payment_decline_rate",
    "avg_payment_latency",
    "p95_payment_latency",
    "payment_volume",
    "conversion_rate",
)
SYSTEM = (
    "uptime",
    "error_rate",
    "avg_response_time",
    "critical_errors",
    "enrollments_created",
    "reconciliation_differences",
    "duplicate_webhooks",
    "invalid_webhook_signatures",
    "failed_auth_attempts",
    "security_violations",
    "failed_policy_checks",
    "dead_letters",
)
_PAYMENTS = TABLES["payments"]
_OUTCOME, _PROVIDER, _FAULT, _REASON = (
    _PAYMENTS.dimensions.index(name) for name in ("outcome", "provider", "fault", "reason")
)


class Figure(Shape):
    """A signal over the period and over the one before; null where nothing is known."""

    signal: str
    title: str
    unit: Unit
    value: float | None
    before: float | None
    target: Target | None


class Revenue(Shape):
    """Of succeeded payments, in minor units."""

    currency: str
    amount: int
    before: int | None


class Step(Shape):
    """An hour of a day, six hours of a week, a day of a month. Null: nothing is known of it."""

    start: Instant
    payments: int | None
    success_rate: float | None
    p95_latency: float | None = Field(description="seconds")


class ProviderPart(Shape):
    """What went through one provider."""

    provider: str
    payments: int
    success_rate: float | None
    success_before: float | None
    failed: int = Field(description="of technical or unknown fault")
    declined: int
    average_latency: float | None = Field(description="seconds")


class Reason(Shape):
    """Why payments failed. `fault`: technical, business, fraud or unknown."""

    reason: str
    fault: str
    count: int
    share: float = Field(description="of all that failed")


class Mean(Shape):
    """A mean time in seconds, of so many incidents; null of none."""

    seconds: float | None
    of: int


class Operations(Shape):
    """How incidents went that were opened in the period.

    mttd: from the first bad event until its alert told it; mtta: from the opening until somebody took it; mttr: until it was
    over.
    """

    opened: int
    open_now: int
    by_level: dict[str, int]
    mttd: Mean
    mtta: Mean
    mttr: Mean
    never_taken: int = Field(description="over, and nobody had taken them")


class IncidentLine(Shape):
    """One incident, as it was when the report was made."""

    number: int
    title: str
    level: str
    status: str
    since: Instant
    opened: Instant
    acknowledged: Instant | None
    resolved: Instant | None
    failed_payments: int | None
    at_risk: dict[str, int]
    assignee: str | None
    rules: list[str]


class RuleNoise(Shape):
    """What a rule made people look at. `unattended`: incidents that were over before anybody took them."""

    rule: str
    incidents: int
    alerts: int
    unattended: int
    noisy: bool


class Report(Shape):
    """A report. `stale`: newer events of the period may have happened that are not in it. `remarks`: what is held in part."""

    kind: Kind
    name: str
    title: str
    zone: str
    period: Span
    before: Span
    made_at: Instant
    as_of: Instant | None
    over: bool = Field(description="whether the period had ended")
    stale: bool
    state: Mark
    sentence: str
    why: str
    remarks: list[str]
    payments: list[Figure]
    revenue: list[Revenue]
    steps: list[Step]
    providers: list[ProviderPart]
    reasons: list[Reason]
    operations: Operations
    operations_before: Operations | None
    incidents: list[IncidentLine]
    incidents_more: int
    rules: list[RuleNoise]
    system: list[Figure]
    review: list[str]


def report(facts: Facts) -> Report:
    """What the facts say."""
    period, now_ms = facts.period, facts.now_ms
    stale = facts.pulse.as_of_ms is None or facts.pulse.as_of_ms < min(period.end_ms, now_ms - HOUR)
    opened = _opened(facts.incidents, period.start_ms, period.end_ms)
    known_before = known_from(facts.incidents, facts.now_ms) <= period.before.start_ms
    before = _opened(facts.incidents, period.before.start_ms, period.before.end_ms)
    operations = _operations(opened)
    payments = _figures(PAYMENTS, facts.now, facts.before)
    rules = noise(opened)
    providers = _providers(facts)
    remarks = _remarks(facts, stale)
    state, sentence, why = _verdict(facts, payments, operations)
    told = sorted(opened, key=lambda one: (list(SEVERITIES).index(one.severity), one.opened_ms))
    return Report(
        kind=period.kind,
        name=period.name,
        title=f"{period.kind.capitalize()} report, {period.title}",
        zone=period.zone.key,
        period=Span(start=period.start_ms, end=period.end_ms),
        before=Span(start=period.before.start_ms, end=period.before.end_ms),
        made_at=now_ms,
        as_of=facts.pulse.as_of_ms,
        over=now_ms >= period.end_ms,
        stale=stale,
        state=state,
        sentence=sentence,
        why=why,
        remarks=remarks,
        payments=payments,
        revenue=_revenue(facts),
        steps=_steps(facts),
        providers=providers,
        reasons=_reasons(facts.now.held),
        operations=operations,
        operations_before=_operations(before) if known_before or before else None,
        incidents=[_line(one) for one in told[:INCIDENTS_MOST]],
        incidents_more=max(len(told) - INCIDENTS_MOST, 0),
        rules=rules[:RULES_MOST],
        system=_figures(SYSTEM, facts.now, facts.before),
        review=_review(facts, payments, providers, opened, rules, remarks),
    )


# --- figures ----------------------------------------------------------------------------------------------------------


def _figures(names: Iterable[str], now: Part, before: Part) -> list[Figure]:
    return [
        Figure(
            signal=name,
            title=shipped()[name].title,
            unit=shipped()[name].unit,
            value=(value := _value(name, now)),
            before=_value(name, before),
            target=kpis.target(name, value) if name in kpis.TARGETS else None,
        )
        for name in names
    ]


def _value(name: str, part: Part) -> float | None:
    """A count of a period in which nothing came is not zero: nobody counted."""
    return kpis.value(name, part.held) if part.hours else None


def _revenue(facts: Facts) -> list[Revenue]:
    now, before = (_sums(part.held) for part in (facts.now, facts.before))
    return [
        Revenue(currency=name, amount=now.get(name, 0), before=before.get(name, 0) if facts.before.hours else None)
        for name in sorted(now.keys() | before.keys())
    ]


def _sums(held: Held) -> dict[str, int]:
    return {str(group[0]): round(amount or 0) for group, amount in kpis.grouped("revenue", ("currency",), held).items()}


def _steps(facts: Facts) -> list[Step]:
    """Those that have begun. Of a step in which no event of any kind came nothing is known."""
    found = []
    hours = facts.now.hours
    for number, start in enumerate(facts.period.steps):
        if start > facts.now_ms:
            break
        held = facts.now.steps.get(number, {"payments": {}})
        end = facts.period.step_end(number)
        known = any(hour in hours for hour in range(start - start % HOUR, end, HOUR))
        found.append(
            Step(
                start=start,
                payments=round(kpis.value("payment_volume", held) or 0) if known else None,
                success_rate=kpis.value("payment_success_rate", held),
                p95_latency=kpis.value("p95_payment_latency", held),
            )
        )
    return found


def _providers(facts: Facts) -> list[ProviderPart]:
    """Those that had payments, the worst first."""
    by = ("provider",)
    volume = kpis.grouped("payment_volume", by, facts.now.held)
    success, failing = (
        kpis.grouped(name, by, facts.now.held) for name in ("payment_success_rate", "payment_failure_rate")
    )
    declines, latency = (
        kpis.grouped(name, by, facts.now.held) for name in ("payment_decline_rate", "avg_payment_latency")
    )
    before = kpis.grouped("payment_success_rate", by, facts.before.held)
    found = [
        ProviderPart(
            provider=str(group[0]),
            payments=round(count),
            success_rate=success[group],
            success_before=before.get(group),
            failed=round((failing[group] or 0) * count),
            declined=round((declines[group] or 0) * count),
            average_latency=latency[group],
        )
        for group, count in volume.items()
        if count
    ]
    return sorted(found, key=lambda one: (one.success_rate or 0, one.provider))[:PROVIDERS_MOST]


def _reasons(held: Held) -> list[Reason]:
    """The most frequent."""
    found: Counter[tuple[str, str]] = Counter()
    for key, cell in held["payments"].items():
        if key[_OUTCOME] == "failed":
            found[_text(key, _REASON), _text(key, _FAULT)] += cell.count
    failed = found.total()
    return [
        Reason(reason=reason, fault=fault, count=count, share=count / failed)
        for (reason, fault), count in sorted(found.items(), key=lambda one: (-one[1], one[0]))[:REASONS_MOST]
    ]


def _text(key: Key, at: int) -> str:
    return "not said" if key[at] is None else str(key[at])


# --- incidents --------------------------------------------------------------------------------------------------------


def _opened(incidents: Iterable[Incident], start_ms: int, end_ms: int) -> list[Incident]:
    """Those that were opened in a period and that people were told of."""
    return [one for one in incidents if start_ms <= one.opened_ms < end_ms and one.said_ms is not None]


def _operations(opened: Sequence[Incident]) -> Operations:
    levels = Counter(SEVERITIES[one.severity].level for one in opened)
    return Operations(
        opened=len(opened),
        open_now=sum(one.open for one in opened),
        by_level={level: levels[level] for level in ("P0", "P1", "P2", "P3")},
        mttd=_mean(detected_ms(one) - one.since_ms for one in opened),
        mtta=_mean(one.acknowledged_ms - one.opened_ms for one in opened if one.acknowledged_ms is not None),
        mttr=_mean(one.resolved_ms - one.opened_ms for one in opened if one.resolved_ms is not None and not one.open),
        never_taken=sum(_unattended(one) for one in opened),
    )


def _mean(times_ms: Iterable[int]) -> Mean:
    found = [max(one, 0) / 1000 for one in times_ms]
    return Mean(seconds=round(sum(found) / len(found), 3) if found else None, of=len(found))


def _unattended(one: Incident) -> bool:
    return not one.open and one.acknowledged_ms is None


def _line(one: Incident) -> IncidentLine:
    return IncidentLine(
        number=one.number,
        title=one.title,
        level=SEVERITIES[one.severity].level,
        status=one.status,
        since=one.since_ms,
        opened=one.opened_ms,
        acknowledged=one.acknowledged_ms,
        resolved=None if one.open else one.resolved_ms,
        failed_payments=None if one.impact is None else one.impact.failed_payments,
        at_risk={} if one.impact is None else dict(one.impact.at_risk),
        assignee=one.assignee,
        rules=list(one.rules),
    )


def noise(opened: Iterable[Incident]) -> list[RuleNoise]:
    """By rule, the noisiest first."""
    incidents: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    unattended: Counter[str] = Counter()
    for one in opened:
        incidents.update(one.rules)
        for member in one.members:
            alerts[member.rule] += max(len(member.ids), 1)
        if _unattended(one):
            unattended.update(one.rules)
    found = [
        RuleNoise(
            rule=rule,
            incidents=count,
            alerts=alerts[rule],
            unattended=unattended[rule],
            noisy=unattended[rule] >= NOISY_FROM and 2 * unattended[rule] > count,
        )
        for rule, count in incidents.items()
    ]
    return sorted(found, key=lambda one: (-one.unattended, -one.incidents, one.rule))


# --- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Missed:
    figure: Figure

    @property
    def words(self) -> str:
        one = self.figure
        assert one.target is not None
        side, limit = ("above", one.target.above) if one.target.above is not None else ("below", one.target.below)
        return f"{one.title} {written(one.unit, one.value)}, target {side} {written(one.unit, limit)}"


def _verdict(facts: Facts, payments: Sequence[Figure], operations: Operations) -> tuple[Mark, str, str]:
    """The state, the sentence that says how the period was, and the line below it."""
    by_name = {one.signal: one for one in payments}
    success, volume = by_name["payment_success_rate"], by_name["payment_volume"]
    so_far = "" if facts.now_ms >= facts.period.end_ms else " so far"
    if not facts.now.hours:
        return "nodata", f"Nothing is known of {facts.period.title}.", "No event of it is in the tables."
    if success.value is None:
        return "nodata", f"No payment finished{so_far}.", _of_incidents(operations)
    missed = [one for one in payments if one.target is not None and one.target.met is False]
    failed, declined = (percent(by_name[name].value) for name in ("payment_failure_rate", "payment_decline_rate"))
    words = [
        success_words(success.value, success.before),
        f"{failed} failed, {declined} were declined",
        f"{grouped(round(volume.value or 0))} payments{_change(volume)}",
    ]
    why = f"{'. '.join(words)}. {_of_incidents(operations)}"
    if success.target is not None and success.target.met is False:
        return (
            "failing",
            f"Too many payments did not succeed{so_far}: {percent(success.value)}, target above 95{NB}%.",
            why,
        )
    if missed:
        names = " and ".join(_Missed(one).words for one in missed[:2])
        return "degraded", f"Customers could pay{so_far}. {names[:1].upper()}{names[1:]}.", why
    judged = all(one.target is None or one.target.met is not None for one in payments)
    met = "every target was met" if judged else "every target that can be judged was met"
    if operations.by_level["P0"]:
        grave = counted(operations.by_level["P0"], "critical incident")
        return "degraded", f"Customers could pay{so_far}, but for {grave}; {met}.", why
    return "ok", f"Customers could pay{so_far}. Success {percent(success.value)}, and {met}.", why


def success_words(now: float, before: float | None) -> str:
    """`Success 97.2 %, +0.4 pt against the period before`."""
    if before is None:
        return f"Success {percent(now)}"
    return f"Success {percent(now)}, {points(now - before)} against the period before"


def points(difference: float) -> str:
    """The change of a share: `+0.4 pt`, with a true minus sign."""
    return f"{signed(difference * 100, 1)}{NB}pt"


def signed(number: float, places: int) -> str:
    """With its sign, a true minus: `+12`, `-0.4`, `±0`."""
    told = round(number, places)
    sign = "+" if told > 0 else MINUS if told < 0 else "±"
    return f"{sign}{abs(told):.{places}f}"


def changed(now: float, before: float) -> str:
    """By how much a count changed, as a share of what it was."""
    return f"{signed((now - before) / before * 100, 0)}{NB}%"


def _change(one: Figure) -> str:
    if one.value is None or not one.before:
        return ""
    return f", {changed(one.value, one.before)} against the period before"


def _of_incidents(operations: Operations) -> str:
    if not operations.opened:
        return "No incident."
    taken = "" if operations.mttr.seconds is None else f", over after {duration(operations.mttr.seconds)} in the mean"
    return f"{counted(operations.opened, 'incident')}{taken}."


def written(unit: Unit, value: float | None) -> str:
    """A figure as people read it."""
    if value is None:
        return "–"
    if unit == "ratio":
        return percent(value)
    if unit == "percent":
        return f"{value:.0f}{NB}%"
    if unit == "s":
        return f"{value * 1000:.0f}{NB}ms" if value < 1 else f"{value:.1f}{NB}s" if value < 60 else duration(value)
    return grouped(round(value))


def _remarks(facts: Facts, stale: bool) -> list[str]:
    """What of the period is not known, or only in part."""
    period, zone = facts.period, facts.period.zone
    found = []
    if facts.now_ms < period.end_ms:
        found.append(f"The period is not over: it is told up to {_clock(facts.now_ms, facts)}.")
    if stale and facts.pulse.as_of_ms is not None:
        found.append(f"Events after {_clock(facts.pulse.as_of_ms, facts)} may be missing: {facts.pulse.detail}.")
    elif stale:
        found.append(f"Whether all events of it are counted is not known: {facts.pulse.detail}.")
    for name, one, part in (("The period", period, facts.now), ("The period before", period.before, facts.before)):
        until = min(one.end_ms, facts.now_ms)
        window = window_of(one, facts.now_ms)
        hours = range(window.start_ms - window.start_ms % HOUR, min(until, window.end_ms), HOUR)
        first = facts.first_ms
        if not part.hours:
            found.append(f"{name} ({one.title}) is not in the tables.")
            continue
        if first is not None and first >= one.start_ms + HOUR:
            found.append(f"{name} is held from {_clock(first, facts)} on; nothing is known of it before.")
        missing = sum(hour not in part.hours for hour in hours if first is None or hour >= first)
        if missing:
            found.append(f"{name} has {counted(missing, 'hour')} in which no event of any kind came.")
    if (
        any(one.start_ms % HOUR for one in (period, period.before))
        and period.before.start_ms < facts.now_ms - 2 * 24 * HOUR
    ):
        found.append(
            f"Days of {zone.key} begin within an hour of UTC; days that are over for long are told in whole hours."
        )
    kept_from = known_from(facts.incidents, facts.now_ms)
    if kept_from > period.start_ms:
        found.append(f"Incidents that were over before {_clock(kept_from, facts)} are not kept any more.")
    return found


def _clock(ms: int, facts: Facts) -> str:
    at = local(ms, facts.period.zone)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def _review(
    facts: Facts,
    payments: Sequence[Figure],
    providers: Sequence[ProviderPart],
    opened: Sequence[Incident],
    rules: Sequence[RuleNoise],
    remarks: Collection[str],
) -> list[str]:
    """What somebody should look at, what hurts customers most first."""
    system = {one.signal: one.value for one in _figures(SYSTEM, facts.now, facts.before)}
    found = [
        f"{words[:1].upper()}{words[1:]}: see the providers and reasons below."
        for one in payments
        if one.target is not None and one.target.met is False and (words := _Missed(one).words)
    ]
    found += [
        f"{one.provider}: success {percent(one.success_rate)}, {points(one.success_rate - one.success_before)} against the "
        "period before."
        for one in providers
        if one.success_rate is not None
        and one.success_before is not None
        and one.payments >= ENOUGH
        and one.success_before - one.success_rate >= 0.02
    ]
    still = [one for one in facts.incidents if one.open]
    if still:
        nobody = sum(one.assignee is None and one.acknowledged_ms is None for one in still)
        whose = f"{nobody} of them taken by nobody" if nobody else "each taken by somebody"
        found.append(f"{counted(len(still), 'incident')} open, {whose}.")
    unreviewed = [one for one in opened if one.status == "resolved" and SEVERITIES[one.severity].level in ("P0", "P1")]
    if unreviewed:
        numbers = ", ".join(f"#{one.number}" for one in unreviewed[:8])
        found.append(
            f"Look back at {numbers}{' and others' if len(unreviewed) > 8 else ''}: resolved, not yet reviewed."
        )
    found += [
        f"{one.rule} is noisy: {one.unattended} of its {counted(one.incidents, 'incident')} were over before anybody took "
        "them. Raise its threshold, or let it hold for longer."
        for one in rules
        if one.noisy
    ]
    if system["dead_letters"]:
        found.append(
            f"{counted(round(system['dead_letters']), 'event')} could not be used: 'tillwatch deadletters' says why."
        )
    if system["reconciliation_differences"]:
        found.append(
            f"{counted(round(system['reconciliation_differences']), 'difference')} from the providers' records."
        )
    if system["invalid_webhook_signatures"]:
        number = counted(round(system["invalid_webhook_signatures"]), "webhook")
        found.append(f"{number} with an invalid signature: is a secret out of date, or does somebody try?")
    long = [one for one in facts.silences if one.phase != "over" and one.end_ms - one.start_ms > 7 * 24 * HOUR]
    if long:
        found.append(f"{counted(len(long), 'silence')} of more than a week: is the reason still true?")
    if len(remarks) and not facts.before.hours:
        found.append("There is no period before to compare with.")
    return found
