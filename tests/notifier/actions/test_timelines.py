"""When actions are called, by nights on call: each occasion, each state, approvals, cool-downs, and leaders that go away."""

from __future__ import annotations

import msgspec
import pytest

from notifier.actions.registered import On
from schemas.incident import CHANGES, Incident, incident_event
from tests.support.acts import Acting, registered
from tests.support.night import alert

DOWN = alert("provider_down", provider="ozow", component="checkout")
UP = alert("provider_down", "resolved", provider="ozow", component="checkout")
ASKED = {"approval": True, "approval_within_s": 900.0}


class TestWhatCallsForIt:
    def test_a_rule_that_fires_once_for_each_episode(self) -> None:
        night = Acting(registered(cool_down_s=1.0))
        night.alert(DOWN)
        assert night.begun() == ["0:00 drain #1"] and night.begun() == []
        night.ended()
        night.until("1:00")
        night.alert(alert("provider_down", "updated", provider="ozow", component="checkout", n=1))
        assert night.begun() == [], "it went on"
        night.alert(UP)
        assert night.begun() == []
        night.until("2:00")
        night.alert(alert("provider_down", provider="ozow", component="checkout", episode=2))
        assert night.begun() == ["2:00 drain #1"]
        assert night.story(1, "action")[:3] == [
            "drain is to be called (provider_down fires): /usr/local/bin/drain ozow",
            "drain runs",
            "drain is done: exit code 0",
        ]

    def test_a_rule_that_is_over(self) -> None:
        night = Acting(registered("drain", On(rules=("payment_alerts/provider_*",), when="resolved")))
        night.alert(DOWN)
        assert night.begun() == []
        night.alert(UP)
        assert night.begun() == ["0:00 drain #1"]
        assert night.call().why == "provider_down is over"

    def test_only_of_a_severity_and_only_about_a_component(self) -> None:
        night = Acting(registered("drain", On(rules=("*",), severities=frozenset({"high"}), components=("check*",))))
        night.alert(alert("a", severity="critical", provider="ozow", component="checkout"))
        night.alert(alert("b", severity="high", provider="peach", component="database"))
        assert night.begun() == []
        night.alert(alert("c", severity="high", provider="ozow", component="checkout"))
        assert night.begun() == ["0:00 drain #1"]

    def test_an_alert_that_gets_worse_calls_for_what_is_for_the_worse(self) -> None:
        night = Acting(registered("drain", On(rules=("provider_down",), severities=frozenset({"critical"}))))
        night.alert(alert("provider_down", severity="high", provider="ozow"))
        assert night.begun() == []
        night.until("1:00")
        night.alert(alert("provider_down", "updated", "critical", provider="ozow", n=1))
        assert night.begun() == ["1:00 drain #1"]

    def test_how_an_incident_is(self) -> None:
        on = On(incident=frozenset({"triggered", "resolved"}), severities=frozenset({"critical"}))
        night = Acting(registered("drain", on, cool_down_s=1.0))
        night.alert(alert("provider_down", severity="high", provider="ozow"))
        assert night.begun() == [], "it is not critical"
        night.until("1:00")
        night.tell("severity", "critical")
        assert night.begun() == ["1:00 drain #1"], "it is critical now"
        night.ended()
        night.tell("ack")
        assert night.begun() == []
        night.until("2:00")
        night.tell("resolve")
        assert night.begun() == ["2:00 drain #1"]
        assert night.call().why == "the incident is resolved"

    def test_the_health_of_a_component_over_all_incidents(self) -> None:
        bad = On(health=frozenset({"unhealthy"}), components=("checkout",))
        well = On(health=frozenset({"healthy"}), components=("checkout",))
        night = Acting(
            registered("bad", bad, command=("/bin/bad", "{component}", "{health}"), cool_down_s=1.0),
            registered("well", well, command=("/bin/well", "{component}"), cool_down_s=1.0),
        )
        night.alert(alert("slow", severity="medium", component="checkout"))
        assert night.begun() == [], "it is degraded"
        night.until("1:00")
        night.alert(alert("system_down", severity="critical", component="checkout"))
        assert night.begun() == ["1:00 bad #1"]
        assert night.call(name="bad").about["health"] == "unhealthy"
        night.ended(name="bad")
        night.until("20:00")  # so long that another alert about it is another incident
        night.alert(alert("errors", severity="high", component="checkout"))
        night.until("21:00")
        night.alert(
            alert("slow", "resolved", "medium", component="checkout"), alert("system_down", "resolved", component="checkout")
        )
        assert night.incident(1).status == "resolved" and night.begun() == [], "another incident is about it still"
        night.until("22:00")
        night.alert(alert("errors", "resolved", "high", component="checkout"))
        assert night.begun() == ["22:00 well #2"]

    @pytest.mark.parametrize("how", [{"historical": True}, {"inhibited_by": "f" * 64}])
    def test_what_pages_nobody_calls_nothing(self, how: dict[str, object]) -> None:
        rule, state = registered("a"), registered("b", On(incident=frozenset({"triggered", "resolved"})))
        over = registered("d", On(rules=("*",), when="resolved"))
        night = Acting(rule, state, registered("c", On(health=frozenset({"unhealthy", "healthy"}))), over)
        night.alert(alert("provider_down", component="checkout", provider="ozow", **how))
        night.alert(alert("provider_down", "resolved", component="checkout", provider="ozow", **how))
        assert night.begun() == [] and night.incident().actions == ()

    def test_what_is_silenced_calls_nothing_until_the_silence_ends(self) -> None:
        night = Acting(registered())
        night.silence("provider=ozow", start="0:00", end="10:00")
        night.alert(DOWN)
        assert night.begun() == []
        night.until("10:00")
        assert night.begun() == ["10:00 drain #1"]

    def test_many_alerts_call_what_does_the_same_once(self) -> None:
        night = Acting(registered(command=("/bin/drain",)))
        night.alert(*(alert("provider_down", provider=f"p{number}") for number in range(500)))
        assert len(night.begun()) == 1
        said = [text for one in night.desk.incidents.values() for text in night.story(one.number, "action")]
        assert len(said) < 10, "what is skipped is said once for each incident"

    def test_what_does_something_else_is_called_for_each_within_bounds(self) -> None:
        night = Acting(registered())
        night.alert(alert("provider_down", provider="ozow"), alert("provider_down", provider="peach"))
        assert night.begun() == ["0:00 drain #1", "0:00 drain #2"]
        assert [night.call(number).about["provider"] for number in (1, 2)] == ["ozow", "peach"]
        night = Acting(registered("restart", On(rules=("down",)), command=("/bin/restart", "{component}")))
        night.alert(*(alert("down", provider="ozow", component=name) for name in ("a", "b", "a")))
        assert night.begun(room=1) == ["0:00 restart #1"] and night.states(name="restart") == ["running", "approved"]
        assert night.begun(room=0) == [] and night.begun(room=7) == ["0:00 restart #1"]
        night = Acting(registered())
        night.alert(*(alert("provider_down", provider=f"p{number}") for number in range(500)))
        assert len(night.begun(room=1_000)) == 3 + 10, "one for each incident, and ten for that of the storm"

    def test_one_incident_calls_no_more_than_so_many(self) -> None:
        restart = registered("restart", On(rules=("down",)), command=("/bin/restart", "{component}"), cool_down_s=86_400.0)
        night = Acting(restart)
        for number in range(22):
            many = (alert("down", provider="ozow", component=f"c{number}-{one}") for one in range(10))
            night.alert(*many)
            night.begun()
        assert len(night.called) == 200 == len(night.incident().actions)
        assert sum(text.startswith("no more actions are called for it") for text in night.story(1, "action")) == 1
        assert "there are 200 calls for #1 already" in night.tell("run", "restart").text


