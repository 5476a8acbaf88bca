"""Each of the twelve rules, from events to alerts: fires when it must, not one event earlier, not for its near miss, and is
over when it must be; a judge that takes over in the middle makes no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import pytest

from rules.learned import Imported
from tests.support.desk import START_S, Desk, rule, shipped
from tests.support.events import (
    Event,
    call,
    declined,
    failed,
    failed_sign_in,
    probe,
    query,
    rejected_webhook,
    request,
    succeeded,
    usage,
    violation,
)

T0 = START_S


def steady(make: Callable[..., Event], start: float, count: int, every: float, **data: Any) -> list[Event]:
    return [make(start + number * every, **data) for number in range(count)]


def each(desk: Desk, events: Iterable[Event]) -> list[str]:
    """Puts one event at a time; what was told with each: '' or `firing` and so on."""
    told = []
    for event in events:
        desk.now = max(desk.now, _at(event))
        told.append(" ".join(alert.transition for alert in desk.put(event)))
    return told


def _at(event: Event) -> float:
    from tests.integration.oracle import ms_of

    return ms_of(event["time"]) / 1000


TAKEN_OVER_EVERY = 7


@pytest.fixture(params=["one judge", "another takes over again and again"])
def over_and_over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test does is done again with a judge that is replaced now and then before a look."""
    if request.param != "one judge":
        look, looks = Desk.look, count()

        def replaced(self: Desk) -> Any:
            if next(looks) % TAKEN_OVER_EVERY == 0:
                self.restart()
            return look(self)

        monkeypatch.setattr(Desk, "look", replaced)


pytestmark = pytest.mark.usefixtures("over_and_over")


