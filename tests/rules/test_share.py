"""Shares of what is counted apart: conversion by the time of initiation, enrollments of paid payments."""

from __future__ import annotations

import pytest

from rules.loader import read
from tests.support.desk import START_S, Desk, rule, rules
from tests.support.events import Event, event, rfc3339, succeeded, usage
from tests.support.packs import marked

CONVERSION = "conversion_rate < 80% over 15 minutes"
MINUTE = 60.0


def begun(at: float, n: int, paid: int) -> list[Event]:
    """n payments that begin one second apart, of which some succeed 20 s later."""
    events = [(at + i, event("payment.initiated", at + i)) for i in range(n)]
    events += [(at + i + 20, succeeded(at + i + 20, initiated_at=rfc3339(at + i))) for i in range(paid)]
    return [one for _, one in sorted(events, key=lambda item: item[0])]


def enrolled(at: float, step: str = "created") -> Event:
    return event(f"enrollment.{step}", at)


def test_conversion_is_judged_half_an_hour_after_the_payments_were_begun() -> None:
    desk = Desk(rule(CONVERSION, no_data="hold"))
    desk.play(begun(START_S, 60, 30))
    assert desk.wait(28 * MINUTE) == []
    (alert,) = desk.wait(10 * MINUTE)
    assert alert.transition == "firing" and not alert.data.historical and not alert.data.late
    said = "30 of 45 payments begun succeeded in 15 minutes, 30 minutes ago (66.7 %); upper bound 78.6 % < 80 %"
    assert alert.data.arithmetic == said
    assert alert.data.threshold == 0.8 and alert.data.unit == "ratio"
    began = START_S * 1000
    assert began - 15 * 60_000 < alert.data.window.start < alert.data.window.end <= began + 70_000
    assert alert.data.first_bad_at >= began + 30 * 60_000


def test_payments_that_succeed_late_count_when_they_were_begun() -> None:
    """At 20 s each has still to succeed, and that is no alert; nor is the last minute, which has had no time yet."""
    desk = Desk(rule(CONVERSION, no_data="hold"))
    desk.play(begun(START_S, 60, 57))
    assert desk.wait(40 * MINUTE) == []


def test_conversion_that_is_back_resolves() -> None:
    desk = Desk(rule("conversion_rate < 80% over 1 minute", no_data="hold"))
    desk.play(begun(START_S, 60, 20))
    desk.wait(3 * MINUTE)
    desk.play(begun(START_S + 5 * MINUTE, 60, 58))
    desk.wait(40 * MINUTE)
    assert desk.told == ["rule firing", "rule resolved"]
    said = "5 of 5 payments begun succeeded in 1 minute, 30 minutes ago: 100 % ≥ 80 %"
    assert desk.alerts[1].data.arithmetic == said


def test_another_judge_goes_on_with_it() -> None:
    desk = Desk(rule(CONVERSION, no_data="hold"))
    desk.play(begun(START_S, 60, 30))
    desk.wait(20 * MINUTE)
    desk.restart()
    desk.wait(12 * MINUTE)
    assert desk.told == ["rule firing"]
    desk.restart()
    desk.wait(5 * MINUTE)
    assert desk.told == ["rule firing"]


def test_who_paid_and_was_not_enrolled_is_missed() -> None:
    desk = Desk(rule("enrollment_rate < 90% over 5 minutes", no_data="hold"))
    desk.play([one for i in range(60) for one in (succeeded(START_S + i), enrolled(START_S + i + 0.2))])
    desk.wait(6 * MINUTE)
    assert desk.told == []
    start = desk.now
    desk.play([succeeded(start + i) for i in range(60)])
    desk.wait(2 * MINUTE)
    (alert,) = desk.alerts
    assert "paid payments were enrolled in 5 minutes" in alert.data.arithmetic
    assert {one.topic for one in alert.data.evidence.offsets} == {"t.payments.v1"}


def test_where_nobody_is_ever_enrolled_nobody_is_missed() -> None:
    """An installation that sells something else."""
    desk = Desk(rule("enrollment_rate < 90% over 5 minutes", no_data="hold"))
    desk.play([succeeded(START_S + i) for i in range(60)])
    assert desk.wait(10 * MINUTE) == []


def test_more_than_there_should_be_is_no_alert_and_no_error() -> None:
    """Payments whose enrollments are all in the window, and those of payments before it."""
    desk = Desk(rule("enrollment_rate < 90% over 1 minute", no_data="hold"))
    desk.play([one for i in range(30) for one in (succeeded(START_S + i), enrolled(START_S + i), enrolled(START_S + i))])
    desk.wait(2 * MINUTE)
    assert desk.told == []


@pytest.mark.parametrize(
    ("created", "granted", "told"), [(4, 0, []), (5, 3, []), (20, 4, ["rule firing"]), (20, 19, [])]
)
def test_a_share_needs_enough_to_be_sure(created: int, granted: int, told: list[str]) -> None:
    """At least `min_events` of them, three missing, and the bound of the interval beyond the threshold."""
    desk = Desk(rule("access_grant_rate < 90% over 1 minute", no_data="hold"))
    desk.play([enrolled(START_S + i / 10) for i in range(created)])
    desk.play([enrolled(START_S + 2 + i / 10, "access_granted") for i in range(granted)])
    desk.wait(2 * MINUTE)
    assert desk.told == told


