"""What is said: sentences that a person can read aloud, and numbers that never contradict what they are said for."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.judges.base import COMPARE, Reading
from rules.loader import load
from rules.rule import Part, Rule
from rules.words import amount, arithmetic, definition, ends, explain, summary, threshold
from tests.support.desk import rule


def made(condition: str, **keys: Any) -> Rule:
    (found,) = rule(condition, **keys).rules
    return found


def part(condition: str, **keys: Any) -> Part:
    return made(condition, **keys).parts[0]


def read(value: float | str | Fraction, n: int, k: int | None = None, bound: float | None = None) -> Reading:
    return Reading(Fraction(value), 0, 300_000, n, k, bound)


# --- the arithmetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "reading", "words"),
    [
        (
            "payment_failure_rate > 50% over 10 seconds",
            read(Fraction(41, 66), 66, 41, 0.5012),
            "41 of 66 payments failed in 10 seconds (62.1 %); lower bound 50.1 % > 50 %",
        ),
        (
            "payment_failure_rate > 5% for 5 minutes",
            read(Fraction(6, 56), 56, 6, 0.050012),
            "6 of 56 payments failed in 5 minutes (10.7 %); lower bound 5.001 % > 5 %",
        ),
        (
            "payment_failure_rate > 5% for 5 minutes",
            read(Fraction(1, 2), 1_234, 617),
            "617 of 1,234 payments failed in 5 minutes: 50 % > 5 %",
        ),
        (
            "payment_success_rate < 95% for 5 minutes",
            read(Fraction(90, 100), 100, 90, 0.9447),
            "90 of 100 payments succeeded in 5 minutes (90 %); upper bound 94.5 % < 95 %",
        ),
        ("failed_auth_attempts > 10 in 5 minutes", read(11, 11), "11 failed sign-ins in 5 minutes > 10"),
        ("failed_auth_attempts > 0 in 1 minute", read(1, 1), "1 failed sign-in in 1 minute > 0"),
        ("security_violations > 0", read(1, 1), "1 security violation > 0"),
        ("security_violations > 0", read(2, 2), "2 security violations > 0"),
        ("health_check_failures > 3 consecutive", read(4, 4), "4 health checks in a row failed > 3"),
        ("payment_volume < 1000 for 1 hour", read(999, 999), "999 finished payments in 1 hour < 1,000"),
        (
            "avg_payment_latency > 10 seconds for 3 minutes",
            read("10.0002", 5),
            "average payment latency 10.0002 s > 10 s (5 payments in 3 minutes)",
        ),
        (
            "avg_response_time > 250 ms for 3 minutes",
            read("0.2504", 1),
            "average response time 250.4 ms > 250 ms (1 request in 3 minutes)",
        ),
        (
            "approval_time > 2 hours over 4 hours",
            read(9_000, 12),
            "average time to approve an enrollment 2.5 h > 2 h (12 approvals in 4 hours)",
        ),
        ("cpu_usage > 85% for 5 minutes", read("85.04", 30), "all 30 samples in 5 minutes > 85 %, the latest 85.04 %"),
        ("cpu_usage > 85%", read(91, 1), "CPU in use 91 % > 85 %"),
        (
            "revenue > 100000 over 1 hour",
            read(123_456, 3),
            "revenue 123,456 > 100,000 (3 payments in 1 hour; in minor units)",
        ),
    ],
)
def test_how_a_verdict_was_reached(condition: str, reading: Reading, words: str) -> None:
    assert arithmetic(part(condition), reading) == words


@pytest.mark.parametrize(
    ("condition", "resolve", "reading", "words"),
    [
        (
            "payment_failure_rate > 5% for 5 minutes", None, read("0.0495", 2_000, 99),
            "99 of 2,000 payments failed in 5 minutes: 5.0 % ≤ 5 %",
        ),
        (
            "payment_failure_rate > 5% for 5 minutes", "3%", read("0.029", 1_000, 29),
            "29 of 1,000 payments failed in 5 minutes: 2.9 % ≤ 3 %",
        ),
        (
            "payment_failure_rate > 5% for 5 minutes", "< 3%", read("0.02996", 1_000, 30),
            "30 of 1,000 payments failed in 5 minutes: 2.996 % < 3 %",
        ),
        ("failed_auth_attempts > 10 in 5 minutes", None, read(10, 10), "10 failed sign-ins in 5 minutes ≤ 10"),
        ("failed_auth_attempts > 10 in 5 minutes", None, read(0, 0), "0 failed sign-ins in 5 minutes ≤ 10"),
        ("security_violations > 0", None, read(0, 0), "no security violation for 5 minutes"),
        ("health_check_failures > 3 consecutive", None, None, "a health check succeeded"),
        ("cpu_usage > 85% for 5 minutes", None, read(72, 1), "CPU in use 72 % ≤ 85 %"),
        ("cpu_usage > 85% for 5 minutes", "70%", read(69, 1), "CPU in use 69 % ≤ 70 %"),
        (
            "avg_payment_latency > 10 seconds for 3 minutes", "8 seconds", read("7.5", 9),
            "average payment latency 7.5 s ≤ 8 s (9 payments in 3 minutes)",
        ),
        ("payment_volume < 100 for 1 hour", None, read(100, 100), "100 finished payments in 1 hour ≥ 100"),
    ],
)  # fmt: skip
def test_how_it_was_over(condition: str, resolve: str | None, reading: Reading | None, words: str) -> None:
    keys = {} if resolve is None else {"resolve": resolve}
    assert arithmetic(part(condition, **keys), reading, over=True) == words


def test_what_is_not_the_case_is_said_so() -> None:
    assert arithmetic(part("not payment_volume > 5 for 5 minutes"), None) == "payment_volume is not > 5"


@pytest.mark.parametrize(
    ("value", "comparison", "limit", "text"),
    [
        ("0.0495", "<", "0.05", "4.95 %"),
        ("0.0499999", "<", "0.05", "4.99999 %"),
        ("0.0500001", ">", "0.05", "5.00001 %"),
        ("0.05", ">=", "0.05", "5 %"),
        ("0.0512", ">", "0.05", "5.1 %"),
        ("0.0004", "<", "0.05", "0.04 %"),
    ],
)
def test_a_rounded_number_never_contradicts_the_comparison(value: str, comparison: str, limit: str, text: str) -> None:
    one = part("payment_failure_rate > 5% for 5 minutes")
    assert amount(one, Fraction(value), comparison, Fraction(limit)) == text


@given(
    st.fractions(0, 1, max_denominator=10**6), st.fractions(0, 1, max_denominator=1_000), st.sampled_from(sorted(COMPARE))
)
def test_whatever_the_numbers_are(value: Fraction, limit: Fraction, comparison: str) -> None:
    limit = Fraction(f"{float(limit):.4f}")  # as people write them
    if COMPARE[comparison](value, limit):
        one = part("payment_failure_rate > 5% for 5 minutes")
        said = Fraction(amount(one, value, comparison, limit).removesuffix(" %")) / 100
        assert COMPARE[comparison](said, limit)


# --- the sentence -----------------------------------------------------------------------------------------------------


def test_the_sentence_names_the_rule_and_the_group() -> None:
    named = made("payment_failure_rate > 50% over 10 seconds", summary="Most payments fail.", by=["provider", "method"])
    words = "5 of 5 payments failed in 10 seconds: 100 % > 50 %"
    group = {"provider": "ikhokha", "method": None}
    assert summary(named, group, words) == f"Most payments fail (provider ikhokha, method none): {words}."
    assert summary(named, {}, words, over=True) == f"Over: Most payments fail: {words}."


def test_the_sentence_does_not_say_the_title_twice() -> None:
    found = made("cpu_usage > 85% for 5 minutes")
    words = arithmetic(found.parts[0], read(72, 1), over=True)
    assert summary(found, {"host": "a"}, words, over=True) == "Over: CPU in use (host a) 72 % ≤ 85 %."
    plain = made("avg_payment_latency > 10 seconds for 3 minutes")
    words = arithmetic(plain.parts[0], read(12, 5))
    assert summary(plain, {}, words) == "Average payment latency 12 s > 10 s (5 payments in 3 minutes)."


# --- what a rule means ------------------------------------------------------------------------------------------------

SHIPPED = {
    "payment_processing_failure": (
        "Fires (critical) when more than 5 % of the payments in the last 5 minutes failed, once there are at least 5 payments "
        "and 3 different ones that failed, and the share is too clear to be chance (95 % confidence, and less than once a "
        "month).",
        "Resolves when, with at least 5 payments in a closed window of 5 minutes, at most 5 % of them failed.",
    ),
    "high_payment_latency": (
        "Fires (high) when the average payment latency of the last 3 minutes is above 10 seconds, with at least 5 payments to "
        "judge by.",
        "Resolves when, with at least 5 payments in a closed window of 3 minutes, the average payment latency is at most 10 s.",
    ),
    "payment_volume_drop": (
        "Fires (medium) when the payment volume of the last 15 minutes is below 50 % of what is usual at this time of day and "
        "week, and improbable for this series (it answers LEARNING until it knows a day).",
        "Resolves when a closed window of 15 minutes is at least 50 % of what is usual, with at least 5 finished payments.",
    ),
    "system_down": (
        "Fires (critical) when more than 3 health checks in a row failed for the same instance and place, judged for each "
        "component on its own.",
        "Resolves with the first health check that has not failed.",
    ),
    "high_memory_usage": (
        "Fires (high) when every sample of memory in use in the last 10 minutes is above 90 %, and at least 80 % of the "
        "expected samples are there, judged for each host on its own.",
        "Resolves when a sample is at most 90 % again.",
    ),
    "security_breach": (
        "Fires (critical) as soon as there is one security violation.",
        "Resolves when 5 minutes have passed without another.",
    ),
    "suspicious_activity": (
        "Fires (high) when there are more than 10 failed sign-ins within 5 minutes.",
        "Resolves when a closed window of 5 minutes holds at most 10 failed sign-ins.",
    ),
    "payment_failing_fast": (
        "Fires (high) when more than 5 % of the payments in the last minute failed, once there are at least 5 payments and 3 "
        "different ones that failed, and the share is too clear to be chance (95 % confidence, and less than once a month).",
        "Resolves when, with at least 5 payments in a closed window of 1 minute, at most 5 % of them failed.",
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_rule_is_explained(name: str) -> None:
    (found,) = [one for one in load().rules if one.name == name]
    assert (explain(found), ends(found)) == SHIPPED[name]


@pytest.mark.parametrize(
    ("condition", "keys", "says"),
    [
        ("security_violations > 3", {}, "as soon as there are more than 3 security violations, each less than 5 minutes after"),
        ("security_violations >= 1", {}, "as soon as there is one security violation."),
        ("failed_auth_attempts > 1 in 1 hour", {}, "more than 1 failed sign-in within an hour"),
        ("payment_volume < 5 for 5 minutes", {}, "when there are fewer than 5 finished payments within 5 minutes"),
        ("payment_success_rate < 95% over 1 hour", {}, "less than 95 % of the payments in the last hour succeeded"),
        ("payment_success_rate < 95% over 1 hour", {}, "3 different ones that did not"),
        ("payment_failure_rate > 5% over 1 minute", {"confidence": 0}, "3 different ones that failed."),
        ("payment_failure_rate > 5% over 1 minute for 2 minutes", {}, "failed, at every evaluation for 2 minutes"),
        (
            "payment_failure_rate{provider=x} > 5% over 1 minute",
            {"where": {"method": "card"}},
            "payments with method card and provider x in the last minute",
        ),
        ("cpu_usage > 85%", {"by": []}, "as soon as a sample of CPU in use is above 85 %."),
        ("revenue < 5000 over 1 hour", {}, "the revenue of the last hour is below 5,000 minor units, judged for each currency"),
        (
            "security_violations > 0 and not (failed_auth_attempts > 5 in 1 hour or blocked_requests > 5 in 1 hour)",
            {},
            "one security violation, and when it is not the case that (there are more than 5 failed sign-ins within an hour",
        ),
    ],
)
def test_other_rules_are_explained(condition: str, keys: dict[str, Any], says: str) -> None:
    assert says in explain(made(condition, **keys))


def test_every_sentence_is_one_sentence() -> None:
    for one in load().rules:
        for sentence in (explain(one), ends(one)):
            assert re.fullmatch(r"[A-Z][^.]*\.", sentence), sentence
            assert "  " not in sentence and " ," not in sentence


def test_hysteresis_is_said() -> None:
    found = made("payment_failure_rate > 5% for 5 minutes", resolve="< 3%", resolve_after="2 minutes")
    assert ends(found) == (
        "Resolves when, with at least 5 payments in a closed window of 5 minutes, less than 3 % of them failed, "
        "and 2 minutes have passed since."
    )


def test_a_signal_is_defined_by_its_data() -> None:
    assert definition(part("payment_failure_rate > 5% for 5 minutes").signal) == (
        "share of the events in payments with outcome succeeded or failed that have fault technical or unknown and "
        "outcome failed"
    )
    assert definition(part("p95_payment_latency > 5 s for 5 minutes").signal) == (
        "95th percentile of latency_ms in payments with outcome succeeded or failed"
    )


def test_the_threshold_is_in_the_unit_of_the_signal() -> None:
    assert threshold(part("payment_failure_rate > 5% for 5 minutes")) == Fraction(5, 100)
    assert threshold(part("avg_response_time > 250 ms for 5 minutes")) == Fraction(1, 4)
