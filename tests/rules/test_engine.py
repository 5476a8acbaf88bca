"""What holds for every rule: when it is judged, by whom and how often makes no difference, and nothing is told twice."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.loader import RuleSet
from schemas.alert import AlertEvent
from tests.support.desk import START_S, Desk, rule, rules, shipped
from tests.support.events import (
    Event,
    call,
    failed,
    failed_sign_in,
    probe,
    query,
    request,
    succeeded,
    usage,
    violation,
)

T0 = START_S


def ids(alerts: Sequence[AlertEvent]) -> set[str]:
    """What is the same for every judge: episodes that begin and end. How often one was updated depends on the flushes."""
    return {alert.id for alert in alerts if alert.transition in ("firing", "resolved")}


def burst(start: float, count: int, every: float, bad: float, seed: int = 1, **data: object) -> list[Event]:
    """Payments of which a share is bad."""
    rng = random.Random(seed)
    return [
        (failed if rng.random() < bad else succeeded)(start + number * every, **data) for number in range(count)
    ]


class TestReplay:
    """Reading the log again finds the same episodes, in whatever pieces it comes."""

    def _live(self, of: RuleSet, events: list[Event], partitions: int) -> Desk:
        desk = Desk(of, now=T0, partitions=partitions)
        desk.play(events)
        desk.wait(700)
        return desk

    def _again(self, live: Desk, partitions: int, pieces: int) -> Desk:
        """Its log into a new installation, long after."""
        desk = Desk(live.rules, now=live.now + 4_000, partitions=partitions)
        desk.replay(live.log, pieces)
        return desk

    def test_the_twelve_and_ours_find_the_same(self) -> None:
        events = sorted(
            [
                *burst(T0, 1_200, 0.5, 0.01, provider="ikhokha"),
                *burst(T0 + 200, 240, 0.25, 0.6, seed=2, provider="ozow"),
                *(failed_sign_in(T0 + 100 + number * 7) for number in range(14)),
                *(query(T0 + 300 + number * 40, "connection_failed") for number in range(5)),
                *(call(T0 + 310 + number * 20, "connection_failed") for number in range(9)),
                *(probe(T0 + 10 * number, not 20 <= number < 27) for number in range(60)),
                *(usage(T0 + 5 * number, "memory", 95.0 if number > 20 else 50.0) for number in range(200)),
                *(request(T0 + number, latency_ms=9_000.0 if 100 < number < 160 else 100.0) for number in range(500)),
                violation(T0 + 123.4),
            ],
            key=_at,
        )
        live = self._live(shipped(), events, 3)
        live.wait(3_600)  # the longest window is over
        fired = {alert.data.rule for alert in live.alerts if alert.transition == "firing"}
        assert {
            "payment_processing_failure", "provider_down", "payment_failing_fast", "suspicious_activity",
            "database_connectivity", "api_connectivity", "system_down", "high_memory_usage", "security_breach",
        } <= fired  # fmt: skip
        for pieces in (1, 5):
            again = self._again(live, 3, pieces)
            assert ids(again.alerts) == ids(live.alerts)

    @settings(max_examples=25)
    @given(st.integers(0, 10**6), st.floats(0.0, 0.4), st.integers(1, 3))
    def test_any_payments_do(self, seed: int, bad: float, partitions: int) -> None:
        of = rule("payment_failure_rate > 10% over 1 minute")
        rng = random.Random(seed)
        events, at = [], T0
        for _ in range(250):
            at += round(rng.expovariate(1.0), 3)
            share = bad if 60 < at - T0 < 150 else 0.02
            events.append((failed if rng.random() < share else succeeded)(at, provider=f"p{rng.randrange(3)}"))
        live = self._live(of, events, partitions)
        again = self._again(live, partitions, 3)
        assert ids(again.alerts) == ids(live.alerts)
        assert _alternates(live.alerts)

    def test_a_replay_long_after_is_historical(self) -> None:
        events = [*burst(T0, 60, 0.5, 1.0), *burst(T0 + 30, 900, 0.5, 0.0)]
        live = self._live(shipped("payment_processing_failure"), events, 1)
        again = self._again(live, 1, 1)
        assert [alert.data.historical for alert in again.alerts] == [True] * len(again.alerts) != []
        assert not any(alert.data.historical for alert in live.alerts)


def _at(event: Event) -> float:
    from tests.integration.oracle import ms_of

    return ms_of(event["time"]) / 1000


def _alternates(alerts: Sequence[AlertEvent]) -> bool:
    kinds = [alert.transition for alert in alerts if alert.transition in ("firing", "resolved")]
    return kinds == ["firing", "resolved"] * (len(kinds) // 2) + ["firing"] * (len(kinds) % 2)


class TestTakingOver:
    def test_while_an_alert_fires_nothing_is_told(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(burst(T0, 30, 1.0, 1.0))
        assert desk.told == ["payment_processing_failure firing"]
        for _ in range(5):
            desk.restart()
            assert desk.look() == []
        desk.wait(300)
        assert desk.told == ["payment_processing_failure firing"]

    def test_after_it_is_over_its_past_is_not_judged_again(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play([*burst(T0, 20, 1.0, 1.0), *burst(T0 + 20, 500, 1.0, 0.0)])
        desk.wait(40)
        told = list(desk.told)
        assert told == ["payment_processing_failure firing", "payment_processing_failure resolved"]
        desk.restart()
        assert desk.look() == [] and desk.wait(30) == []

    def test_a_table_that_was_not_judged_yet_is_judged_from_its_beginning(self) -> None:
        desk = Desk(shipped("provider_down", "security_breach"), now=T0)
        desk.unsettled = frozenset({"payments"})  # they come in long after they happened, and their verdicts wait
        desk.put(*burst(T0 - 300, 30, 0.2, 1.0, provider="peach"))
        desk.wait(20)
        assert desk.told == [] and set(desk.engine.kept()["judged"]) == {"security"}
        desk.restart()
        desk.unsettled = frozenset()
        desk.look()
        assert desk.told[0] == "provider_down firing"

    def test_a_table_that_no_rule_asked_for_is_judged_from_where_the_others_are(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        desk.play(burst(T0, 30, 0.2, 1.0, provider="peach"))
        desk.wait(60)
        desk.rules = shipped("provider_down", "security_breach")
        desk.restart()
        assert desk.look() == [] and desk.told == []

    def test_in_the_middle_of_a_for(self) -> None:
        of = rule("payment_failure_rate > 50% over 10 seconds for 1 minute")
        undisturbed, disturbed = Desk(of, now=T0), Desk(of, now=T0)
        for half in range(160):
            event = failed(T0 + half / 2)
            undisturbed.play([event])
            disturbed.play([event])
            disturbed.restart()
        assert ids(disturbed.alerts) == ids(undisturbed.alerts)
        assert len(undisturbed.alerts) == 1


class TestLateEvents:
    def test_minutes_of_delayed_events_are_judged_where_they_happened(self) -> None:
        desk = Desk(shipped("payment_processing_failure", "provider_down"), now=T0)
        # One source goes on; the other, with a provider that fails, is heard of ten minutes later.
        desk.play(burst(T0, 1_200, 0.5, 0.0, provider="peach"))
        late = burst(T0 + 100, 200, 0.25, 1.0, provider="ikhokha")
        desk.put(*late)
        fired = [alert for alert in desk.alerts if alert.data.rule == "payment_processing_failure"]
        assert fired and fired[0].data.late
        assert T0 + 100 <= (fired[0].data.first_bad_at or 0) / 1000 <= T0 + 110
        assert fired[0].data.value is not None and fired[0].data.value > 0.05

    def test_a_success_that_comes_late_ends_a_row_of_failures(self) -> None:
        desk = Desk(shipped("system_down"), now=T0 + 100)
        desk.wait(40)  # heartbeats alone: the watermark is far ahead of what comes now
        desk.put(*(probe(T0 + 10 * number, False) for number in range(6)))
        assert desk.told == ["system_down firing"]
        desk.put(probe(T0 + 60, True))
        assert desk.told == ["system_down firing", "system_down resolved"]

    def test_an_event_beyond_what_is_kept_changes_no_verdict(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        desk.play(burst(T0, 10, 1.0, 0.0))
        assert desk.told == []


class TestInhibition:
    PACK = """
