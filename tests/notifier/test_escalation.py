"""Who is asked when: nights on call, from the alert to the answer, for every severity and everything that escalates."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from schemas.incident import Impact
from tests.support.night import JOHANNESBURG, Night, Someone, alert

ALL = "phone sms email"


class TestCritical:
    def test_it_climbs_until_somebody_answers_and_then_it_is_silent(self) -> None:
        night = Night(rooms=True)
        assert night.alert(alert("provider_down", provider="ozow")) == [
            f"0:00 page thandi: {ALL}", "0:00 page #slack", "0:00 page #webhook"
        ]  # fmt: skip
        assert night.until("4:59") == []
        assert night.until("5:00") == [f"5:00 page sipho: {ALL}", "5:00 page #slack", "5:00 page #webhook"]
        assert night.until("7:00") == []
        assert night.tell("ack", by="sipho").text == "#1 is acknowledged"
        assert night.until("36:00") == []
        assert night.incident().acknowledged_by == night.incident().assignee == "sipho"

    def test_nobody_answers(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow"))
        assert night.until("1:30:00") == [
            f"5:00 page sipho: {ALL}",
            f"15:00 page lerato: {ALL}",
            f"30:00 page naledi: {ALL}",
            *(f"1:00:00 page {one}: {ALL}" for one in ("thandi", "sipho", "lerato", "naledi")),
            *(f"1:30:00 page {one}: {ALL}" for one in ("thandi", "sipho", "lerato", "naledi")),
        ]

    def test_an_answer_that_goes_quiet_is_none(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow"))
        night.until("3:00")
        night.tell("ack")
        night.until("20:00")
        night.tell("note", "looking at the gateway")
        assert night.until("49:59") == []
        assert night.until("56:00") == [f"50:00 page thandi: {ALL}", f"55:00 page sipho: {ALL}"]
        assert night.incident().status == "triggered"
        assert "nothing was heard since thandi answered" in night.story()

    def test_who_investigates_is_heard_as_well_and_what_is_mitigated_may_be_quiet_longer(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow"))
        night.tell("ack")
        night.until("29:00")
        night.tell("investigate")
        assert night.until("58:00") == []
        night.tell("mitigate", "traffic goes to peach")
        assert night.until("2:57:59") == []
        assert night.until("2:58:00") == [f"2:58:00 page thandi: {ALL}"]


class TestOthers:
    def test_high_takes_three_times_as_long_and_phones_nobody(self) -> None:
        night = Night()
        assert night.alert(alert("provider_down", severity="high", provider="ozow")) == ["0:00 page thandi: email"]
        assert night.until("3:00:00") == [
            "15:00 page sipho: email",
            "45:00 page lerato: email",
            "1:30:00 page naledi: email",
            *(f"3:00:00 page {one}: email" for one in ("thandi", "sipho", "lerato", "naledi")),
        ]

    def test_medium_asks_no_executive(self) -> None:
        night = Night()
        assert night.alert(alert("slow", severity="medium", component="checkout")) == ["0:00 page thandi: email"]
        assert night.until("6:00:00") == [
            "1:00:00 page sipho: email",
            "3:00:00 page lerato: email",
            *(f"6:00:00 page {one}: email" for one in ("thandi", "sipho", "lerato")),
        ]

    def test_low_is_answered_on_the_next_business_day(self) -> None:
        """Friday night; Monday is a holiday. The primary has Tuesday, the secondary Wednesday."""
        friday = datetime(2026, 8, 7, 22, 0, tzinfo=JOHANNESBURG)
        night = Night(friday, holidays=frozenset({"2026-08-10"}))
        assert night.alert(alert("disk_filling", severity="low", host="db-1")) == ["0:00 page thandi: email"]
        assert night.until("Tue 16:59") == []
        assert night.until("Tue 17:00") == ["Tue 17:00 page sipho: email"]
        assert night.until("Wed 16:59") == []
        assert night.tell("ack", by="sipho").done
        assert night.until("Thu 17:00") == ["Thu 17:00 page sipho: email"], "a day without a word"

    @pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 24 + 24 + 7 - 1), ("2026-10-24", 24 + 24 + 7 + 1)])
    def test_a_business_day_ends_at_five_whatever_the_clocks_did_at_night(self, day: str, hours: int) -> None:
        """Saturday 10:00 in Berlin; the clocks change before Sunday's morning."""
        zone = ZoneInfo("Europe/Berlin")
        night = Night(datetime.fromisoformat(f"{day}T10:00").replace(tzinfo=zone))
        night.alert(alert("disk_filling", severity="low", host="db-1"))
        due = night.incident().step_at
        assert due is not None
        assert (due - night.start_ms) / 3_600_000 == hours

    @pytest.mark.parametrize("day", ["2026-03-29T01:58", "2026-10-25T02:58"])
    def test_five_minutes_are_five_minutes_while_the_clocks_change(self, day: str) -> None:
        night = Night(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")))
        night.alert(alert("provider_down", provider="ozow"))
        assert night.until("5:00") == [f"5:00 page sipho: {ALL}"]
        assert (night.book.asked_at[-1] - night.book.asked_at[0]).total_seconds() == 300

    def test_the_list_of_the_rule_wins(self) -> None:
        night = Night(rooms=True)
        said = night.alert(alert("system_down", component="checkout", channels=("phone", "slack")))
        assert said == ["0:00 page thandi: phone", "0:00 page #slack"]
        said = night.alert(alert("slow", severity="low", component="course", channels=("sms",)))
        assert said == ["0:00 page thandi: sms"]


class TestTriggers:
    @pytest.fixture
    def night(self) -> Night:
        night = Night()
        night.alert(alert("provider_down", provider="ozow", component="checkout"))
        return night

    def test_i_cannot_solve_this(self, night: Night) -> None:
        night.until("2:00")
        night.tell("ack")
        assert night.tell("escalate", "never saw this").text == "#1 is escalated: the secondary is asked"
        assert night.log[-1] == f"2:00 page sipho: {ALL}"
        assert night.until("12:00") == [f"12:00 page lerato: {ALL}"], "the secondary has ten minutes"
        assert "thandi cannot solve it: never saw this: the secondary is asked" in night.story()

    def test_more_than_one_component(self, night: Night) -> None:
        night.until("1:00")
        night.tell("ack")
        assert night.alert(alert("slow", provider="ozow", component="enrolment")) == [f"1:00 page sipho: {ALL}"]
        assert night.incident().status == "acknowledged", "thandi is still at work on it"
        assert night.until("14:00") == []
        assert night.alert(alert("slow", provider="ozow", component="webhooks")) == [
            "14:00 update thandi: email", "14:00 update sipho: email"
        ]  # fmt: skip

    def test_customers_feel_it(self, night: Night) -> None:
        few = Impact(49, {"ZAR": 490_000}, 0)
        assert night.desk.assess({night.incident().id: few}, night.now_ms).pages == ()
        many = Impact(50, {"ZAR": 500_000}, 0)
        pages = night.desk.assess({night.incident().id: many}, night.now_ms).pages
        assert {page.person for page in pages} == {"sipho"}
        again = Impact(600, {"ZAR": 6_000_000}, 0)
        assert night.desk.assess({night.incident().id: again}, night.now_ms).pages == (), "once is enough"
        assert night.story(1, "impact")[-1] == "so far 600 failed payments, 60,000.00 ZAR at risk"

    def test_much_money_in_few_payments(self, night: Night) -> None:
        impact = Impact(2, {"ZAR": 5_000_000}, 0)
        assert night.desk.assess({night.incident().id: impact}, night.now_ms).pages

    def test_an_empty_level_passes_to_the_next_at_once(self) -> None:
        night = Night()
        night.book.duty |= {"primary": (), "secondary": (Someone("sipho", {"slack": "@sipho"}),)}
        said = night.alert(alert("provider_down", provider="ozow", channels=("phone",)))
        assert said == ["0:00 page lerato: phone"]
        assert night.until("14:59") == []
        assert night.until("15:00") == ["15:00 page naledi: phone"], "the team lead had a quarter of an hour"

    def test_nobody_is_on_call_at_all(self) -> None:
        night = Night(rooms=True)
        night.book.duty.clear()
        assert night.alert(alert("provider_down", provider="ozow")) == ["0:00 page #slack", "0:00 page #webhook"]
        assert any("nobody is to be reached at any level" in one for one in night.story())
        night.book.duty["primary"] = (Someone("thandi"),)
        assert f"30:00 page thandi: {ALL}" in night.until("30:00")

    def test_who_cannot_be_reached_is_passed_over_at_once(self) -> None:
        night = Night(deliver=False)
        night.alert(alert("provider_down", provider="ozow"))
        night.until("0:20")
        assert night.fails("phone", "sms") == []
        assert night.fails("email") == [f"0:20 page sipho: {ALL}"]

    def test_who_has_answered_needs_no_other_to_be_reached(self) -> None:
        night = Night(deliver=False)
        night.alert(alert("provider_down", provider="ozow"))
        night.tell("ack")
        assert night.fails("phone", "sms", "email") == []

    def test_to_whom_the_outbox_is_an_address_every_channel_is(self) -> None:
        night = Night()
        night.book.duty["primary"] = (Someone("you", {"outbox": "you"}),)
        assert night.alert(alert("provider_down", provider="ozow")) == ["0:00 page you: phone sms email slack webhook"]

    def test_a_team_that_is_no_more_hands_over_to_another(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow", owner="payments"))
        night.book.gone.add("payments")
        assert night.until("5:00") == [f"5:00 page sipho: {ALL}"]
        assert night.incident().team == "everybody"
        assert "there is no team payments any more: it is everybody's" in night.story()

    def test_several_on_one_level_are_all_asked(self) -> None:
        night = Night()
        night.book.duty["primary"] = (Someone("thandi"), Someone("zola"))
        said = night.alert(alert("provider_down", provider="ozow"))
        assert said == [f"0:00 page thandi: {ALL}", f"0:00 page zola: {ALL}"]


class TestSeverity:
    def test_it_is_the_worst_of_the_alerts_and_what_gets_worse_is_paged_again(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="medium", provider="ozow"))
        night.until("10:00")
        night.tell("ack")
        assert night.alert(alert("provider_down", "updated", severity="critical", provider="ozow", n=1)) == [
            f"10:00 page thandi: {ALL}"
        ]
        assert (night.incident().severity, night.incident().status) == ("critical", "triggered")
        assert night.until("15:00") == [f"15:00 page sipho: {ALL}"]
        night.alert(alert("provider_down", "updated", severity="medium", provider="ozow", n=2))
        assert night.incident().severity == "critical", "what was so bad is looked after as such"

    def test_it_is_raised_by_hand(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="low", provider="ozow"))
        assert night.tell("severity", "P0").text == "#1 is P0 (critical)"
        assert night.log[-1] == f"0:00 page thandi: {ALL}"
        assert night.until("5:00") == [f"5:00 page sipho: {ALL}"]

    def test_it_is_lowered_by_hand_until_something_worse_comes(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="high", provider="ozow"))
        night.tell("severity", "medium")
        assert night.until("59:59") == []
        night.alert(alert("provider_down", "updated", severity="high", provider="ozow", n=1))
        assert night.incident().severity == "medium", "nothing new"
        night.alert(alert("provider_down", "updated", severity="critical", provider="ozow", n=2))
        assert night.incident().severity == "critical"
        assert night.log[-1] == f"59:59 page thandi: {ALL}"

    def test_a_severity_that_there_is_not(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow"))
        answer = night.tell("severity", "horrible")
        assert not answer.done
        assert answer.text == "no severity 'horrible': there are critical, high, medium, low"


def test_the_policy_is_the_one_of_when_it_opened() -> None:
    night = Night()
    night.alert(alert("provider_down", provider="ozow"))
    frozen = night.incident().policy
    night.desk._policy = frozen.__class__({}, 0, 0)
    assert night.until("5:00") == [f"5:00 page sipho: {ALL}"]


def test_another_desk_goes_on_in_the_middle_of_a_night() -> None:
    night = Night()
    night.alert(alert("provider_down", provider="ozow"))
    night.until("4:00")
    night.restart()
    assert night.until("4:59") == []
    assert night.until("5:00") == [f"5:00 page sipho: {ALL}"]
    night.restart()
    assert night.until("14:59") == []


def test_a_night_in_which_no_desk_was_at_work_is_made_up_for_in_order() -> None:
    night = Night()
    night.alert(alert("provider_down", provider="ozow"))
    night.now_ms += 3 * 3_600_000
    night.restart()
    assert night.until("3:00:00") == [f"3:00:00 page sipho: {ALL}"], "one level, not all of them"
    assert night.until("3:10:00") == [f"3:10:00 page lerato: {ALL}"]
