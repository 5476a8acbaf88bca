"""How an alert lives: levels, silence, flapping, what late events change, and hours of duty."""

from __future__ import annotations

import pytest

from rules.loader import RuleSet
from tests.support.desk import START_S, Desk, rule, rules, shipped
from tests.support.events import Event, failed, failed_sign_in, probe, request, succeeded, usage, violation

T0 = START_S


def payments(start: float, count: int, every: float, failing: int, **data: object) -> list[Event]:
    """Payments of which, in each ten, so many fail."""
    return [
        (failed if number * 7 % 10 < failing else succeeded)(start + number * every, **data) for number in range(count)
    ]


def graded() -> RuleSet:
    return rules("""
pack:
  failing:
    condition: "payment_failure_rate > 10% over 1 minute"
    severity: medium
    levels: {high: "30%", critical: "60%"}
""")


class TestLevels:
    def test_severity_climbs_and_falls_within_one_episode(self) -> None:
        desk = Desk(graded(), now=T0)
        desk.play(
            [
                *payments(T0, 240, 0.5, 2),
                *payments(T0 + 120, 240, 0.5, 5),
                *payments(T0 + 240, 240, 0.5, 9),
                *payments(T0 + 360, 240, 0.5, 2),
                *payments(T0 + 480, 240, 0.5, 0),
            ]
        )
        desk.wait(60)
        told = [(alert.transition, alert.data.severity, alert.data.level) for alert in desk.alerts]
        assert told == [
            ("firing", "medium", "P2"),
            ("updated", "high", "P1"),
            ("updated", "critical", "P0"),
            ("updated", "high", "P1"),
            ("updated", "medium", "P2"),
            ("resolved", "medium", "P2"),
        ]
        assert len({alert.data.first_bad_at for alert in desk.alerts}) == 1
        assert len({alert.id for alert in desk.alerts}) == 6

    def test_what_begins_badly_is_told_so_at_once(self) -> None:
        desk = Desk(graded(), now=T0)
        desk.put(*payments(T0, 20, 0.1, 10))
        assert [(alert.transition, alert.data.severity) for alert in desk.alerts] == [("firing", "critical")]