pack:
  all: {condition: "payment_failure_rate > 20% over 1 minute", severity: critical}
  one: {condition: "payment_failure_rate > 50% over 10 seconds", by: [provider], severity: critical, inhibited_by: [all]}
"""

    def test_what_another_alert_says_already_names_it(self) -> None:
        desk = Desk(rules(self.PACK), now=T0)
        desk.play(burst(T0, 40, 0.25, 1.0, provider="ozow"))
        assert desk.told == ["all firing", "one firing"]
        cause, effect = desk.alerts
        assert effect.data.inhibited_by == cause.id and cause.data.inhibited_by is None

    def test_it_is_told_again_when_the_other_is_over_and_it_is_not(self) -> None:
        desk = Desk(rules(self.PACK), now=T0)
        desk.play(burst(T0, 40, 0.25, 1.0, provider="ozow"))
        # Others' payments make the whole fine again; ozow, of which nothing is heard any more, is not.
        desk.play(burst(T0 + 10, 600, 0.25, 0.0, provider="peach"))
        assert desk.told[2:] == ["all resolved", "one updated"]
        assert desk.alerts[-1].data.inhibited_by is None


class TestWaysDown:
    def test_a_lower_threshold_holds_it_up(self) -> None:
        plain, held = (rule("payment_failure_rate > 20% over 1 minute", **keys) for keys in ({}, {"resolve": "5%"}))
        events = [*burst(T0, 60, 0.5, 1.0), *burst(T0 + 30, 400, 0.5, 0.1, seed=5)]
        ends = []
        for of in (plain, held):
            desk = Desk(of, now=T0)
            desk.play(events)
            ends.append([alert.data.window.end for alert in desk.alerts if alert.transition == "resolved"][:1])
        assert ends[0] and (not ends[1] or ends[1][0] > ends[0][0])

    def test_it_can_be_made_to_wait(self) -> None:
        first, second = (
            Desk(rule("failed_auth_attempts > 2 in 1 minute", **keys), now=T0) for keys in ({}, {"resolve_after": "2 minutes"})
        )
        for desk in (first, second):
            desk.put(*(failed_sign_in(T0 + number) for number in range(3)))
        assert [alert.transition for alert in first.wait(150)] == ["resolved"]
        assert second.wait(150) == []
        second.put(*(failed_sign_in(second.now + number / 10) for number in range(3)))  # bad again: one episode
        assert second.wait(170) == []
        assert [alert.transition for alert in second.wait(120)] == ["resolved"]


class TestCombinations:
    def test_both(self) -> None:
        of = rule("failed_auth_attempts > 2 in 1 minute and security_violations > 0")
        desk = Desk(of, now=T0)
        assert desk.put(*(failed_sign_in(T0 + number) for number in range(3))) == []
        assert [alert.transition for alert in desk.put(violation(T0 + 5))] == ["firing"]

    def test_either(self) -> None:
        of = rule("failed_auth_attempts > 2 in 1 minute or database_connection_failures > 1 in 1 minute")
        desk = Desk(of, now=T0)
        assert desk.put(query(T0, "connection_failed")) == []
        assert [alert.transition for alert in desk.put(query(T0 + 1, "connection_failed"))] == ["firing"]
        assert "database" in desk.alerts[0].data.arithmetic


class TestWhatIsTold:
    def test_the_arithmetic_and_the_evidence(self) -> None:
        desk = Desk(shipped("provider_down"), now=T0)
        desk.play([*burst(T0, 40, 0.25, 0.0, provider="peach"), *burst(T0 + 10, 12, 0.25, 1.0, provider="ikhokha")])
        (alert,) = desk.alerts
        assert alert.data.group == {"provider": "ikhokha"}
        assert "5 of 5 payments failed in 10 seconds" in alert.data.arithmetic
        assert "ikhokha" in alert.data.summary
        assert alert.data.evidence.offsets[0].topic == "t.payments.v1"
        assert len(alert.data.evidence.samples) >= 3
        assert alert.subject == alert.data.fingerprint
        assert alert.type == "tillwatch.alert.firing"

    def test_the_guilty_slice(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play([*burst(T0, 200, 0.1, 0.0, provider="peach"), *burst(T0 + 20, 60, 0.1, 1.0, provider="ozow", method="eft")])
        slices = {tuple(one.dimensions.items()): one.share for one in desk.alerts[0].data.slice}
        assert slices[("provider", "ozow"),] == 1.0

    def test_a_group_that_may_have_lost_cells_is_not_judged(self) -> None:
        desk = Desk(shipped("provider_down"), now=T0)
        events = [failed(T0 + 1, provider=f"p{number}", reason=f"r{number}") for number in range(1_050)]
        events += [failed(T0 + 2, provider="p1") for _ in range(10)]
        desk.put(*events)
        assert desk.told == []


class TestOneBucket:
    """Two episodes that begin in one bucket are two alerts, each with an end of its own."""

    def test_have_ids_of_their_own(self) -> None:
        desk = Desk(rule("payment_failure_rate > 50% over 5 seconds", min_events=1, confidence=0), now=T0)
        desk.put(failed(T0), failed(T0 + 0.1), failed(T0 + 0.2))
        desk.put(*(succeeded(T0 + 0.05, transaction_id=f"late{n}") for n in range(9)))
        desk.put(*(failed(T0 + 3 + n / 10, transaction_id=f"again{n}") for n in range(20)))
        assert [alert.transition for alert in desk.alerts] == ["firing", "retracted", "firing"]
        assert len({alert.id for alert in desk.alerts}) == 3
        assert len({alert.data.first_bad_at // 5_000 for alert in desk.alerts if alert.data.first_bad_at}) == 1


class TestUnsettled:
    """While events of long ago are just coming in, partition by partition, their tables hold their verdicts."""

    def test_holds_what_would_be_taken_back(self) -> None:
        desk = Desk(rule("payment_failure_rate > 50% over 1 minute"), now=T0)
        desk.unsettled = frozenset({"payments"})
        assert desk.put(*(failed(T0 - 300 + n) for n in range(10))) == []
        assert desk.put(*(succeeded(T0 - 300 + n / 2) for n in range(100))) == []
        desk.unsettled = frozenset()
        assert desk.put(failed(T0)) == []

    def test_judges_it_afterwards(self) -> None:
        desk = Desk(rule("payment_failure_rate > 50% over 1 minute"), now=T0)
        desk.unsettled = frozenset({"payments"})
        assert desk.put(*(failed(T0 - 300 + n) for n in range(10))) == []
        desk.unsettled = frozenset()
        assert [alert.transition for alert in desk.look()] == ["firing"]

    def test_holds_no_other_table(self) -> None:
        desk = Desk(rule("security_violations > 0"), now=T0)
        desk.unsettled = frozenset({"payments"})
        assert [alert.transition for alert in desk.put(violation(T0))] == ["firing"]


class TestStandings:
    """What does not stand well is told, by its state."""

    def _states(self, desk: Desk) -> list[tuple[str, dict[str, object], str]]:
        return [(one.rule, dict(one.group), one.state) for one in desk.engine.states(desk.progress())]

    def test_pending_and_firing(self) -> None:
        desk = Desk(shipped("high_memory_usage", "security_breach"), now=T0)
        desk.play([usage(T0 + 10 * n, "memory", 95.0, host="app-1") for n in range(20)])
        desk.put(usage(T0 + 200, "memory", 50.0, host="app-2"), violation(T0 + 200))
        assert self._states(desk) == [
            ("security_breach", {}, "firing"),
            ("high_memory_usage", {"host": "app-1"}, "pending"),
        ]
        assert desk.engine.states(desk.progress())[1].since == T0 * 1000
        desk.play([usage(T0 + 210 + 10 * n, "memory", 95.0, host="app-1") for n in range(45)])
        assert ("high_memory_usage", {"host": "app-1"}, "firing") in self._states(desk)

    def test_held_for_a_while(self) -> None:
        desk = Desk(rule("payment_failure_rate > 50% over 1 minute for 5 minutes"), now=T0)
        desk.play(burst(T0, 120, 1.0, 1.0))
        assert self._states(desk) == [("rule", {}, "pending")]
        desk.play(burst(T0 + 120, 300, 1.0, 1.0))
        assert self._states(desk) == [("rule", {}, "firing")]

    def test_behind_and_learning(self) -> None:
        desk = Desk(shipped("payment_volume_drop"), now=T0)
        desk.play(burst(T0, 300, 1.0, 0.0))
        desk.wait(60)
        assert self._states(desk) == [("payment_volume_drop", {}, "learning")]
        desk.behind = True
        desk.put(succeeded(desk.now))
        assert self._states(desk)[0] == ("payment_volume_drop", {}, "behind")
