"""Silences and maintenance windows: what they swallow, and what they must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.silences import BadSilence, matcher
from schemas.incident import matcher_text
from tests.support.night import Night, alert


@pytest.fixture
def night() -> Night:
    night = Night()
    return night


PAGE = "page thandi: phone sms email"


class TestSilence:
    def test_what_matches_pages_nobody_and_is_recorded(self, night: Night) -> None:
        assert night.silence("provider=ozow", start="0:00", end="30:00").text == "provider=ozow will page nobody"
        night.until("1:00")
        assert night.alert(alert("provider_down", provider="ozow")) == []
        assert night.alert(alert("provider_down", provider="peach")) == [f"1:00 {PAGE}"]
        assert night.story(1)[1] == "provider_down firing: provider_down is bad (silenced; pages nobody)"

    def test_at_its_end_what_still_goes_on_is_announced(self, night: Night) -> None:
        night.silence("provider=ozow", start="0:00", end="30:00")
        night.alert(alert("provider_down", provider="ozow"))
        assert night.until("29:59") == []
        assert night.until("30:00") == [f"30:00 {PAGE}"]

    def test_what_began_and_ended_in_it_is_not(self, night: Night) -> None:
        night.silence("provider=ozow", start="0:00", end="30:00")
        night.alert(alert("provider_down", provider="ozow"))
        night.until("5:00")
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        assert night.until("24:00:00") == []
        assert night.incident().status == "resolved"

    def test_the_end_of_what_was_announced_before_is_never_swallowed(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"))
        night.until("1:00")
        night.silence("provider=ozow", start="1:00", end="30:00")
        assert night.until("10:00") == [], "it asks nobody any more"
        assert night.alert(alert("provider_down", "resolved", provider="ozow")) == ["10:00 resolved thandi: sms email"]
        assert night.until("24:00:00") == []

    def test_what_is_as_before_is_not_announced_again_and_its_times_go_on(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"))
        night.until("1:00")
        night.silence("provider=ozow", start="1:00", end="30:00")
        assert night.until("34:59") == []
        assert night.until("35:00") == ["35:00 page sipho: phone sms email"], "nobody has answered yet"

    def test_what_got_worse_in_it_is_announced(self, night: Night) -> None:
        night.alert(alert("provider_down", severity="medium", provider="ozow"))
        night.tell("ack")
        night.silence("provider=ozow", start="0:00", end="30:00")
        night.until("1:00")
        assert night.alert(alert("provider_down", "updated", provider="ozow", n=1)) == []
        assert night.until("30:00") == [f"30:00 {PAGE}"]

    def test_what_was_over_and_began_again_in_it_is_announced(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"))
        night.silence("provider=ozow", start="0:00", end="30:00")
        night.until("1:00")
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        night.until("2:00")
        assert night.alert(alert("provider_down", provider="ozow", episode=1)) == []
        assert night.until("30:00") == [f"30:00 {PAGE}"]

    def test_what_does_not_match_goes_on(self, night: Night) -> None:
        night.silence("provider=ozow", "severity!=critical", start="0:00", end="30:00")
        assert night.alert(alert("provider_down", provider="ozow")) == [f"0:00 {PAGE}"]
        assert night.alert(alert("slow", severity="low", provider="ozow")) == []

    def test_a_part_of_an_incident_that_is_silenced_does_not_silence_the_rest(self, night: Night) -> None:
        night.alert(alert("provider_down", provider="ozow"), alert("slow", provider="ozow"))
        night.silence("rule=slow", start="0:00", end="30:00")
        assert night.until("5:00") == ["5:00 page sipho: phone sms email"]

    def test_ended_early_it_announces_at_once(self, night: Night) -> None:
        ident = night.silence("provider=oz*", start="0:00", end="30:00").id or ""
        night.alert(alert("provider_down", provider="ozow"))
        night.until("3:00")
        before = len(night.log)
        assert night.tell("unsilence", ident[:8]).text == "it is over"
        assert night.log[before:] == [f"3:00 {PAGE}"]
        assert night.tell("unsilence", ident[:8]).text == "it is over already"


class TestMaintenance:
    def test_a_window_that_is_planned_begins_and_ends_by_itself(self, night: Night) -> None:
        night.silence("component=checkout", start="10:00", end="1:10:00", kind="maintenance", reason="database upgrade")
        assert night.alert(alert("slow", component="checkout")) == [f"0:00 {PAGE}"]
        night.tell("ack")
        assert night.until("10:00") == []
        assert night.alert(alert("system_down", component="checkout")) == []
        night.restart()
        assert night.until("1:09:59") == []
        said = night.until("1:10:00")
        assert said == ["1:10:00 update thandi: email"], "the one that is new; thandi is at work on it"
        assert "slow is silenced by thandi: database upgrade" in night.story()
        assert night.story(1, "silenced")[-2:] == ["slow is no longer silenced", "system_down is no longer silenced"]

    def test_its_beginning_and_end_are_told_once(self, night: Night) -> None:
        night.silence("component=checkout", start="10:00", end="20:00", kind="maintenance")
        night.now_ms = night._ms("10:00")
        changes = night.desk.tick(night.now_ms)
        assert [change for _, change in changes.silences] == ["began"]
        assert not night.desk.tick(night.now_ms + 1)
        changes = night.desk.tick(night._ms("20:00"))
        assert [(one.phase, one.version, change) for one, change in changes.silences] == [("over", 3, "over")]


    def test_a_clock_that_goes_back_does_not_revive_it(self, night: Night) -> None:
        night.silence("component=checkout", start="0:00", end="20:00", kind="maintenance")
        night.until("20:00")
        assert not night.desk.tick(night.now_ms - 2_000)


class TestBad:
    @pytest.mark.parametrize("text", ["", "provider", "=ozow", "provider=", "provider~ozow", "a b=c", "provider=" + "x" * 300])
    def test_what_is_no_matcher_is_refused(self, text: str) -> None:
        with pytest.raises(BadSilence, match="is no matcher: write name=pattern"):
            matcher(text)

    @given(
        name=st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        wanted=st.booleans(),
        pattern=st.from_regex(r"[a-z*?.-]{1,9}", fullmatch=True),
    )
    def test_a_matcher_is_read_as_it_is_written(self, name: str, wanted: bool, pattern: str) -> None:
        assert matcher(matcher_text((name, wanted, pattern))) == (name, wanted, pattern)

    @pytest.mark.parametrize(
        ("how", "why"),
        [
            ({"start": "0:00", "end": "0:00"}, "it would be over already"),
            ({"start": "0:00", "end": "2400:00:00"}, "it would last longer than 90 days"),
            ({"start": "0:00", "end": "1:00", "reason": " "}, "say who silences, and why"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, night: Night, how: dict[str, str], why: str) -> None:
        answer = night.silence("provider=ozow", **how)
        assert not answer.done
        assert answer.text.startswith(why)
        assert not night.desk.silences

    def test_what_would_silence_everything_is_refused(self, night: Night) -> None:
        for everything in ("rule=*", "provider=**"):
            assert "silence every alert" in night.silence(everything, start="0:00", end="1:00").text
        assert "1 to 20 matchers" in night.silence(start="0:00", end="1:00").text

    def test_an_unknown_one_cannot_be_ended(self, night: Night) -> None:
        assert night.tell("unsilence", "abcdef").text == "no silence 'abcdef': 'tillwatch silence list' shows them"
