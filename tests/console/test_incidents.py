"""Incidents as people see them: lines, rooms, the slip, what is similar, what can be done, and the figures of operations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console import brief, operations
from console.incidents import acts, row, sentence, similar, state_of, wanted, whole, why
from console.readings import Window
from console.runbooks import parsed, runbook
from console.slip import amount, slip
from rules.loader import PACKED
from schemas.alert import Slice
from schemas.incident import Action, Moved, Onset, Update
from tests.support.night import Night, alert

MINUTE_MS = 60_000


@pytest.fixture
def night() -> Night:
    """An incident at 0:00, of which the primary knows."""
    night = Night()
    night.moved = (
        Moved(night.start_ms - 600_000, "config.changed", "checkout", "timeout 8 s"),
        Moved(night.start_ms - 70_000, "deploy.released", "checkout", "v42, by sipho"),
    )
    slices = (Slice(dimensions={"method": "card"}, share=0.98),)
    night.alert(alert("provider_down", provider="ozow", value=0.62, slice=slices, summary="Ozow fails: 62 %."))
    return night


def plain(words: list[str | int]) -> str:
    return "".join("TIME" if isinstance(one, int) else one for one in words).replace("\u00a0", " ")


class TestLine:
    def test_an_incident_in_a_line(self, night: Night) -> None:
        night.until("2:00")
        line = row(night.incident(), night.now_ms)
        assert (line.number, line.level, line.status, line.state) == (1, "P0", "triggered", "failing")
        assert (line.providers, line.rules, line.alerts, line.active_alerts) == (["ozow"], ["provider_down"], 1, 1)
        assert line.lasted_s == 130.0, "from the first bad event on"

    def test_what_is_over_is_well_and_lasted_as_long_as_it_did(self, night: Night) -> None:
        night.until("2:00")
        night.tell("resolve")
        night.until("9:00")
        line = row(night.incident(), night.now_ms)
        assert (line.state, line.lasted_s) == ("ok", 130.0)

    @pytest.mark.parametrize(("severity", "state"), [("critical", "failing"), ("high", "degraded"), ("low", "ok")])
    def test_how_bad_it_is(self, severity: Any, state: str) -> None:
        night = Night()
        night.alert(alert("slow", severity=severity, provider="ozow"))
        assert state_of(night.incident()) == state


class TestRoom:
    def test_the_clocks_begin_with_the_first_bad_event(self, night: Night) -> None:
        night.until("1:00")
        night.tell("ack")
        night.until("3:00")
        night.tell("mitigate")
        clocks = whole(night.incident(), [], night.now_ms).clocks
        assert (clocks.detected_after_s, clocks.paged_after_s, clocks.acknowledged_after_s) == (10.0, 10.0, 70.0)
        assert (clocks.mitigated_after_s, clocks.resolved_after_s) == (190.0, None)

    def test_nothing_is_said_of_what_did_not_happen(self) -> None:
        night = Night(deliver=False)
        night.alert(alert("provider_down", provider="ozow"))
        clocks = whole(night.incident(), [], night.now_ms).clocks
        assert (clocks.paged_after_s, clocks.acknowledged_after_s) == (None, None)

    def test_the_latest_comes_first_and_people_are_told_from_the_system(self, night: Night) -> None:
        night.until("1:00")
        night.tell("note", "we look")
        told = whole(night.incident(), [], night.now_ms)
        assert (told.timeline[0].text, told.timeline[0].by_person, told.timeline[-1].by_person) == ("we look", True, False)
        assert [(one.component, one.before_s) for one in told.changes] == [("checkout", 60.0), ("checkout", 590.0)]

    def test_the_evidence_stays_as_it_was(self, night: Night) -> None:
        night.alert(alert("provider_down", "updated", provider="ozow", n=1, value=0.9, arithmetic="9 of 10"))
        evidence = whole(night.incident(), [], night.now_ms, means="more than half fail").evidence
        assert evidence is not None
        assert (evidence.value, evidence.slip.words, evidence.means) == (0.62, "2 / 10 = 20 %", "more than half fail")
        assert [(one.dimensions, one.share, one.all) for one in evidence.slices] == [({"method": "card"}, 0.98, None)]
        assert evidence.window.end - evidence.window.start == 60_000

    def test_an_incident_from_before_onsets_were_kept_has_no_evidence(self, night: Night) -> None:
        old = msgspec.structs.replace(night.incident(), onset=None)
        told = whole(old, [], night.now_ms)
        assert told.evidence is None and told.clocks.detected_after_s == 10.0

    def test_what_comes_next_is_told(self, night: Night) -> None:
        step = whole(night.incident(), [], night.now_ms).next_step
        assert step is not None and (step.asks, step.at - night.now_ms) == ("secondary", 5 * MINUTE_MS)
        assert plain(why(night.incident())) == (
            "Incident 1, critical (P0), triggered. The primary was asked and has not answered; the secondary is asked at TIME."
        )
        night.tell("ack")
        step = whole(night.incident(), [], night.now_ms).next_step
        assert step is not None and (step.asks, step.at - night.now_ms) == (None, 30 * MINUTE_MS)
        assert "thandi has it; people are asked again at TIME if nothing is heard." in plain(why(night.incident()))

    def test_the_sentence_says_what_and_since_when(self, night: Night) -> None:
        assert plain(sentence(night.incident(), night.now_ms)) == "Ozow fails: 62 % since TIME."
        night.until("5:00")
        night.tell("resolve")
        assert plain(sentence(night.incident(), night.now_ms)) == "Ozow fails: over since TIME, after 5 min 10 s."


class TestActs:
    def did(self, night: Night) -> list[str]:
        return [one.do for one in acts(night.incident())]

    def main(self, night: Night) -> list[str]:
        return [one.do for one in acts(night.incident()) if one.main]

    def test_the_next_sensible_act_is_the_main_one(self, night: Night) -> None:
        assert self.main(night) == ["ack"]
        night.tell("ack")
        assert self.main(night) == ["publish"]
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        assert self.main(night) == []
        assert "reopen" in self.did(night) and "resolve" not in self.did(night)

    def test_to_resolve_is_never_the_main_one_while_it_still_fails(self, night: Night) -> None:
        for kind in ("ack", "investigate", "mitigate"):
            night.tell(kind)
            assert "resolve" not in self.main(night)
            assert "resolve" in self.did(night)

    def test_what_was_held_open_and_fails_no_more_is_to_be_resolved(self, night: Night) -> None:
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        night.tell("reopen")
        night.tell("ack")
        assert self.main(night) == ["resolve"]

    def test_what_changes_something_asks_first(self, night: Night) -> None:
        night.tell("ack")
        assert all(one.asks for one in acts(night.incident()))
        keys = {one.key: one.do for one in acts(night.incident()) if one.key}
        assert keys == {"p": "publish", "h": "assign", "s": "silence", "r": "resolve"}

    def test_after_its_end_it_is_looked_back_at(self, night: Night) -> None:
        night.tell("resolve")
        assert self.did(night) == ["review", "judge", "publish", "reopen"]
        night.tell("judge", "right")
        night.tell("review")
        assert self.did(night) == ["publish", "reopen"]


class TestSimilar:
    def test_earlier_ones_that_share_most_come_first(self) -> None:
        night = Night()
        night.alert(alert("provider_down", provider="ozow"))
        night.tell("resolve", "the provider renewed a certificate", number=1)
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        night.until("1:00:00")
        night.alert(alert("provider_down", provider="payfast", episode=1))
        night.alert(alert("provider_down", "resolved", provider="payfast", episode=1))
        night.until("2:00:00")
        night.alert(alert("disk", host="web-1", episode=2))
        night.until("3:00:00")
        night.alert(alert("provider_down", provider="ozow", episode=3))
        found = similar(night.incident(4), night.desk.incidents.values())
        assert [(one.number, one.why) for one in found] == [(1, "same rule, same provider"), (2, "same rule")]
        assert [one.ended_by for one in found] == ["the provider renewed a certificate", "Ended by itself"]
        assert found[0].lasted_s == 10.0

    def test_none_is_like_itself_or_a_later_one(self, night: Night) -> None:
        assert similar(night.incident(), night.desk.incidents.values()) == []


class TestWanted:
    def test_by_status_severity_and_number(self) -> None:
        night = Night()
        for n, severity in enumerate(("critical", "low", "critical")):
            night.alert(alert("down", severity=severity, provider=f"p{n}"))  # type: ignore[arg-type]
        night.tell("ack", number=1)
        found = night.desk.incidents.values()
        assert [one.number for one in wanted(found, None, None, None)] == [1, 2, 3]
        assert [one.number for one in wanted(found, {"acknowledged"}, None, None)] == [1]
        assert [one.number for one in wanted(found, None, "critical", 3)] == [1]


# --- the slip ---------------------------------------------------------------------------------------------------------


def onset(words: str, **more: Any) -> Onset:
    held = {"severity": "high", "value": 0.5, "threshold": 0.1, "unit": "ratio", "arithmetic": words}
    return Onset("a", "r", "p", "1", start_ms=0, end_ms=1, detected_ms=1, summary="", **(held | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "lines", "decision"),
    [
        (
            "1,041 of 1,066 payments failed in 10 seconds (62.1 %); lower bound 50.1 % > 50 %",
            [("failed", "1 041"), ("payments in 10 seconds", "1 066"), ("share", "62.1 %"), ("lower bound", "50.1 %"),
             ("threshold", "50 %")],
            "50.1 % > 50 %, so it fires",
        ),
        (
            "41 of 66 payments were declined in 5 minutes: 62 % ≥ 50 %",
            [("were declined", "41"), ("payments in 5 minutes", "66"), ("share", "62 %"), ("threshold", "50 %")],
            "62 % ≥ 50 %, so it fires",
        ),
        (
            "7 failed sign-ins in 5 minutes > 5",
            [("failed sign-ins in 5 minutes", "7"), ("threshold", "5")],
            "7 > 5, so it fires",
        ),
        (
            "average latency 11.2 s > 10 s (12 payments in 5 minutes)",
            [("value", "50.0 %"), ("threshold", "10.0 %")],
            "average latency 11.2 s > 10 s (12 payments in 5 minutes)",
        ),
    ],
)  # fmt: skip
def test_the_arithmetic_is_set_line_by_line(words: str, lines: list[tuple[str, str]], decision: str) -> None:
    found = slip(onset(words))
    assert [(one.label, one.value.replace("\u00a0", " ")) for one in found.lines] == lines
    assert found.decision.replace("\u00a0", " ") == decision
    assert found.words == words


def test_every_rule_that_ships_and_counts_a_share_has_a_slip_of_its_parts() -> None:
    for words in ("5 of 9 enrollments got access in 1 hour, 30 minutes ago: 55.6 % < 90 %", "0 of 3 probes failed: 0 % < 1 %"):
        assert len(slip(onset(words)).lines) == 4


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [(0.621, "ratio", "62.1 %"), (0.84, "s", "840 ms"), (10.2, "s", "10.2 s"), (1480, "count", "1 480"), (2.5, "count", "2.50"),
     (123_456, "minor/ZAR", "1 234.56 ZAR")],
)  # fmt: skip
def test_a_figure_as_it_is_written(value: float, unit: str, written: str) -> None:
    assert amount(value, unit).replace("\u00a0", " ") == written


# --- runbooks ---------------------------------------------------------------------------------------------------------


def tags(nodes: Any) -> list[str]:
    return [tag for one in nodes for tag in ([one.tag] if one.tag else []) + tags(one.children)]


class TestRunbooks:
    def test_every_one_that_ships_can_be_read(self) -> None:
        pages = sorted(PACKED.glob("*.md"))
        assert len(pages) > 30
        for page in pages:
            found = runbook(f"docs/runbooks/{page.name}")
            assert found is not None and found.nodes and found.title
            assert {"h2", "p"} <= set(tags(found.nodes))

    def test_no_markup_of_a_text_is_an_element(self) -> None:
        found = parsed("x", '# T\n\n<script>alert(1)</script>\n\n<b onclick="x">b</b> [a](javascript:alert(1)) ![i](http://x)')
        assert set(tags(found.nodes)) <= {"p"}
        assert "<script>" in str(found.nodes)

    def test_links_lead_to_other_runbooks_and_the_web_alone(self) -> None:
        text = "[a](other.md) [b](https://example.org/) [c](../secret) [d](//evil.example/x.md) [e](/etc/x.md#y)"
        [paragraph] = parsed("x", text).nodes
        found = [one.href for one in paragraph.children if one.href]
        assert found == ["/runbooks/other", "https://example.org/", "/runbooks/x"]

    def test_an_address_stays_an_address_and_a_stranger_is_none(self) -> None:
        found = runbook("https://example.org/book")
        assert found is not None and (found.url, found.nodes) == ("https://example.org/book", ())
        assert runbook(None) is None
        assert runbook("docs/runbooks/nothing_of_this_name.md") is None
        assert runbook("../../etc/passwd") is None

    def test_those_beside_ones_own_rules_come_first(self, tmp_path: Any) -> None:
        (tmp_path / "runbooks").mkdir()
        (tmp_path / "runbooks" / "provider_down.md").write_text("# Ours\n\nCall them.\n")
        found = runbook("docs/runbooks/provider_down.md", tmp_path)
        assert found is not None and found.title == "Ours"


# --- operations -------------------------------------------------------------------------------------------------------


def figures(night: Night, *, before_ms: int = 0) -> Any:
    window = Window(night.start_ms - MINUTE_MS, night.now_ms + 1 - before_ms)
    return operations.figures(night.desk.incidents.values(), window, night.now_ms, stale=False)


class TestOperations:
    def test_what_is_not_known_is_null_and_rests_on_nothing(self) -> None:
        told = figures(Night())
        figures_ = told.model_dump(include=set(type(told.counts).model_fields))
        assert set(figures_.values()) == {None}
        assert set(told.counts.model_dump().values()) == {0}

    def test_means_over_those_that_have_the_time(self) -> None:
        night = Night()
        night.alert(alert("down", provider="a"))
        night.until("2:00")
        night.tell("ack", number=1)
        night.until("10:00")
        night.alert(alert("down", provider="b", at_ms=night.now_ms))
        night.until("14:00")
        night.tell("ack", number=2)
        night.tell("resolve", number=2)
        told = figures(night)
        assert (told.mttd_s, told.mtta_s, told.mttr_s) == (10.0, 180.0, 240.0)
        assert (told.incident_resolution_rate, told.response_time_compliance) == (0.5, 1.0)
        assert (told.counts.mtta_s, told.counts.mttr_s, told.counts.incident_resolution_rate) == (2, 1, 2)

    def test_who_answers_late_or_never_does_not_comply_and_what_ends_before_does_not_count(self) -> None:
        night = Night()
        for name in ("late", "never", "brief"):
            night.alert(alert(name, provider=name))
        night.until("4:00")
        night.alert(alert("brief", "resolved", provider="brief"))
        assert figures(night).response_time_compliance is None
        night.until("5:01")
        night.tell("ack", number=1)
        told = figures(night)
        assert (told.response_time_compliance, told.counts.response_time_compliance) == (0.0, 2)

    def test_judgements_are_of_alerts_and_who_said_nothing_is_not_counted(self) -> None:
        night = Night()
        night.alert(alert("down", provider="a"))
        night.alert(alert("slow", provider="a"))
        night.alert(alert("down", provider="b"))
        night.tell("judge", "right", number=1)
        night.tell("judge", "wrong", number=1, rules=("payment_alerts/slow",))
        told = figures(night)
        assert (told.alert_accuracy, told.false_positive_rate, told.counts.alert_accuracy) == (0.5, 0.5, 2)

    def test_what_nobody_was_told_of_and_what_opened_before_do_not_count(self) -> None:
        night = Night()
        night.alert(alert("down", provider="a", historical=True))
        assert figures(night).counts.incident_resolution_rate == 0
        night.until("10:00")
        night.alert(alert("down", provider="b"))
        assert figures(night, before_ms=5 * MINUTE_MS).counts.incident_resolution_rate == 0
        assert figures(night).counts.incident_resolution_rate == 1


def test_what_customers_were_told_is_with_it(night: Night) -> None:
    night.tell("publish", update=Update("first", "failing"))
    night.tell("publish", update=Update("second", "ok", "It works again"))
    told = whole(night.incident(), [], night.now_ms)
    assert [(one.text, one.felt) for one in told.updates] == [("second", "ok"), ("first", "failing")]
    assert {one.author for one in told.updates} == {"thandi"}
    assert told.published




class TestOnTheFirstPage:
    def test_the_worst_that_is_open_comes_first_and_what_happened_in_it(self) -> None:
        night = Night()
        night.alert(alert("slow", severity="high", provider="a"))
        night.alert(alert("down", provider="b"))
        night.alert(alert("old", provider="c"), alert("old", "resolved", provider="c"))
        night.alert(alert("last", severity="low", provider="d"))
        night.tell("note", "we look", number=2)
        known = sorted(night.desk.incidents.values(), key=lambda one: -one.number)
        assert [one.number for one in brief.incidents(known, night.now_ms)] == [2, 1, 4, 3]
        told = brief.happened(known)
        assert told[0].text == "we look" and {one.kind for one in told} & {"delivered", "paged"} == set()

    def test_nothing_happens_while_none_is_open(self) -> None:
        night = Night()
        assert (brief.incidents([], 0), brief.happened([])) == ([], [])
        night.alert(alert("slow", provider="a"))
        night.alert(alert("slow", "resolved", provider="a"))
        assert brief.happened([night.incident()]) == []
        assert brief.incidents([night.incident()], night.now_ms)[0].state == "ok"


def test_calls_of_actions_are_with_it_the_latest_first(night: Night) -> None:
    calls = (
        Action("k1", "drain", "command", "done", 1_000, 2_000, "it fires", "f", by="thandi"),
        Action("k2", "page_bank", "webhook", "waiting", 3_000, 3_000, "it got worse", "f", until_ms=9_000),
    )
    told = whole(msgspec.structs.replace(night.incident(), actions=calls), [], night.now_ms).calls
    assert [(one.key, one.state, one.by, one.until) for one in told] == [
        ("k2", "waiting", None, 9_000), ("k1", "done", "thandi", None)
    ]  # fmt: skip
