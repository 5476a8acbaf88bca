"""From what is written to what is judged: tables, filters, groups, thresholds."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rules.judges.average import AverageJudge
from rules.judges.baseline import BaselineJudge
from rules.judges.compound import Leaf
from rules.judges.count import BelowJudge, CountJudge, SpanlessJudge
from rules.judges.gauge import GaugeJudge
from rules.judges.hold import HoldJudge
from rules.judges.ratio import RatioJudge
from rules.judges.streak import StreakJudge
from rules.loader import load, read
from rules.rule import Rule
from rules.signals import shipped
from schemas.severity import SEVERITIES
from tests.support.desk import rule


def made(condition: str, **keys: object) -> Rule:
    (found,) = rule(condition, **keys).rules
    return found


def judge(condition: str, **keys: object) -> object:
    verdict = made(condition, **keys).verdict
    assert isinstance(verdict, Leaf)
    return verdict.judge


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("payment_failure_rate > 5% for 5 minutes", RatioJudge),
        ("payment_failure_rate > 5% over 5 minutes for 1 minute", HoldJudge),
        ("avg_payment_latency > 10 s for 5 minutes", AverageJudge),
        ("p95_payment_latency > 10 s for 5 minutes", AverageJudge),
        ("revenue > 100 over 1 hour", AverageJudge),
        ("revenue < 100 over 1 hour", BelowJudge),
        ("payment_volume < 5 for 5 minutes", BelowJudge),
        ("failed_auth_attempts > 5 in 5 minutes", CountJudge),
        ("security_violations > 0", SpanlessJudge),
        ("cpu_usage > 85%", GaugeJudge),
        ("cpu_usage > 85% for 5 minutes", GaugeJudge),
        ("health_check_failures > 3 consecutive", StreakJudge),
        ("payment_volume < 50% of baseline for 15 minutes", BaselineJudge),
    ],
)
def test_each_kind_of_question_has_its_judge(condition: str, kind: type) -> None:
    assert isinstance(judge(condition), kind)


def test_a_rule_groups_as_its_signal_does_unless_it_says_otherwise() -> None:
    assert made("cpu_usage > 85% for 5 minutes").by == ("host",)
    assert made("cpu_usage > 85% for 5 minutes", by=[]).by == ()
    assert made("payment_volume < 5 for 5 minutes", by=["provider", "method"]).by == ("provider", "method")
    assert made("payment_volume < 5 for 5 minutes", by="provider").by == ("provider",)


def test_the_table_is_the_first_that_has_what_is_asked_for() -> None:
    assert made("failed_auth_attempts > 5 in 5 minutes").parts[0].query.table == "security"
    assert made("failed_auth_attempts > 5 in 5 minutes", by=["actor"]).parts[0].query.table == "actors"
    assert made("failed_auth_attempts{actor=x} > 5 in 5 minutes").parts[0].query.table == "actors"
    assert made("failed_auth_attempts > 5 in 5 minutes", where={"component": "api"}).parts[0].query.table == "security"


def test_filters_narrow_what_a_signal_looks_at() -> None:
    query = made("payment_volume{provider=x} < 5 for 5 minutes", where={"method": "card"}).parts[0].query
    assert dict(query.where) == {"outcome": ("succeeded", "failed"), "provider": ("x",), "method": ("card",)}
    assert dict(made("critical_errors{critical=true} > 1 in 5 minutes").parts[0].query.where)["critical"] == (True,)
    assert dict(made("customer_satisfaction{score=5} > 1% over 1 hour").parts[0].query.where)["score"] == (5,)


@pytest.mark.parametrize(
    ("condition", "resolve", "compared"),
    [
        ("payment_failure_rate > 5% for 5 minutes", None, (">", Fraction(5, 100))),
        ("payment_failure_rate > 5% for 5 minutes", "3%", (">", Fraction(3, 100))),
        ("payment_failure_rate > 5% for 5 minutes", "< 3%", (">=", Fraction(3, 100))),
        ("payment_failure_rate >= 5% for 5 minutes", "3%", (">=", Fraction(3, 100))),
        ("payment_success_rate < 95% for 5 minutes", "97%", ("<", Fraction(97, 100))),
        ("payment_success_rate < 95% for 5 minutes", "> 97%", ("<=", Fraction(97, 100))),
        ("payment_success_rate < 95% for 5 minutes", "payment_success_rate >= 97%", ("<", Fraction(97, 100))),
        ("cpu_usage > 85% for 5 minutes", "70%", (">", Fraction(70))),
        ("failed_auth_attempts > 10 in 5 minutes", "5", (">", Fraction(5))),
        ("avg_payment_latency > 10 s for 5 minutes", "8000 ms", (">", Fraction(8))),
    ],
)
def test_on_the_way_down_it_is_compared_with_resolve(condition: str, resolve: str | None, compared: object) -> None:
    found = judge(condition, **({} if resolve is None else {"resolve": resolve}))
    assert isinstance(found, RatioJudge | AverageJudge | CountJudge | GaugeJudge)
    assert found.resolve == compared


@pytest.mark.parametrize("name", shipped())
def test_every_signal_can_be_used_in_a_rule(name: str) -> None:
    signal = shipped()[name]
    limit = {"ratio": "50%", "percent": "50%", "s": "5 seconds"}.get(signal.unit, "5")
    spans = {"streak": "consecutive", "max": "for 5 minutes", "daily": "in 24 hours", "silence": ""}
    span = spans.get(signal.aggregate, "over 5 minutes")
    sign = "<" if signal.aggregate == "completeness" else ">"
    found = made(f"{name} {sign} {limit} {span}")
    assert found.parts[0].signal is signal
    assert set(found.by) == set(signal.by)


def test_min_events_and_confidence_reach_the_judge() -> None:
    plain, strict = judge("payment_failure_rate > 5% for 5 minutes"), judge(
        "payment_failure_rate > 5% for 5 minutes", min_events=20, confidence=0
    )
    assert isinstance(plain, RatioJudge) and isinstance(strict, RatioJudge)
    assert plain.min_events == 5 and plain.z == pytest.approx(1.96, abs=0.001)
    assert strict.min_events == 20 and strict.z == 0


@pytest.mark.parametrize("bucket_ms", [1_000, 2_000, 5_000, 10_000])
def test_the_shipped_packs_load_with_buckets_of_any_width_that_divides_their_windows(bucket_ms: int) -> None:
    problems = load(bucket_ms=bucket_ms).problems
    # A window of 5 s is no multiple of 10 s or of 2 s: that is told, and the others load.
    assert len(problems) == (1 if 5_000 % bucket_ms else 0)


def test_a_condition_of_several_tests_keeps_their_order() -> None:
    found = made("security_violations > 0 or (failed_auth_attempts > 5 in 5 minutes and blocked_requests > 3 in 5 minutes)")
    assert [part.signal.name for part in found.parts] == ["security_violations", "failed_auth_attempts", "blocked_requests"]


def test_severity_gives_the_channels_that_the_rule_does_not_name() -> None:
    rules = [f"  {name}: {{condition: security_violations > 0, severity: {name}}}\n" for name in SEVERITIES]
    text = "p:\n" + "".join(rules)
    channels = {one.name: one.channels for one in read([("p.yaml", text)]).rules}
    assert channels == {
        "critical": ("phone", "sms", "email", "slack", "webhook"),
        "high": ("email", "slack", "webhook"),
        "medium": ("email", "slack"),
        "low": ("email",),
    }