class TestPaymentProcessingFailure:
    """payment_failure_rate > 5% for 5 minutes"""

    def test_fires_with_the_payment_that_makes_it_sure(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert each(desk, steady(succeeded, T0, 50, 1.0)) == [""] * 50
        # The lower bound of 6 of 56 is 5.0012 %, but where 2.5 % fail, 7 of 57 come 4.7 times a month by chance, 8 of 58 0.8.
        assert each(desk, steady(failed, T0 + 50, 8, 1.0)) == [""] * 7 + ["firing"]
        (alert,) = desk.alerts
        assert alert.data.first_bad_at == int((T0 + 57) * 1000)
        assert alert.data.value == pytest.approx(8 / 58)
        assert alert.data.threshold == 0.05 and alert.data.unit == "ratio"
        assert alert.data.channels == ("phone", "email", "slack")

    def test_where_many_are_paid_the_bound_alone_decides(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert set(each(desk, steady(succeeded, T0, 150, 1.0))) == {""}
        # The lower bound of 15 of 165 is 5.6 %, that of 14 of 164 is 5.2 %, that of 13 of 163 4.7 %.
        assert each(desk, steady(failed, T0 + 150, 14, 1.0)) == [""] * 13 + ["firing"]

    def test_customers_without_money_are_no_outage(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert set(each(desk, steady(declined, T0, 40, 1.0))) == {""}

    def test_three_payments_of_which_one_failed_are_no_outage(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert each(desk, [succeeded(T0), failed(T0 + 1), succeeded(T0 + 2)]) == ["", "", ""]

    def test_five_of_five_are(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert each(desk, steady(failed, T0, 5, 1.0)) == ["", "", "", "", "firing"]

    def test_one_transaction_that_fails_five_times_is_not(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        assert set(each(desk, steady(failed, T0, 5, 1.0, transaction_id="tx-again"))) == {""}

    def test_is_over_when_a_closed_window_is_fine_again(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play([*steady(failed, T0, 10, 1.0), *steady(succeeded, T0 + 10, 390, 1.0)])
        assert desk.told == ["payment_processing_failure firing", "payment_processing_failure resolved"]
        resolved = desk.alerts[-1]
        assert resolved.data.window.end == int((T0 + 200) * 1000)  # 10 of 200 are 5 %, and 5 % is not above 5 %
        assert resolved.data.value == pytest.approx(0.05)

    def test_is_not_over_because_nothing_comes_any_more(self) -> None:
        desk = Desk(shipped("payment_processing_failure"), now=T0)
        desk.play(steady(failed, T0, 10, 1.0))
        desk.wait(1_800)  # ten payments are too few to expect more
        assert desk.told == ["payment_processing_failure firing"]


class TestHighPaymentLatency:
    """avg_payment_latency > 10 seconds for 3 minutes"""

    def test_fires_once_the_mean_is_above(self) -> None:
        desk = Desk(shipped("high_payment_latency"), now=T0)
        # Means after each: 10, 10, 10, 10, 10.0002 s.
        events = [*steady(succeeded, T0, 4, 1.0, latency_ms=10_000), succeeded(T0 + 4, latency_ms=10_001)]
        assert each(desk, events) == ["", "", "", "", "firing"]
        assert desk.alerts[0].data.value == pytest.approx(10.0002)
        assert desk.alerts[0].data.unit == "s"

    def test_exactly_ten_seconds_are_not_above(self) -> None:
        desk = Desk(shipped("high_payment_latency"), now=T0)
        assert set(each(desk, steady(succeeded, T0, 30, 1.0, latency_ms=10_000))) == {""}

    def test_four_payments_are_too_few(self) -> None:
        desk = Desk(shipped("high_payment_latency"), now=T0)
        assert set(each(desk, steady(succeeded, T0, 4, 1.0, latency_ms=60_000))) == {""}

    def test_is_over_when_a_closed_window_is_fine_again(self) -> None:
        desk = Desk(shipped("high_payment_latency"), now=T0)
        slow = steady(succeeded, T0, 10, 1.0, latency_ms=20_000)
        desk.play([*slow, *steady(succeeded, T0 + 10, 200, 1.0, latency_ms=1_000)])
        desk.wait(60)
        assert desk.told == ["high_payment_latency firing", "high_payment_latency resolved"]
        # (10 × 20 + 15 × 1) / 25 = 8.6; at 20 s it was (10 × 20 + 10) / 20 = 10.5.
        assert desk.alerts[1].data.window.end == int((T0 + 25) * 1000)


class TestSystemDown:
    """health_check_failures > 3 consecutive"""

    def test_fires_with_the_fourth_failure_in_a_row(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        assert each(desk, steady(probe, T0, 4, 10.0, up=False)) == ["", "", "", "firing"]
        assert desk.alerts[0].data.group == {"component": desk.alerts[0].data.group["component"]}
        assert desk.alerts[0].data.value == 4

    def test_a_success_between_ends_the_row(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        row = [False, False, False, True, False, False, False]
        events = [probe(T0 + 10 * number, up) for number, up in enumerate(row)]
        assert set(each(desk, events)) == {""}

    def test_failures_of_two_instances_do_not_add_up(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        events = [probe(T0 + 10 * n, False, instance=f"i{n % 2}") for n in range(6)]
        assert set(each(desk, events)) == {""}
        assert each(desk, [probe(T0 + 60, False, instance="i0")]) == ["firing"]

    def test_is_over_with_the_first_success(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        each(desk, steady(probe, T0, 5, 10.0, up=False))
        assert each(desk, [probe(T0 + 50, True)]) == ["resolved"]

    def test_a_failure_that_comes_late_counts_in_its_place(self) -> None:
        desk = Desk(shipped("system_down"), now=T0)
        each(desk, [probe(T0, False), probe(T0 + 10, False), probe(T0 + 30, False)])
        assert [alert.transition for alert in desk.put(probe(T0 + 20, False))] == ["firing"]
        assert desk.alerts[0].data.first_bad_at == int((T0 + 30) * 1000)


@pytest.mark.parametrize(
    ("name", "make", "threshold", "minutes"),
    [
        ("database_connectivity", lambda at: query(at, "connection_failed"), 2, 5),
        ("api_connectivity", lambda at: call(at, "connection_failed"), 5, 10),
        ("suspicious_activity", failed_sign_in, 10, 5),
        ("webhook_security_violation", rejected_webhook, 3, 5),
    ],
)
class TestCounts:
    """More than so many in so many minutes."""

    def test_fires_with_the_one_above_to_the_millisecond(
        self, name: str, make: Callable[[float], Event], threshold: int, minutes: int
    ) -> None:
        window = minutes * 60.0
        # The last is one millisecond within the window of the first.
        events = [make(T0 + 1.0), *(make(T0 + 2.0 + number) for number in range(threshold - 1)), make(T0 + window + 0.999)]
        desk = Desk(shipped(name), now=T0)
        assert each(desk, events) == [""] * threshold + ["firing"]
        assert desk.alerts[0].data.first_bad_at == int((T0 + window + 0.999) * 1000)
        assert desk.alerts[0].data.value == threshold + 1

    def test_as_many_as_allowed_are_allowed(
        self, name: str, make: Callable[[float], Event], threshold: int, minutes: int
    ) -> None:
        desk = Desk(shipped(name), now=T0)
        assert set(each(desk, [make(T0 + number) for number in range(threshold)])) == {""}

    def test_one_that_comes_when_the_first_is_out_does_not_add_up(
        self, name: str, make: Callable[[float], Event], threshold: int, minutes: int
    ) -> None:
        window = minutes * 60.0
        desk = Desk(shipped(name), now=T0)
        events = [make(T0 + 1.0), *(make(T0 + 2.0 + number) for number in range(threshold - 1)), make(T0 + window + 1.0)]
        assert set(each(desk, events)) == {""}

    def test_is_over_when_the_closed_window_has_no_more_than_allowed(
        self, name: str, make: Callable[[float], Event], threshold: int, minutes: int
    ) -> None:
        desk = Desk(shipped(name), now=T0)
        each(desk, [make(T0 + 1.0 + number) for number in range(threshold + 1)])
        desk.wait(minutes * 60 + 120)
        assert desk.told == [f"{name} firing", f"{name} resolved"]


class TestHighResponseTime:
    """avg_response_time > 5 seconds for 5 minutes"""

    def test_fires_above_and_not_at_five_seconds(self) -> None:
        desk = Desk(shipped("high_response_time"), now=T0)
        assert set(each(desk, steady(request, T0, 20, 1.0, latency_ms=5_000.0))) == {""}
        assert each(desk, [request(T0 + 20, latency_ms=5_100.0)]) == ["firing"]

    def test_is_over_when_a_closed_window_is_fine_again(self) -> None:
        desk = Desk(shipped("high_response_time"), now=T0)
        desk.play([*steady(request, T0, 10, 1.0, latency_ms=8_000.0), *steady(request, T0 + 10, 100, 1.0)])
        desk.wait(60)
        assert desk.told == ["high_response_time firing", "high_response_time resolved"]


@pytest.mark.parametrize(
    ("name", "resource", "threshold", "minutes"),
    [("high_memory_usage", "memory", 90.0, 10), ("high_cpu_usage", "cpu", 85.0, 15)],
)
class TestGauges:
    """Every sample of so many minutes beyond the threshold."""

    def test_fires_when_it_has_lasted(self, name: str, resource: str, threshold: float, minutes: int) -> None:
        desk = Desk(shipped(name), now=T0)
        count = minutes * 6 + 1  # every 10 s
        told = each(desk, steady(usage, T0, count, 10.0, resource=resource, percent=threshold + 0.5))
        assert told == [""] * (count - 1) + ["firing"]
        assert desk.alerts[0].data.first_bad_at == int(T0 * 1000)
        assert desk.alerts[0].data.value == pytest.approx((threshold + 0.5) / 100)

    def test_one_sample_at_the_threshold_starts_it_again(
        self, name: str, resource: str, threshold: float, minutes: int
    ) -> None:
        desk = Desk(shipped(name), now=T0)
        half = minutes * 3
        events = [
            *steady(usage, T0, half, 10.0, resource=resource, percent=threshold + 5),
            usage(T0 + half * 10, resource, threshold),
            *steady(usage, T0 + half * 10 + 10, minutes * 6, 10.0, resource=resource, percent=threshold + 5),
        ]
        assert set(each(desk, events)) == {""}

    def test_with_a_third_of_the_samples_missing_it_is_not_judged(
        self, name: str, resource: str, threshold: float, minutes: int
    ) -> None:
        desk = Desk(shipped(name), now=T0)
        events = steady(usage, T0, minutes * 6 + 1, 10.0, resource=resource, percent=threshold + 5)
        assert set(each(desk, [one for number, one in enumerate(events) if number % 3])) == {""}

    def test_hosts_are_judged_apart(self, name: str, resource: str, threshold: float, minutes: int) -> None:
        desk = Desk(shipped(name), now=T0)
        events = []
        for number in range(minutes * 6 + 1):
            events.append(usage(T0 + number * 10, resource, threshold + 5, host="hot"))
            events.append(usage(T0 + number * 10, resource, 20.0, host="cold"))
        each(desk, events)
        assert [alert.data.group for alert in desk.alerts] == [{"host": "hot"}]

    def test_is_over_with_one_closed_bucket_that_is_fine(
        self, name: str, resource: str, threshold: float, minutes: int
    ) -> None:
        desk = Desk(shipped(name), now=T0)
        count = minutes * 6 + 1
        each(desk, steady(usage, T0, count, 10.0, resource=resource, percent=threshold + 5))
        told = each(desk, steady(usage, T0 + count * 10, 6, 10.0, resource=resource, percent=threshold))
        assert told == ["", "", "", "", "resolved", ""]  # its bucket is closed 30 s of lateness after its end


class TestSecurityBreach:
    """security_violations > 0"""

    def test_the_very_first_violation_pages(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        assert each(desk, [violation(T0)]) == ["firing"]
        assert desk.alerts[0].data.value == 1

    def test_a_second_one_is_an_update(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        assert each(desk, [violation(T0), violation(T0 + 60)]) == ["firing", "updated"]
        assert desk.alerts[1].data.value == 2
        assert len({alert.data.fingerprint for alert in desk.alerts}) == 1

    def test_two_at_once_are_both_counted(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        desk.put(violation(T0), violation(T0))
        desk.wait(600)
        assert desk.alerts[0].data.value == 2
        assert desk.told == ["security_breach firing", "security_breach resolved"]

    def test_is_over_after_five_minutes_of_watermark_without_another(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        each(desk, [violation(T0), violation(T0 + 200)])
        desk.wait(325)
        assert desk.told == ["security_breach firing", "security_breach updated"]
        desk.wait(15)
        assert desk.told[2:] == ["security_breach resolved"]
        desk.put(violation(desk.now))
        assert desk.told[3:] == ["security_breach firing"]

    def test_a_sign_in_that_failed_is_no_violation(self) -> None:
        desk = Desk(shipped("security_breach"), now=T0)
        assert each(desk, [failed_sign_in(T0)]) == [""]


USUAL = 60
"""Payments a minute, day and night."""


def usual(days: int = 9, **group: str) -> Imported:
    """History of so many days, by the hour."""
    rows = [(int(T0 - hours * 3_600) * 1_000, 60.0 * USUAL) for hours in range(24 * days, 0, -1)]
    return Imported("file", "payment_volume", group, 3_600_000, rows)


def minutes(start: float, count: int, a_minute: int, **data: Any) -> list[Event]:
    """Payments that are spread evenly over so many minutes."""
    return steady(succeeded, start, count * a_minute, 60 / a_minute, **data)


class TestPaymentVolumeDrop:
    """payment_volume < 50% of baseline for 15 minutes"""

    def _desk(self, **how: Any) -> Desk:
        return Desk(shipped("payment_volume_drop"), now=T0, history=[usual()], **how)

    def _play(self, desk: Desk, *parts: Iterable[Event]) -> None:
        desk.play([event for part in parts for event in part], every_s=5.0)

    def test_learns_before_it_says_anything(self) -> None:
        desk = Desk(shipped("payment_volume_drop"), now=T0)
        self._play(desk, minutes(T0, 20, USUAL))
        desk.wait(1_800)
        assert desk.told == []
        (learned,) = desk.engine.baselines.of(desk.rules.rules[0])
        assert learned.guard.learning and desk.now * 1_000 - learned.until < 90_000

    def test_what_is_usual_is_not_told(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 40, USUAL))
        assert desk.told == []

    def test_a_drop_is_told_as_soon_as_the_window_is_below_half(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 20, USUAL))
        desk.wait(479)
        assert desk.told == [], "after seven and a half minutes of nothing, half of the window came"
        desk.wait(91)
        assert desk.told == ["payment_volume_drop firing"]
        (alert,) = desk.alerts
        assert alert.data.first_bad_at == (T0 + 20 * 60 + 8 * 60) * 1_000
        assert (alert.data.value, alert.data.threshold, alert.data.unit) == (7 * USUAL, 450, "count")
        assert "420 in 15 min, expected 900 (900 to 900) from the last 7 days at" in alert.data.arithmetic
        assert "down 53 %" in alert.data.summary

    def test_a_drop_to_sixty_percent_is_its_near_miss(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 20, USUAL), minutes(T0 + 1_200, 60, USUAL * 6 // 10))
        assert desk.told == []

    def test_a_drop_to_forty_percent_is_not(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 20, USUAL), minutes(T0 + 1_200, 30, USUAL * 4 // 10))
        assert desk.told == ["payment_volume_drop firing"]

    def test_is_over_when_a_closed_window_is_back_above_half(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 20, USUAL), minutes(T0 + 2_400, 30, USUAL))
        assert desk.told == ["payment_volume_drop firing", "payment_volume_drop resolved"]
        over = desk.alerts[1].data
        assert over.window.end == (T0 + 2_400 + 8 * 60) * 1_000, "eight of fifteen minutes are 53 %"
        assert over.value == 8 * USUAL

    def test_it_is_not_over_while_nothing_comes(self) -> None:
        desk = self._desk()
        self._play(desk, minutes(T0, 20, USUAL))
        desk.wait(2 * 3_600)
        assert desk.told == ["payment_volume_drop firing"]

    @pytest.mark.parametrize("at", [300, 500])
    def test_another_judge_goes_on_where_the_first_ended(self, at: float) -> None:
        desk, other = self._desk(), self._desk()
        for one in (desk, other):
            self._play(one, minutes(T0, 20, USUAL))
        desk.wait(at)
        desk.restart()
        desk.wait(3_600 - at)
        other.wait(3_600)
        for one in (desk, other):
            self._play(one, minutes(one.now, 30, USUAL))
        assert desk.told == ["payment_volume_drop firing", "payment_volume_drop resolved"]
        assert [alert.id for alert in desk.alerts] == [alert.id for alert in other.alerts]

    def test_a_monitor_that_was_away_tells_nothing_of_it(self) -> None:
        desk, away = self._desk(), 6 * 60
        self._play(desk, minutes(T0, 20, USUAL))
        desk.now += away  # nothing is read, and no heartbeat is written
        desk.behind = True
        for event in minutes(T0 + 1_200, 6, USUAL):
            desk.put(event, broker_s=_at(event))
        desk.behind = False
        self._play(desk, minutes(desk.now, 10, USUAL))
        assert desk.told == []


class TestRisesAndGroups:
    """Baselines beyond the twelve."""

    def test_a_rise(self) -> None:
        found = rule("payment_volume > 200% of baseline for 15 minutes")
        desk = Desk(found, now=T0, history=[usual()])
        desk.play([*minutes(T0, 20, USUAL), *minutes(T0 + 1_200, 25, 3 * USUAL), *minutes(T0 + 2_700, 40, USUAL)], every_s=5.0)
        desk.wait(60)
        assert desk.told == ["rule firing", "rule resolved"]
        assert desk.alerts[0].data.value > desk.alerts[0].data.threshold >= 1_800

    def test_each_group_has_its_own(self) -> None:
        found = rule("payment_volume < 50% of baseline for 15 minutes", by=["provider"])
        desk = Desk(found, now=T0, history=[usual(provider="ozow"), usual(provider="peach")])
        ozow, peach = (minutes(T0 + lag, 60, USUAL, provider=name) for lag, name in ((0, "ozow"), (0.1, "peach")))
        events = sorted([*ozow[: 20 * USUAL], *peach], key=_at)
        desk.play(events, every_s=5.0)
        assert desk.told == ["rule firing"]
        assert desk.alerts[0].data.group == {"provider": "ozow"}

    def test_history_of_a_group_that_is_silent_is_enough(self) -> None:
        found = rule("payment_volume < 50% of baseline for 15 minutes", by=["provider"])
        desk = Desk(found, now=T0, history=[usual(provider="ozow")])
        desk.play(minutes(T0, 60, USUAL, provider="peach"), every_s=5.0)
        assert desk.told == ["rule firing"]
        assert desk.alerts[0].data.group == {"provider": "ozow"}


class TestDailyVolume:
    """A volume of 24 hours against a fixed number, judged as minutes close."""

    def _desk(self, condition: str, hours: int = 24) -> Desk:
        """Fifteen payments an hour before."""
        rows = [(int(T0 - hour * 3_600) * 1_000, 15.0) for hour in range(hours, 0, -1)]
        return Desk(rule(condition), now=T0, history=[Imported("file", "daily_volume", {}, 3_600_000, rows)])

    def test_learns_until_a_day_is_known(self) -> None:
        desk = self._desk("daily_volume < 350", hours=20)
        desk.put(succeeded(T0))
        desk.wait(7_200)
        assert desk.told == []
        (learned,) = desk.engine.baselines.of(desk.rules.rules[0])
        assert learned.state == "learning"

    def test_is_told_with_the_minute_that_was_too_few(self) -> None:
        desk = self._desk("daily_volume < 350")
        desk.put(succeeded(T0))
        desk.wait(44 * 60)
        assert desk.told == [], "a quarter of a payment is gone each minute: 350 after 44 of them"
        desk.wait(3 * 60)
        assert desk.told == ["rule firing"]
        data = desk.alerts[0].data
        assert (data.value, data.threshold, data.unit) == (349.75, 350, "count")
        assert data.arithmetic == "349.8 finished payments in 24 hours < 350"

    def test_is_over_when_there_are_few_enough_again(self) -> None:
        desk = self._desk("daily_volume > 400 in 24 hours")
        desk.play(steady(succeeded, T0, 60, 10), every_s=10.0)
        desk.wait(60)
        assert desk.told == ["rule firing"]
        assert 400 < desk.alerts[0].data.value <= 406, "by the minute"
        desk.wait(3_600 * 2)
        assert desk.told == ["rule firing", "rule resolved"]