def test_a_share_above_a_threshold_is_judged_too() -> None:
    desk = Desk(rule("access_grant_rate > 50% over 1 minute", no_data="hold"))
    desk.play([one for i in range(40) for one in (enrolled(START_S + i / 10), enrolled(START_S + i / 10, "access_granted"))])
    desk.wait(2 * MINUTE)
    assert desk.told == ["rule firing"]


def test_a_share_is_one_of_several_tests() -> None:
    desk = Desk(rule("access_grant_rate < 90% over 1 minute and enrollments_created > 10 in 1 minute"))
    desk.play([enrolled(START_S + i / 10) for i in range(40)])
    desk.wait(2 * MINUTE)
    assert desk.told == ["rule firing", "rule resolved"]


def test_a_rush_that_has_just_begun_is_no_alert() -> None:
    """Ten payments a second after none: of the last three seconds' nobody is enrolled yet."""
    desk = Desk(rule("enrollment_rate < 90% over 15 minutes", no_data="hold"))
    paid = [(START_S + i / 10, succeeded(START_S + i / 10)) for i in range(1_200)]
    then = [(at + 3, enrolled(at + 3)) for at, _ in paid]
    desk.play([one for _, one in sorted([*paid, *then], key=lambda item: item[0])], every_s=1.0)
    assert desk.wait(5 * MINUTE) == []


def test_groups_are_those_of_both() -> None:
    found = rule("conversion_rate < 80% over 1 minute", by=["provider"], no_data="hold")
    desk = Desk(found)
    events = [event("payment.initiated", START_S + i, provider="ozow") for i in range(30)]
    good = [
        one
        for i in range(30)
        for one in (
            event("payment.initiated", START_S + 30 + i, provider="peach"),
            succeeded(START_S + 30 + i, provider="peach"),
        )
    ]
    desk.play([*events, *good])
    desk.wait(35 * MINUTE)
    assert [(alert.transition, alert.data.group) for alert in desk.alerts] == [("firing", {"provider": "ozow"})]


BROKEN = {
    "a baseline": ("conversion_rate < ▲50% of baseline for 15 minutes", "not a share of a baseline"),
    "both spans": ("conversion_rate < 80% over 15 minutes for ▲5 minutes", "takes 'over' or 'for', not both"),
    "too far back": ("▲conversion_rate < 80% over 4 hours", "30 minutes of delay included"),
    "a dimension that is fixed": ("conversion_rate{▲outcome=failed} < 80% over 1 minute", "outcome can only be initiated"),
    "a dimension of the one table alone": (
        "enrollment_rate{▲provider=ozow} < 80% over 1 minute", "enrollment_rate has no dimension 'provider'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_share_cannot_be_asked_is_told(case: str) -> None:
    text, places = marked(f"p:\n  r: {{severity: high, condition: '{BROKEN[case][0]}'}}\n")
    (problem,) = read([("pack.yaml", text)]).problems
    assert [(problem.line, problem.column)] == places
    assert BROKEN[case][1] in problem.text


def test_the_latest_value_counts_without_a_span() -> None:
    signal = """
memory_now: {title: memory in use now, table: resources, aggregate: last, where: {resource: memory}, measure: value,
  by: [host], unit: percent, all: samples, one: sample}
"""
    found = read([("p.yaml", "p: {r: {condition: memory_now > 90%, severity: high}}")], signals=[("signals.yaml", signal)])
    assert found.problems == ()
    desk = Desk(found)
    desk.put(usage(START_S, "memory", 89.0, host="a"), usage(START_S, "memory", 50.0, host="b"))
    desk.put(usage(START_S + 10, "memory", 91.0, host="a"))
    assert desk.told == ["r firing"]
    desk.put(usage(START_S + 20, "memory", 60.0, host="a"))
    desk.now += 20
    desk.wait(60)
    assert desk.told == ["r firing", "r resolved"]
    bad = read(
        [("p.yaml", "p: {r: {condition: memory_now > 90% for 5 minutes, severity: high}}")],
        signals=[("signals.yaml", signal)],
    )
    assert [problem.text for problem in bad.problems] == ["memory_now is the latest value: it takes no span"]


def test_a_value_that_is_absent_can_be_asked_for() -> None:
    desk = Desk(rules("p: {r: {condition: payment_completion_rate < 95% over 1 minute, severity: low}}"))
    declines = [event("payment.failed", START_S + i, fault="business", reason="x") for i in range(30)]
    desk.play([*declines, *(succeeded(START_S + 30 + i) for i in range(20))])
    assert desk.told == []
    desk.play([event("payment.failed", START_S + 50 + i, fault="technical", reason="x") for i in range(9)])
    assert desk.told == ["r firing"]