class TestApproval:
    def test_a_responder_approves(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        assert night.begun() == [] and night.states() == ["waiting"]
        night.until("3:00")
        assert night.tell("approve", "drain").text == "#1 has your approval of drain"
        assert night.begun() == ["3:00 drain #1"]
        assert night.call().by == "thandi"
        night.ended()
        assert night.story(1, "action") == [
            "drain waits for approval for 15 min (provider_down fires): it would call /usr/local/bin/drain ozow",
            "thandi approves drain",
            "drain runs",
            "drain is done: exit code 0",
        ]
        authors = [entry.author for entry in night.entries() if entry.kind == "action"]
        assert authors == ["tillwatch", "thandi", "tillwatch", "tillwatch"]

    def test_a_responder_refuses(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        assert night.tell("refuse", "drain the provider is back").done
        assert night.begun() == [] and night.states() == ["refused"]
        assert night.story(1, "action")[-1] == "thandi refuses drain: the provider is back"
        night.until("15:00")
        assert night.states() == ["refused"] and night.begun() == []

    def test_nobody_approves_in_time(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.tell("ack")
        assert night.until("14:59") == [] and night.states() == ["waiting"]
        assert night.until("15:00") == ["15:00 update thandi: sms email"]
        assert night.states() == ["expired"] and night.begun() == []
        late = night.tell("approve", "drain")
        assert not late.done and "has no action 'drain' that waits" in late.text
        assert night.begun() == []

    def test_an_approval_that_comes_before_the_tick_is_late_all_the_same(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.now_ms += 900_000
        said = night.tell("approve", night.call().key)
        assert (said.done, said.text) == (False, "drain of #1 was to be approved earlier: its time is over")

    def test_it_is_answered_once(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        key = night.call().key
        assert night.tell("approve", f"{key} by link", ident="one").done
        again = night.tell("approve", f"{key} by link", ident="one")
        assert (again.done, again.text) == (True, "#1 has it already")
        assert night.tell("approve", key, by="sipho").text == "drain of #1 does not wait for approval: it is approved"
        assert night.tell("refuse", key, by="sipho").text == "drain of #1 does not wait for approval: it is approved"
        assert len(night.begun()) == 1

    def test_of_another_incident_nothing_is_approved(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.alert(alert("disk_filling", severity="low", host="db-1"))
        assert not night.tell("approve", night.call(1).key, number=2).done
        assert night.states() == ["waiting"]

    def test_the_end_of_the_incident_withdraws_it(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.alert(UP)
        assert night.states() == ["withdrawn"] and night.begun() == []
        assert night.story(1, "action")[-1] == "drain is not called: the incident is resolved"
        assert night.incident().next_at is None

    def test_what_was_changed_in_the_file_meanwhile_is_not_what_was_approved(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.register(registered(command=("/bin/other",), **ASKED))
        said = night.tell("approve", "drain")
        assert not said.done and "not registered any more as it was" in said.text
        night.register()
        assert not night.tell("approve", "drain").done and night.begun() == []

    def test_who_knows_of_the_incident_hears_that_it_waits(self) -> None:
        night = Acting(registered("drain", On(rules=("slow",)), command=("/bin/drain",), **ASKED))
        night.alert(DOWN)
        night.until("1:00")
        assert night.alert(alert("slow", severity="low", provider="ozow", component="checkout"))[-1] == (
            "1:00 update thandi: sms email"
        )

    def test_two_approvals_at_once_are_one_call(self) -> None:
        night = Acting(registered(command=("/bin/drain",), **ASKED))
        night.alert(DOWN)
        night.until("30:00")
        night.alert(alert("provider_down", provider="peach", component="course"))
        night.until("31:00")
        night.alert(alert("provider_down", provider="snap", component="other"))
        assert (night.states(2), night.states(3)) == (["waiting"], ["waiting"])
        assert night.tell("approve", "drain", number=2).done
        said = night.tell("approve", "drain", number=3)
        assert (said.done, said.text) == (False, "drain cannot be called now: it is under way already (#2)")
        assert night.begun() == ["31:00 drain #2"]


class TestCoolDown:
    def test_it_is_skipped_while_it_cools_down_and_that_is_said_once(self) -> None:
        night = Acting(registered(cool_down_s=600.0))
        night.alert(DOWN)
        night.begun()
        night.ended()
        for number, minute in enumerate((2, 4), 1):
            night.until(f"{minute}:00")
            night.alert(alert("provider_down", provider="ozow", component="checkout", transition="resolved", episode=number))
            night.alert(alert("provider_down", provider="ozow", component="checkout", episode=number, n=1))
        assert night.begun() == [] and night.states() == ["done", "skipped"]
        assert night.story(1, "action")[-1] == (
            "drain is skipped (provider_down fires): it was called 2 min ago (#1), and cools down for 10 min"
        )
        night.until("10:00")
        night.alert(alert("provider_down", provider="ozow", component="checkout", transition="resolved", episode=3))
        night.alert(alert("provider_down", provider="ozow", component="checkout", episode=4, n=1))
        assert night.begun() == ["10:00 drain #1"], "it has cooled down to the second"

    def test_it_holds_over_all_incidents_for_what_does_the_same(self) -> None:
        night = Acting(
            registered(command=("/bin/drain",), cool_down_s=3600.0),
            registered("tell", webhook="https://hooks.example/", cool_down_s=3600.0),
        )
        night.alert(DOWN)
        assert night.begun() == ["0:00 drain #1", "0:00 tell #1"]
        night.until("20:00")
        night.alert(alert("provider_down", provider="peach", component="course"))
        assert night.states(2) == ["skipped"] and night.call(2).detail == "it is under way already (#1)"
        assert night.begun() == ["20:00 tell #2"], "of another incident a webhook tells something else"

    def test_incidents_that_it_follows_from_are_not_forgotten(self) -> None:
        night = Acting(registered(cool_down_s=3600.0))
        night.alert(DOWN)
        night.begun()
        night.ended()
        night.alert(UP)
        spare = night.desk.forgettable(night.now_ms + 91 * 86_400_000)[0]
        assert spare == [night.incident().id], "it is old"
        old = msgspec.structs.replace(night.incident(), changed_ms=0)
        night.desk.incidents[old.id] = old
        assert night.desk.forgettable(night.now_ms + 3_600_000)[0] == []


class TestDryRun:
    def test_of_the_file_it_takes_the_same_way(self) -> None:
        night = Acting(registered(dry_run=True))
        night.alert(DOWN)
        assert night.begun() == ["0:00 drain #1"] and night.call().trial
        night.ended(detail="dry run: it would call /usr/local/bin/drain ozow")
        assert night.story(1, "action")[0].startswith("a dry run of drain is to be called")
        assert night.call().began_ms == night.now_ms

    def test_by_hand_it_needs_no_approval_and_starts_no_cool_down(self) -> None:
        night = Acting(registered("drain", On(rules=("other",)), **ASKED))
        night.alert(DOWN)
        assert night.tell("try", "drain").text == "#1 gets a dry run of drain"
        assert night.begun() == ["0:00 drain #1"] and night.call().trial and night.call().began_ms is None
        night.ended()
        assert night.tell("run", "drain").text == "#1 gets drain"
        assert night.begun() == ["0:00 drain #1"] and not night.call().trial
        assert night.tell("run", "drain").text == "drain cannot be called now: it is under way already (#1)"

    def test_what_is_not_in_the_file_cannot_be_run(self) -> None:
        night = Acting(registered())
        night.alert(alert("slow", provider="ozow"))
        said = night.tell("run", "drian")
        assert (said.done, said.text) == (False, "no action 'drian' is registered (did you mean drain?)")
        assert night.tell("run", "/bin/rm").text == "no action '/bin/rm' is registered"
        assert night.begun() == []


class TestOutcomes:
    @pytest.mark.parametrize(
        ("state", "says"),
        [
            ("failed", "drain failed: exit code 3"),
            ("timed_out", "drain took too long and was ended: exit code 3"),
        ],
    )
    def test_what_did_not_work_is_told_to_whoever_knows_of_it(self, state: str, says: str) -> None:
        night = Acting(registered())
        night.alert(DOWN)
        night.begun()
        night.until("0:30")
        assert night.ended(state, "exit code 3") == ["0:30 update thandi: sms email"]  # type: ignore[arg-type]
        assert night.story(1, "action")[-1] == says and night.states() == [state]

    def test_a_command_that_a_dead_leader_ran_is_not_run_again(self) -> None:
        night = Acting(registered(cool_down_s=60.0))
        night.alert(DOWN)
        night.begun()
        night.until("0:10")
        assert night.resumed() == [] and night.states() == ["unknown"]
        assert night.log[-1] == "0:10 update thandi: sms email"
        assert "whether drain was done is not known" in night.story(1, "action")[-1]
        assert night.begun() == [] and night.resumed() == []
        assert night.ended("done", "exit code 0") == [] and night.states() == ["done"], "it is known after all"

    def test_one_that_was_approved_and_not_begun_is_begun_by_whoever_leads_next(self) -> None:
        night = Acting(registered())
        night.alert(DOWN)
        assert night.resumed() == []
        assert night.begun() == ["0:00 drain #1"]

    def test_a_webhook_is_called_again_with_the_same_key(self) -> None:
        night = Acting(registered(webhook="https://hooks.example/drain"))
        night.alert(DOWN)
        assert night.begun() == ["0:00 drain #1"]
        key = night.call().key
        night.until("0:05")
        assert night.resumed() == ["0:05 drain #1"]
        assert night.call().key == key and len(night.incident().actions) == 1
        assert "called again with the same key" in night.story(1, "action")[-1]

    def test_what_goes_on_in_this_very_process_is_left_alone(self) -> None:
        night = Acting(registered())
        night.alert(DOWN)
        night.begun()
        assert night.resumed(night.call().key) == [] and night.states() == ["running"]

    def test_what_comes_twice_or_of_nothing_changes_nothing(self) -> None:
        night = Acting(registered())
        night.alert(DOWN)
        night.begun()
        night.ended()
        before = night.incident()
        assert night.ended("failed", "again") == [] and night.incident() == before

    def test_what_cannot_be_filled_in_is_not_called(self) -> None:
        night = Acting(registered("drain", On(rules=("slow",)), **ASKED))
        night.alert(alert("slow", component="checkout"))
        assert night.states() == ["failed"] and night.begun() == []
        assert night.call().detail == "there is nothing to put in the place of {provider}"


class TestWhatIsKept:
    def test_the_calls_are_bounded_and_each_cool_down_stays(self) -> None:
        noisy = registered("noisy", On(rules=("provider_down",)), command=("/bin/noisy",), cool_down_s=1.0)
        night = Acting(registered("rare", command=("/bin/rare",), cool_down_s=86_400.0), noisy)
        for number in range(60):
            night.until(f"{number}:00")
            night.alert(alert("provider_down", provider="ozow", episode=number))
            night.begun()
            for name in ("rare", "noisy"):
                night.ended(name=name)
            night.alert(alert("provider_down", "resolved", provider="ozow", episode=number))
        assert len(night.incident().actions) == 30
        assert night.call(name="noisy").state == "done"
        assert sum(one.endswith("rare #1") for one in night.called) == 1, "it cools down for a day"

    def test_the_lifecycle_event_tells_of_them(self) -> None:
        night = Acting(registered(**ASKED))
        night.alert(DOWN)
        night.tell("approve", "drain")
        one = night.incident()
        event = incident_event("tillwatch", "action", one, one.timeline[-1:])
        assert event.type == "tillwatch.incident.action" and "action" in CHANGES
        assert [(call.name, call.state, call.by, call.dry_run) for call in event.data.actions] == [
            ("drain", "approved", "thandi", False)
        ]
        assert event.data.actions[0].key == night.call().key
        assert msgspec.json.decode(msgspec.json.encode(one), type=Incident) == one

    def test_a_desk_that_is_replaced_all_the_time_calls_the_same(self) -> None:
        def play(restarts: bool) -> tuple[list[str], dict[str, Incident]]:
            night = Acting(registered(cool_down_s=60.0), registered("ask", **ASKED))
            for minute in range(30):
                night.until(f"{minute}:00")
                transition = "resolved" if minute % 3 == 2 else "firing"
                night.alert(alert("provider_down", transition, provider="ozow", episode=minute // 3))  # type: ignore[arg-type]
                if restarts:
                    night.restart()
                night.begun()
                if minute % 2 and night.call().state == "running":
                    night.ended()
                if minute == 4:
                    night.tell("approve", "ask", ident="ok")
            return night.called, night.desk.incidents

        assert play(False) == play(True)