class TestSilence:
    def test_a_table_that_falls_silent_is_no_data_and_neither_fine_nor_over(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(payments(T0, 400, 1.0, 0))
        desk.wait(600)
        assert desk.told == ["payment_processing_failure no_data"]
        alert = desk.alerts[0]
        assert alert.data.status == "no_data" and alert.data.severity == "critical" and alert.data.value is None
        desk.play(payments(desk.now, 10, 1.0, 0))
        assert desk.told[1:] == ["payment_processing_failure resolved"]

    def test_what_fires_when_its_source_dies_is_never_resolved_by_silence(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(payments(T0, 200, 1.0, 10))
        desk.wait(1_200)
        assert desk.told == ["payment_processing_failure firing", "payment_processing_failure no_data"]
        desk.restart()
        assert desk.wait(60) == []
        desk.play(payments(desk.now, 400, 1.0, 0))
        desk.wait(60)
        assert desk.told[2:] == ["payment_processing_failure updated", "payment_processing_failure resolved"]

    def test_one_silent_source_is_one_page(self) -> None:
        desk = Desk(shipped("payment_processing_failure", "high_payment_latency", "payment_failing_fast"), now=T0)
        desk.play(payments(T0, 400, 1.0, 0))
        desk.wait(300)
        silent = [alert for alert in desk.alerts if alert.transition == "no_data"]
        assert len(silent) == 3
        assert [alert.data.inhibited_by is None for alert in silent].count(True) == 1

    def test_a_shop_with_a_payment_every_two_minutes_is_not_silent(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(payments(T0, 30, 120.0, 0))
        desk.wait(900)
        assert desk.told == []

    def test_a_host_that_stops_reporting_is_no_data_while_others_go_on(self) -> None:
        desk = Desk(shipped("high_memory_usage"), now=T0)
        both = [usage(T0 + 10 * n, "memory", 40.0, host=host) for n in range(30) for host in ("a", "b")]
        desk.play(both)
        desk.play([usage(T0 + 300 + 10 * n, "memory", 40.0, host="a") for n in range(40)])
        silent = [alert for alert in desk.alerts if alert.transition == "no_data"]
        assert [alert.data.group for alert in silent] == [{"host": "b"}]

    @pytest.mark.parametrize("name", ["high_memory_usage", "high_response_time"])
    def test_who_publishes_what_happened_long_ago_is_not_silent(self, name: str) -> None:
        desk = Desk(shipped(name), now=T0 + 900)
        desk.talking = frozenset({"resources", "requests"})
        desk.put(*(usage(T0 + 10 * n, "memory", 40.0, host="a") for n in range(30)))
        desk.put(*(request(T0 + n, latency_ms=200) for n in range(300)))
        assert desk.wait(60) == []
        desk.talking = frozenset()
        assert [alert.transition for alert in desk.wait(10)] == ["no_data"], "nothing more came"

    def test_a_count_is_zero(self) -> None:
        desk = Desk(shipped("suspicious_activity"), now=T0)
        desk.play([failed_sign_in(T0 + number) for number in range(100)])
        desk.wait(600)
        assert desk.told == ["suspicious_activity firing", "suspicious_activity resolved"]

    def test_two_violations_and_then_the_source_dies(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        desk.put(violation(T0))
        desk.put(violation(T0 + 1))
        desk.wait(100)
        assert [alert.data.value for alert in desk.alerts] == [1, 2]

    def test_it_can_be_fine(self) -> None:
        desk = Desk(rule("payment_failure_rate > 5% for 5 minutes", no_data="ok"), now=T0)
        desk.play(payments(T0, 200, 1.0, 10))
        desk.wait(600)
        assert [alert.transition for alert in desk.alerts] == ["firing", "resolved"]

    def test_it_can_be_left_open(self) -> None:
        desk = Desk(rule("payment_failure_rate > 5% for 5 minutes", no_data="hold"), now=T0)
        desk.play(payments(T0, 200, 1.0, 10))
        desk.wait(600)
        assert [alert.transition for alert in desk.alerts] == ["firing"]

    def test_a_pipeline_that_is_behind_is_not_a_silent_source(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(payments(T0, 400, 1.0, 0))
        desk.behind = True
        desk.wait(600)
        assert desk.told == []


class TestFlapping:
    def test_is_told_once_and_then_summed_up(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        at = T0
        for _ in range(12):
            desk.play([probe(at + 10 * n, n >= 4) for n in range(6)])
            at += 60
        began = [alert for alert in desk.alerts if alert.transition in ("firing", "resolved")]
        assert len(began) == 7
        assert [alert.data.flapping for alert in began] == [False] * 6 + [True]
        desk.play([probe(at + 10 * n, True) for n in range(400)])
        last = desk.alerts[-1]
        assert (last.transition, last.data.flapping) == ("resolved", False)
        assert "17 times more" in last.data.arithmetic

    def test_a_few_times_an_hour_is_no_flapping(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        for number in range(6):
            start = T0 + number * 1_800
            desk.play([probe(start + 10 * n, n >= 4) for n in range(170)])
        assert not any(alert.data.flapping for alert in desk.alerts)
        assert len(desk.alerts) == 12


class TestLateChanges:
    def test_a_verdict_that_late_events_make_untrue_is_taken_back(self) -> None:
        desk = Desk(rule("payment_failure_rate > 50% over 1 minute", min_events=5), now=T0)
        desk.play([*payments(T0, 60, 1.0, 0, provider="peach"), *payments(T0 + 60, 70, 1.0, 10, provider="ozow")])
        assert [alert.transition for alert in desk.alerts] == ["firing"]
        desk.now += 10
        # The healthy half of the same minutes, from a source that was away.
        desk.put(*payments(T0, 800, 0.2, 0, provider="peach"))
        assert [alert.transition for alert in desk.alerts] == ["firing", "retracted"]
        assert desk.alerts[-1].data.status == "inactive"
        assert desk.wait(30) == []

    def test_a_value_that_becomes_quite_another_is_told(self) -> None:
        desk = Desk(rule("payment_failure_rate > 20% over 1 minute", min_events=5), now=T0)
        desk.play([*payments(T0, 60, 1.0, 0), *payments(T0 + 60, 60, 1.0, 6)])
        first = desk.alerts[0].data.value or 0.0
        desk.put(*payments(T0 + 30, 100, 0.3, 8))
        updated = desk.alerts[-1]
        assert updated.transition == "updated" and updated.data.late
        assert (updated.data.value or 0.0) > first * 1.1


class TestHours:
    PACK = """
pack:
  rule: {condition: "failed_auth_attempts > 2 in 5 minutes", severity: low, during: "mon-fri 08:00-17:00 UTC"}
"""

    def test_nothing_begins_outside_of_them(self) -> None:
        saturday = T0 + 6 * 86_400  # T0 is a Monday, 08:00 UTC
        desk = Desk(rules(self.PACK), now=saturday)
        desk.put(*(failed_sign_in(saturday + number) for number in range(10)))
        desk.wait(300)
        assert desk.told == []

    def test_within_them_it_is_as_ever(self) -> None:
        desk = Desk(rules(self.PACK), now=T0 + 60)
        desk.put(*(failed_sign_in(T0 + 60 + number) for number in range(3)))
        assert desk.told == ["rule firing"]

    def test_what_goes_on_when_they_begin_is_told_then(self) -> None:
        desk = Desk(rules(self.PACK), now=T0 - 120)
        desk.play([failed_sign_in(T0 - 120 + 10 * number) for number in range(30)])
        assert desk.told == ["rule firing"]
        assert desk.alerts[0].data.detected_at >= T0 * 1000
