"""The life of an incident: what people and alerts do to it, what is told of it, and what is on its timeline."""

from __future__ import annotations

import pytest

from notifier.desk import Result, Told
from notifier.policy import CHANGES_BEFORE_MS, PAGES_MOST, TIMELINE_CHARS, TIMELINE_HEAD, TIMELINE_TAIL, UPDATES_MOST
from schemas.alert import Evidence, OffsetRange, Slice
from schemas.incident import SERVICES_MOST, TEXT_MOST, TITLE_MOST, Moved, Update
from tests.support.night import Night, alert


@pytest.fixture
def night() -> Night:
    """An incident at 0:00, of which the primary knows."""
    night = Night()
    night.alert(alert("provider_down", provider="ozow", runbook="provider_down"))
    return night


def ended(*, n: int = 0) -> object:
    return alert("provider_down", "resolved", provider="ozow", n=n)


class TestStates:
    def test_from_the_alert_to_the_review(self, night: Night) -> None:
        seen = [night.incident().status]
        for minute, kind in enumerate(("ack", "investigate", "mitigate", "resolve", "review"), 1):
            night.until(f"{minute}:00")
            assert night.tell(kind).done
            seen.append(night.incident().status)
        assert seen == ["triggered", "acknowledged", "investigating", "mitigated", "resolved", "reviewed"]
        one = night.incident()
        minutes = [one.acknowledged_ms, one.mitigated_ms, one.resolved_ms, one.reviewed_ms]
        assert [(at - one.opened_ms) // 60_000 for at in minutes if at is not None] == [1, 3, 4, 5]
        assert night.until("48:00:00") == []

    def test_it_is_over_when_its_alerts_are(self, night: Night) -> None:
        night.until("2:00")
        assert night.alert(ended()) == ["2:00 resolved thandi: sms email"]
        assert night.incident().status == "resolved"
        assert night.until("24:00:00") == []

    def test_an_alert_that_is_taken_back_is_over(self, night: Night) -> None:
        night.alert(alert("provider_down", "retracted", provider="ozow"))
        assert night.incident().status == "resolved"

    def test_no_data_is_not_over(self, night: Night) -> None:
        night.alert(alert("provider_down", "no_data", provider="ozow"))
        assert night.incident().status == "triggered"
        assert night.until("5:00") == ["5:00 page sipho: phone sms email"]

    def test_what_fires_again_soon_is_the_same_incident_and_later_another(self, night: Night) -> None:
        night.until("2:00")
        night.alert(ended())
        night.until("10:00")
        assert night.alert(alert("provider_down", provider="ozow", episode=1)) == ["10:00 page thandi: phone sms email"]
        assert len(night.desk.incidents) == 1
        night.alert(alert("provider_down", "resolved", provider="ozow", episode=1))
        night.until("26:00")
        night.alert(alert("provider_down", provider="ozow", episode=2))
        assert [one.number for one in night.desk.incidents.values()] == [1, 2]

    def test_what_is_resolved_by_hand_and_still_fires_comes_back(self, night: Night) -> None:
        night.until("1:00")
        night.tell("resolve", "false alarm")
        assert night.log[-1] == "1:00 resolved thandi: sms email"
        assert night.until("30:59") == []
        assert night.until("31:00") == ["31:00 page thandi: phone sms email"]
        assert "its alerts still fire" in night.story()

    def test_what_fires_again_is_as_bad_as_it_is_now(self, night: Night) -> None:
        night.alert(ended())
        night.until("5:00")
        assert night.alert(alert("provider_down", severity="low", provider="ozow", episode=1)) == ["5:00 page thandi: email"]
        assert night.incident().severity == "low"

    def test_what_is_resolved_by_hand_and_then_over_stays_so(self, night: Night) -> None:
        night.tell("resolve")
        night.until("5:00")
        assert night.alert(ended()) == []
        assert night.until("48:00:00") == []

    def test_what_is_resolved_by_hand_and_gets_worse_comes_back_at_once(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="high", provider="ozow"))
        night.tell("resolve")
        said = night.alert(alert("provider_down", "updated", severity="critical", provider="ozow", n=1))
        assert "0:00 page thandi: phone sms email" in said

    def test_what_was_mitigated_and_fires_anew_asks_again(self, night: Night) -> None:
        night.tell("mitigate")
        night.until("10:00")
        said = night.alert(alert("slow", provider="ozow", severity="medium"))
        assert said == ["10:00 page thandi: phone sms email"]
        assert night.incident().status == "triggered"

    def test_reopened_by_hand_it_stays_open_until_a_hand_resolves_it(self, night: Night) -> None:
        night.alert(ended())
        night.until("60:00")
        assert night.tell("reopen", "customers still call").done
        assert night.log[-1] == "1:00:00 page thandi: phone sms email"
        night.tell("ack")
        night.alert(alert("provider_down", provider="ozow", episode=1))
        night.alert(alert("provider_down", "resolved", provider="ozow", episode=1))
        assert night.incident().open
        assert night.tell("resolve").done
        assert night.incident().status == "resolved"

    @pytest.mark.parametrize(
        ("kind", "why"),
        [
            ("ack", "#1 is resolved: reopen it first"),
            ("escalate", "#1 is resolved: reopen it first"),
            ("resolve", "#1 is resolved: reopen it first"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, night: Night, kind: str, why: str) -> None:
        night.alert(ended())
        answer = night.tell(kind)
        assert (answer.done, answer.text) == (False, why)
        assert night.incident().status == "resolved"

    def test_more_that_cannot_be_done(self, night: Night) -> None:
        assert night.tell("review").text == "#1 is triggered: only what is resolved can be reviewed"
        assert night.tell("reopen").text == "#1 is open: it is triggered"
        assert night.tell("note").text == "a note needs a text"
        assert night.tell("assign").text == "to whom? Name a person"
        assert night.tell("note", "x" * 3_000).text == "the text is longer than 2000 characters"
        assert night.tell("ack", number=7).text == "no incident '#7': 'tillwatch incidents list' shows them with their numbers"

    def test_it_is_found_by_the_beginning_of_its_id(self, night: Night) -> None:
        mark = night.incident().id
        assert night.desk.find(mark).number == night.desk.find(mark[:12]).number == night.desk.find("1").number == 1


class TestTimeline:
    def test_it_tells_who_did_what_and_when(self, night: Night) -> None:
        night.until("2:00")
        night.tell("ack", "on it")
        night.tell("assign", "sipho")
        night.tell("note", "the gateway times out")
        told = [((one.at_ms - night.start_ms) // 1000, one.kind, one.author, one.text) for one in night.entries()]
        assert told == [
            (0, "opened", "tillwatch", "provider_down is bad"),
            (0, "alerted", "tillwatch", "provider_down firing: provider_down is bad"),
            (0, "delivered", "tillwatch", "told thandi by phone"),
            (0, "delivered", "tillwatch", "told thandi by sms"),
            (0, "delivered", "tillwatch", "told thandi by email"),
            (120, "acknowledged", "thandi", "thandi acknowledged: on it"),
            (120, "assigned", "thandi", "thandi assigns it to sipho"),
            (120, "noted", "thandi", "the gateway times out"),
        ]
        assert night.incident().assignee == "sipho"

    def test_a_page_that_did_not_get_through_is_on_it(self) -> None:
        night = Night(deliver=False)
        night.alert(alert("provider_down", provider="ozow"))
        night.fails("sms")
        assert night.story(1, "undelivered") == ["could not tell thandi by sms: no answer"]

    def test_alerts_that_page_nobody_are_on_it(self, night: Night) -> None:
        inhibitor = next(iter(night.incident().members)).ids[0]
        assert night.alert(alert("payment_failing", provider="ozow", severity="high", inhibited_by=inhibitor)) == []
        assert night.alert(alert("yesterday", provider="ozow", severity="high", historical=True)) == []
        assert night.story(1, "alerted")[1:] == [
            "payment_failing firing: payment_failing is bad (explained by another alert; pages nobody)",
            "yesterday firing: yesterday is bad (of the past; pages nobody)",
        ]

    def test_releases_of_the_half_hour_before_are_with_it(self) -> None:
        night = Night()
        ms = night.start_ms
        night.moved = tuple(
            Moved(ms - ago, "deploy.released", "checkout", version)
            for ago, version in ((CHANGES_BEFORE_MS + 60_000, "v1"), (600_000, "v2"), (60_000, "v3"))
        )
        night.alert(alert("provider_down", provider="ozow"))
        assert [one.text for one in night.incident().changes] == ["v2", "v3"]

    def test_a_long_one_keeps_its_beginning_and_its_end(self, night: Night) -> None:
        for number in range(600):
            night.tell("note", f"note {number}")
        one = night.incident()
        assert len(one.timeline) == TIMELINE_HEAD + TIMELINE_TAIL
        assert one.timeline[0].kind == "opened"
        assert one.timeline[-1].text == "note 599"
        assert one.timeline_more == 5 + 600 - len(one.timeline)
        for number in range(300):
            night.tell("note", f"{number}" * 500)
        assert sum(len(entry.text) for entry in night.entries()[TIMELINE_HEAD:]) <= TIMELINE_CHARS
        assert night.entries()[-1].text == "299" * 500

    def test_messages_that_arrived_are_forgotten_in_time_and_others_are_not(self) -> None:
        for arrive in (True, False):
            night = Night(deliver=arrive)
            night.alert(alert("provider_down", provider="ozow"))
            night.until("60:00:00")
            assert len(night.incident().pages) == (PAGES_MOST if arrive else len(night.sent))
            assert len(night.desk.unsent()) == len(night.sent) * (not arrive)
            assert len(night.sent) > 200


class TestQuiet:
    def test_its_severity_is_known_all_the_same(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="medium", provider="ozow", historical=True))
        night.alert(alert("provider_down", "updated", provider="ozow", historical=True, n=1))
        assert (night.incident().severity, night.log) == ("critical", [])

    def test_an_alert_of_the_past_asks_nobody(self) -> None:
        night = Night()
        assert night.alert(alert("provider_down", provider="ozow", historical=True)) == []
        assert night.until("24:00:00") == []
        assert night.incident().status == "triggered"

    def test_what_is_explained_asks_once_the_explanation_is_over(self) -> None:
        night = Night()
        cause = alert("provider_down", provider="ozow")
        night.alert(cause)
        night.alert(alert("conversion_low", severity="high", inhibited_by=cause.id))
        night.tell("ack")
        night.until("10:00")
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        assert night.incident().open, "an alert of it goes on"
        said = night.alert(alert("conversion_low", "updated", severity="high", n=1))
        assert said == ["10:00 update thandi: email"]

    def test_what_was_explained_by_something_unknown_asks_when_it_no_longer_is(self) -> None:
        night = Night()
        assert night.alert(alert("conversion_low", severity="high", inhibited_by="0" * 64)) == []
        assert night.alert(alert("conversion_low", "updated", severity="high", n=1)) == ["0:00 page thandi: email"]

    def test_what_is_over_and_was_never_told_is_not_told_to_be_over(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow", historical=True))
        assert night.alert(alert("provider_down", "resolved", provider="ozow", historical=True)) == []
        assert night.incident().status == "resolved"


class TestTwice:
    def test_alerts_that_come_twice_change_nothing(self, night: Night) -> None:
        first = alert("provider_down", provider="ozow", runbook="provider_down")
        before = night.incident()
        assert night.alert(first) == []
        night.alert(alert("provider_down", "updated", provider="ozow", n=1))
        assert night.alert(first) == []
        night.alert(ended())
        assert night.alert(ended()) == []
        assert night.alert(first) == [], "not even after its end"
        assert before.version < night.incident().version <= before.version + 2 + 1

    def test_a_log_that_is_read_again_changes_nothing(self, night: Night) -> None:
        log = [alert("provider_down", provider="ozow", runbook="provider_down")]
        log += [alert("provider_down", "updated", provider="ozow", n=n) for n in range(1, 5)]
        night.alert(*log[1:])
        for offset, one in enumerate(log):
            assert not night.desk.take([Told(offset, one)], night.now_ms)

    def test_commands_that_come_twice_are_done_once(self, night: Night) -> None:
        night.tell("escalate", ident="one")
        asked = night.incident().level
        assert night.tell("escalate", ident="one").text == "#1 has it already"
        assert night.incident().level == asked

    def test_results_that_come_twice_are_noted_once(self) -> None:
        night = Night(deliver=False)
        night.alert(alert("provider_down", provider="ozow"))
        incident, page = night.desk.unsent()[0]
        result = Result(incident.id, page.key, False, "no answer")
        assert night.desk.record([result], night.now_ms)
        assert not night.desk.record([result], night.now_ms)
        assert not night.desk.record([Result("unknown", page.key, True, ""), Result(incident.id, "unknown", True, "")], 0)
        assert len(night.story(1, "undelivered")) == 1


class TestUpdates:
    def test_news_is_told_at_most_every_five_minutes(self, night: Night) -> None:
        night.until("1:00")
        night.tell("ack")
        for number in range(20):
            assert night.alert(alert(f"more_{number}", severity="low", provider="ozow")) == []
        assert night.until("5:00") == ["5:00 update thandi: email"]
        assert night.until("14:00") == []
        assert night.alert(alert("once_more", severity="low", provider="ozow")) == ["14:00 update thandi: email"]

    def test_what_was_told_is_no_news(self) -> None:
        night = Night()
        night.alert(alert("provider_down", severity="high", provider="ozow"))
        night.alert(alert("provider_down", "updated", provider="ozow", n=1))
        night.tell("ack")
        night.until("6:00")
        assert night.alert(alert("provider_down", "updated", provider="ozow", n=2)) == []

    def test_nobody_is_phoned_for_an_update(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow", channels=("phone",)))
        night.tell("ack")
        night.alert(alert("more", severity="low", provider="ozow"))
        assert night.until("29:00") == []


class TestOnset:
    def test_what_it_opened_with_stays_as_it_was(self) -> None:
        night = Night()
        slices = (Slice(dimensions={"method": "card"}, share=0.98),)
        where = Evidence(offsets=(OffsetRange(topic="t", partition=3, from_=7, to=9),), samples=("e1", "e2"))
        night.alert(alert("provider_down", provider="ozow", value=0.6, slice=slices, evidence=where))
        night.alert(alert("provider_down", "updated", provider="ozow", n=1, value=0.9, arithmetic="9 / 10 = 90 %"))
        onset = night.incident().onset
        assert onset is not None
        assert (onset.rule, onset.value, onset.threshold, onset.unit) == ("provider_down", 0.6, 0.1, "ratio")
        assert (onset.arithmetic, onset.group) == ("2 / 10 = 20 %", {"provider": "ozow"})
        assert (onset.slices, onset.samples, onset.sources) == ((({"method": "card"}, 0.98),), ("e1", "e2"), (("t", 3, 7, 9),))
        assert (onset.detected_ms - night.start_ms, (onset.first_bad_ms or 0) - night.start_ms) == (0, -10_000)
        assert night.incident().members[0].arithmetic == "9 / 10 = 90 %"


    def test_a_worse_alert_that_comes_to_it_is_kept_as_well(self) -> None:
        night = Night()
        night.alert(alert("slow", severity="high", provider="ozow"))
        night.alert(alert("slower", severity="medium", provider="ozow"))
        assert night.incident().gravest is None
        night.alert(alert("provider_down", provider="ozow", arithmetic="16 of 18"))
        night.alert(alert("also_down", provider="ozow"))
        night.alert(alert("provider_down", "updated", provider="ozow", n=1, arithmetic="90 of 99"))
        one = night.incident()
        assert one.onset is not None and one.gravest is not None
        assert (one.onset.rule, one.gravest.rule, one.gravest.arithmetic) == ("slow", "provider_down", "16 of 18")

    def test_an_explained_alert_is_not_the_gravest(self) -> None:
        night = Night()
        first = alert("slow", severity="high", provider="ozow")
        night.alert(first)
        night.alert(alert("provider_down", provider="ozow", inhibited_by=first.id))
        assert night.incident().gravest is None


class TestPublishing:
    def test_customers_are_told_in_their_words(self, night: Night) -> None:
        night.until("3:00")
        update = Update(" We are on it. ", "failing", "Card payments fail", ("Card payments",), 5, 99, "somebody else")
        assert night.tell("publish", update=update).text == "#1 is on the status page"
        said = Update("We are on it.", "failing", "Card payments fail", ("Card payments",), 5, night.now_ms, "thandi")
        assert night.incident().updates == (said,)
        assert night.story(1, "published") == ["Card payments fail"]

    def test_what_is_over_can_be_told_too_and_twice_is_once(self, night: Night) -> None:
        night.alert(ended())
        for _ in range(2):
            assert night.tell("publish", update=Update("It is over.", "ok"), ident="one").done
        assert [one.text for one in night.incident().updates] == ["It is over."]

    def test_the_latest_are_kept(self, night: Night) -> None:
        for n in range(UPDATES_MOST + 1):
            night.tell("publish", update=Update(f"{n}", "ok"))
        assert [night.incident().updates[at].text for at in (0, -1)] == ["1", f"{UPDATES_MOST}"]

    @pytest.mark.parametrize(
        "update",
        [
            None,
            Update(" ", "ok"),
            Update("x" * (TEXT_MOST + 1), "ok"),
            Update("x", "ok", "t" * (TITLE_MOST + 1)),
            Update("x", "ok", services=("s",) * (SERVICES_MOST + 1)),
        ],
    )
    def test_what_is_no_update_is_refused(self, night: Night, update: Update | None) -> None:
        answer = night.tell("publish", update=update)
        assert not answer.done and "an update" in answer.text.lower()
        assert night.incident().updates == ()

    def test_it_counts_as_a_word_of_whoever_is_at_work(self, night: Night) -> None:
        night.tell("ack")
        night.until("29:00")
        night.tell("publish", update=Update("We are on it.", "failing"))
        assert night.until("58:59") == []
        assert night.until("59:00") == ["59:00 page thandi: phone sms email"]


class TestJudging:
    def test_all_of_its_alerts_or_some(self, night: Night) -> None:
        night.alert(alert("slow", provider="ozow", severity="medium"))
        assert night.tell("judge", "right").text == "#1 is judged: right"
        assert night.tell("judge", "wrong", rules=("payment_alerts/slow",)).done
        assert night.incident().judgements == {"payment_alerts/provider_down": "right", "payment_alerts/slow": "wrong"}
        assert night.story(1, "judged") == ["thandi finds its alerts right", "thandi finds payment_alerts/slow wrong"]

    def test_what_is_reviewed_can_still_be_judged(self, night: Night) -> None:
        night.alert(ended())
        night.tell("review")
        assert night.tell("judge", "wrong").done
        assert night.incident().status == "reviewed"

    def test_neither_right_nor_wrong_is_refused(self, night: Night) -> None:
        assert night.tell("judge", "maybe").text == "were its alerts right or wrong? Say one of the two"
        strange = night.tell("judge", "wrong", rules=("payment_alerts/other",))
        assert strange.text == "#1 has no alert of 'payment_alerts/other': there are payment_alerts/provider_down"
        assert night.incident().judgements == {}
