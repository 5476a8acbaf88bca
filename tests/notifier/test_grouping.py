"""Which alerts are one incident, and that a storm is few."""

from __future__ import annotations

import pytest

from notifier.policy import MEMBERS_MOST, STORM_ALL, STORM_RULE, TIMELINE_HEAD, TIMELINE_TAIL
from schemas.alert import Slice
from schemas.incident import Incident
from tests.support.night import Night, alert


@pytest.fixture
def night() -> Night:
    return Night()


def numbers(night: Night) -> dict[int, tuple[str, ...]]:
    """Incident → its rules."""
    return {one.number: one.rules for one in night.desk.incidents.values()}


class TestTogether:
    def test_the_same_provider(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"), alert("slow_partner", severity="low", target="ozow"))
        assert numbers(night) == {1: ("provider_down", "slow_partner")}

    def test_the_same_component(self, night: Night) -> None:
        night.alert(alert("system_down", component="db"), alert("slow_queries", severity="low", component="db"))
        assert len(numbers(night)) == 1

    def test_another_provider_is_another_incident(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"), alert("provider_down", provider="peach"))
        assert len(numbers(night)) == 2

    def test_the_slice_that_most_of_it_is_in(self, night: Night) -> None:
        much = (Slice(dimensions={"provider": "ozow"}, share=0.8),)
        little = (Slice(dimensions={"provider": "ozow"}, share=0.2),)
        night.alert(
            alert("provider_down", provider="ozow"),
            alert("payment_processing_failure", slice=much),
            alert("conversion_low", slice=little),
        )
        assert numbers(night) == {1: ("provider_down", "payment_processing_failure"), 2: ("conversion_low",)}

    def test_the_values_that_are_none_say_nothing(self, night: Night) -> None:
        night.alert(alert("one", provider=None, component="other"), alert("two", provider=None, component="other"))
        assert len(numbers(night)) == 2

    def test_one_explains_the_other_whichever_comes_first(self, night: Night) -> None:
        cause = alert("system_down", component="db")
        night.alert(alert("slow", inhibited_by=cause.id, severity="low"), cause)
        assert numbers(night) == {1: ("slow", "system_down")}
        night.alert(alert("slower", inhibited_by=cause.id, severity="low"))
        assert len(numbers(night)) == 1

    def test_what_began_anew_without_an_end_explains_as_well(self, night: Night) -> None:
        again = alert("system_down", component="db", episode=1)
        night.alert(alert("system_down", component="db"), again, alert("slow", inhibited_by=again.id, severity="low"))
        assert len(numbers(night)) == 1

    def test_a_quarter_of_an_hour_later_it_is_another(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"))
        night.until("15:00")
        night.alert(alert("slow_partner", severity="low", target="ozow"))
        assert len(numbers(night)) == 1
        night.until("30:01")
        night.alert(alert("payment_failing", severity="low", provider="ozow"))
        assert len(numbers(night)) == 2

    def test_what_goes_on_stays_where_it_is_however_long(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"))
        night.until("5:00:00")
        night.alert(alert("provider_down", "updated", provider="ozow", n=1))
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        assert [one.status for one in night.desk.incidents.values()] == ["resolved"]

    def test_the_end_of_something_unknown_opens_nothing(self, night: Night) -> None:
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        assert numbers(night) == {}

    def test_the_update_of_something_unknown_is_taken_for_its_beginning(self, night: Night) -> None:
        assert night.alert(alert("provider_down", "updated", provider="ozow"))
        assert len(numbers(night)) == 1


class TestStorm:
    def test_ten_thousand_of_one_cause_are_one_incident_and_one_page(self, night: Night) -> None:
        for start in range(0, 10_000, 500):
            night.now_ms += 3_000
            routes = range(start, start + 500)
            night.alert(*(alert("call_failing", severity="high", provider="ozow", group={"route": n}) for n in routes))
        assert len(numbers(night)) == 1
        assert night.log == ["0:03 page thandi: email"]
        one = night.incident()
        assert len(one.members) == MEMBERS_MOST
        assert one.members_more == 10_000 - MEMBERS_MOST
        assert len(one.timeline) <= TIMELINE_HEAD + TIMELINE_TAIL

    def test_it_is_over_when_all_that_are_counted_are(self, night: Night) -> None:
        many = [alert("call_failing", severity="high", provider="ozow", group={"route": n}) for n in range(500)]
        night.alert(*many)
        over = [
            alert("call_failing", "resolved", severity="high", provider="ozow", group={"route": n}) for n in range(500)
        ]
        night.alert(*over[:499])
        assert night.incident().open
        night.restart()
        night.alert(over[499])
        assert night.incident().status == "resolved"

    def test_what_is_counted_and_goes_on_still_asks(self, night: Night) -> None:
        night.alert(*(alert("call_failing", severity="high", provider="ozow", group={"route": n}) for n in range(300)))
        over = (
            alert("call_failing", "resolved", severity="high", provider="ozow", group={"route": n})
            for n in range(MEMBERS_MOST)
        )
        assert night.alert(*over) == []
        assert night.until("15:00") == ["15:00 page sipho: email"]

    def test_what_is_over_makes_room(self, night: Night) -> None:
        many = range(MEMBERS_MOST)
        night.alert(*(alert("call_failing", severity="high", provider="ozow", group={"route": n}) for n in many))
        night.alert(alert("call_failing", "resolved", severity="high", provider="ozow", group={"route": 7}))
        night.alert(alert("slow", severity="low", provider="ozow"))
        one = night.incident()
        assert (len(one.members), one.members_more, one.members[-1].rule, one.others) == (MEMBERS_MOST, 1, "slow", frozenset())

    def test_ten_thousand_of_one_rule_are_a_few_incidents(self, night: Night) -> None:
        for start in range(0, 10_000, 1_000):
            night.alert(*(alert("host_down", severity="high", host=f"h{n}") for n in range(start, start + 1_000)))
        assert len(numbers(night)) == STORM_RULE + 1
        assert night.incident(STORM_RULE + 1).title == "Many alerts of host_down at once, such as: host_down is bad"
        assert sum(line.count("email") for line in night.log) == STORM_RULE + 1

    def test_ten_thousand_of_one_rule_about_nothing_that_has_a_name_are_one_incident(self, night: Night) -> None:
        for start in range(0, 10_000, 1_000):
            night.alert(*(alert("buyers_fail", severity="high", group={"merchant": n}) for n in range(start, start + 1_000)))
        night.alert(alert("others_fail", severity="high", group={"merchant": 1}))
        assert [one.title for one in night.desk.incidents.values()] == ["buyers_fail is bad", "others_fail is bad"]
        assert sum(line.count("email") for line in night.log) == 2

    def test_ten_thousand_of_everything_are_bounded(self, night: Night) -> None:
        for start in range(0, 10_000, 1_000):
            night.alert(*(alert(f"rule_{n}", severity="high", host=f"h{n}") for n in range(start, start + 1_000)))
        assert len(numbers(night)) == STORM_ALL + 1

    def test_after_a_storm_each_is_one_again(self, night: Night) -> None:
        night.alert(*(alert("host_down", severity="high", host=f"h{n}") for n in range(20)))
        night.until("16:00")
        night.alert(alert("host_down", severity="high", host="h99"))
        assert len(numbers(night)) == STORM_RULE + 2
        assert night.incident(STORM_RULE + 2).storm is None


def test_what_is_forgotten_is_not_found_any_more(night: Night) -> None:
    night.alert(alert("provider_down", provider="ozow"), alert("provider_down", "resolved", provider="ozow"))
    assert night.desk.forgettable(night.now_ms) == ([], [])
    old, _ = night.desk.forgettable(night.now_ms + 91 * 86_400_000)
    gone: Incident = night.incident()
    assert old == [gone.id]
    night.desk.forget(old, [])
    night.alert(alert("provider_down", provider="ozow", episode=1))
    assert len(night.desk.incidents) == 1
    assert gone.id not in night.desk.incidents
