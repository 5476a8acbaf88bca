"""The packs that ship: complete, one page for a fault, and silent while nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.simulator import Simulator
from rules.loader import load
from rules.rule import Rule
from rules.words import ends, explain
from tests.support.desk import START_S, Desk, shipped
from tests.support.events import Event, event, failed, succeeded

TWELVE = {"payment_alerts", "system_health_alerts", "performance_alerts", "security_alerts"}
RULES = load().rules
OURS = [rule for rule in RULES if rule.pack not in TWELVE]
ON_THEIR_OWN = {
    "configuration_errors", "failing_policy", "disk_filling",
    "data_corruption", "paid_not_enrolled", "access_not_granted", "unusable_events", "schema_drifting",
    "source_silent", "events_missing",
}  # fmt: skip
"""What none of the twelve says, as their packs explain."""


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: rule.name)
def test_a_rule_of_ours_says_whose_it_is_and_what_it_means(rule: Rule) -> None:
    assert rule.owner and rule.summary and rule.runbook
    assert explain(rule).startswith(f"Fires ({rule.severity}) ") and ends(rule).startswith("Resolves ")


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: rule.name)
def test_a_rule_of_ours_says_which_of_the_twelve_inhibits_it(rule: Rule) -> None:
    assert any(pack in TWELVE for pack, _ in rule.inhibited_by) is (rule.name not in ON_THEIR_OWN)


def test_there_is_what_the_design_asks_for() -> None:
    written = {
        rule.name: (str(rule.condition), rule.severity, [str(level.test.value) for level in rule.levels]) for rule in OURS
    }
    for name, condition, severity, levels in (
        ("payment_processing_down", "payment_failure_rate > 50% over 5 seconds", "critical", []),
        ("provider_down", "payment_failure_rate > 50% over 10 seconds", "critical", []),
        ("payment_failing_fast", "payment_failure_rate > 5% over 1 minute", "high", []),
        ("payment_failing", "payment_failure_rate > 5% over 5 minutes", "medium", ["10%"]),
        ("slow_responses", "avg_response_time > 5 seconds over 1 minute", "medium", ["10 seconds"]),
        ("memory_pressure", "memory_usage > 80% for 5 minutes", "medium", ["95%"]),
        ("cpu_pressure", "cpu_usage > 70% for 10 minutes", "medium", ["90%"]),
        ("slow_queries", "avg_query_time > 1 second over 1 minute", "medium", ["5 seconds"]),
        ("data_corruption", "reconciliation_differences > 0", "critical", []),
    ):
        assert written[name] == (condition, severity, levels)


@pytest.mark.timeout(400)
def test_healthy_traffic_of_ten_minutes_is_silent() -> None:
    assert _told(rate=10.0, minutes=10) == []


@pytest.mark.timeout(400)
def test_quiet_traffic_pages_nobody_by_our_rules() -> None:
    """Two payments a minute for two hours."""
    assert _told(*(rule.name for rule in OURS), rate=2 / 60, minutes=120) == []


def _told(*names: str, rate: float, minutes: int) -> list[str]:
    start = START_S + 8 * 3600
    desk = Desk(shipped(*names), now=start)

    def events() -> Iterator[Event]:
        for _, _, one in Simulator(7, start, rate).events(start, start + minutes * 60):
            yield one

    desk.play(events(), every_s=5.0)
    return [f"{alert.data.summary} ({alert.data.rule} {alert.transition})" for alert in desk.alerts]


def test_tillwatch_tells_what_it_cannot_use() -> None:
    desk = Desk(shipped("unusable_events", "schema_drifting"), now=START_S)
    for number in range(11):
        desk.put(event("payment.succeeded", START_S + number, amount="a lot"))
    assert desk.told == ["unusable_events firing"]
    desk.put(event("payment.succeeded", START_S + 20, colour="green"))
    assert desk.told == ["unusable_events firing", "schema_drifting firing"]


def test_an_outage_of_one_provider_is_one_page_while_it_lasts() -> None:
    """All but the rules of the twelve, which are never inhibited."""
    desk = Desk(shipped(*(rule.name for rule in OURS)), now=START_S)
    events = [succeeded(START_S + i / 10, provider="ozow" if i % 2 else "ikhokha") for i in range(1_200)]
    events += [
        (succeeded if i % 2 else failed)(START_S + 120 + i / 10, provider="ozow" if i % 2 else "ikhokha") for i in range(400)
    ]
    desk.play(events)
    pages = [alert for alert in desk.alerts if alert.data.inhibited_by is None]
    assert [(alert.data.rule, alert.transition, alert.data.group) for alert in pages] == [
        ("provider_down", "firing", {"provider": "ikhokha"})
    ]
    assert {alert.data.rule for alert in desk.alerts if alert.data.inhibited_by} >= {"payment_failing_fast", "payment_failing"}
