"""The narrator tells each thing once, in words that a person who never saw Tillwatch understands."""

from __future__ import annotations

import pytest

from local.narrator import EXPECTED, Line, Narrator
from local.scenarios import FAULTS, Scenario
from rules.loader import load
from schemas.alert import AlertData, AlertEvent, JudgedAt, Transition, Window, alert_event, fingerprint

START_MS = 1_800_000_000_000
OUTAGE = (10, 40)


def outage(provider: str = "ikhokha", begin: float = OUTAGE[0], end: float = OUTAGE[1]) -> Scenario:
    return Scenario("provider_outage", START_MS / 1000 + begin, START_MS / 1000 + end, provider=provider)


def fault(name: str, begin: float, end: float) -> Scenario:
    return Scenario(name, START_MS / 1000 + begin, START_MS / 1000 + end)


def event(
    transition: Transition,
    at: float,
    rule: str = "provider_down",
    *,
    provider: str | None = "ikhokha",
    severity: str = "critical",
    bad_at: float | None = None,
    window_s: float = 10,
    inhibited_by: str | None = None,
) -> AlertEvent:
    """An alert event `at` seconds after the start."""
    group = {} if provider is None else {"provider": provider}
    data = AlertData(
        fingerprint=fingerprint("tillwatch", "pack", rule, group),
        rule=rule,
        pack="pack",
        rule_version="1",
        severity=severity,  # type: ignore[arg-type]
        status="firing" if transition == "firing" else "resolved",
        group=dict(group),
        value=0.9,
        threshold=0.5,
        unit="ratio",
        window=Window(start=ms(at - window_s), end=ms(at)),
        first_bad_at=ms(at if bad_at is None else bad_at),
        detected_at=ms(at),
        summary=f"{rule} says so",
        arithmetic="9 / 10",
        inhibited_by=inhibited_by,
        judged_at=JudgedAt(offset=1),
    )
    return alert_event("tillwatch", transition, data, episode_ms=ms(at), n=0, time_ms=ms(at))


def ms(at: float) -> int:
    return round(START_MS + at * 1000)


class Story:
    """What is told as time goes on, without the times in front."""

    def __init__(self, *plan: Scenario) -> None:
        self.narrator = Narrator(plan, START_MS)

    def at(self, seconds: float, *events: AlertEvent) -> list[str]:
        return [line.text[10:] for line in self.lines(seconds, *events)]

    def lines(self, seconds: float, *events: AlertEvent) -> list[Line]:
        told = list(self.narrator.tick(ms(seconds)))
        for one in events:
            told += self.narrator.alert(one, ms(seconds))
        return told

    def summary(self, seconds: float = 300) -> list[str]:
        return [line.text.strip() for line in self.narrator.summary(ms(seconds))]


def test_an_outage_begins_is_detected_ends_and_is_resolved() -> None:
    story = Story(outage())
    assert story.at(9.9) == []
    assert story.at(10) == ["outage begins (injected): ikhokha fails 97% of its payments, for 30 s"]
    assert story.at(15.5, event("firing", 15.5)) == [
        "detected after 5.5 s: provider_down (provider ikhokha), critical (P0)",
        "provider_down says so",
    ]
    assert story.at(40) == ["outage is over (injected): provider_outage"]
    assert story.at(55, event("resolved", 55)) == [
        "resolved: provider_down (provider ikhokha), 15.0 s after the outage was over"
    ]
    assert story.summary() == [
        "provider_outage: detected after 5.5 s; provider_down (provider ikhokha) resolved 15.0 s after it was over"
    ]
    assert story.narrator.outage_detected


def test_the_time_since_the_start_stands_in_front() -> None:
    [line] = Story(outage()).lines(10.04)
    assert line.text.startswith("  10.0 s  outage begins")


def test_what_is_bad_seen_and_good_is_told_apart() -> None:
    story = Story(outage())
    lines = [*story.lines(10), *story.lines(15, event("firing", 15)), *story.lines(60, event("resolved", 60))]
    assert [line.tone for line in lines] == ["bad", "seen", "", "", "good"]


def test_what_comes_twice_is_told_once() -> None:
    story = Story(outage())
    story.at(10)
    assert len(story.at(15, event("firing", 15), event("firing", 15))) == 2
    assert story.at(16, event("firing", 15)) == []


def test_the_gravest_alert_stands_for_the_outage_though_it_comes_second() -> None:
    story = Story(outage())
    story.at(10)
    story.at(14, event("firing", 14, "api_connectivity", provider=None, severity="high"))
    assert story.at(16, event("firing", 16))[0].startswith("also detected after 6.0 s: provider_down")
    story.at(55, event("resolved", 55))
    assert "detected after 4.0 s; provider_down (provider ikhokha) resolved 15.0 s" in story.summary()[0]


def test_one_that_is_held_back_says_by_whom_and_ends_quietly() -> None:
    story = Story(outage())
    story.at(10)
    louder = event("firing", 14, "payment_processing_failure", provider=None)
    story.at(14, louder)
    quiet = event("firing", 15, inhibited_by=louder.data.fingerprint)
    assert story.at(15, quiet) == [
        "held back, pages nobody: provider_down (provider ikhokha); payment_processing_failure says it already"
    ]
    [line] = story.lines(20, event("resolved", 20))
    assert line.tone == "flow"
    assert "while the outage lasts" in line.text


def test_nothing_detected_is_not_passed_over_in_silence() -> None:
    story = Story(outage(end=100))
    story.at(10)
    assert story.at(39) == []
    assert story.at(40) == ["not detected yet: provider_outage, 30 s after it began"]
    assert story.at(41) == []
    assert story.at(70) == ["not detected yet: provider_outage, 60 s after it began"]
    assert story.summary() == ["provider_outage: not detected in the 90 s that it lasted"]
    assert story.summary(12) == ["provider_outage: not detected in the 2 s that it lasted"]
    assert not story.narrator.outage_detected


def test_an_alert_that_lasts_is_explained_once() -> None:
    story = Story(fault("brute_force", 10, 20))
    story.at(10)
    story.at(16, event("firing", 16, "suspicious_activity", provider=None, severity="high", window_s=300))
    story.at(20)
    assert story.at(79) == []
    assert story.at(80) == [
        "still firing 60 s after the fault was over: suspicious_activity, which looks back 5 minutes"
    ]
    assert story.at(300) == []
    assert "not resolved when the demonstration ended" in story.summary()[0]


def test_an_alert_that_nobody_asked_for_is_called_that() -> None:
    story = Story(outage())
    story.at(10)
    told = story.at(15, event("firing", 15, "high_memory_usage", provider=None, severity="high"))
    assert told[0] == "an alert that was not injected: high_memory_usage, high (P1)"


def test_an_outage_of_one_provider_does_not_explain_another() -> None:
    story = Story(outage("ozow"))
    story.at(10)
    assert story.at(15, event("firing", 15, provider="peach"))[0].startswith("an alert that was not injected")


def test_what_was_bad_before_anything_was_injected_has_another_cause() -> None:
    story = Story(outage())
    story.at(10)
    assert story.at(15, event("firing", 15, bad_at=2))[0].startswith("an alert that was not injected")


def test_of_two_outages_the_latest_is_meant() -> None:
    story = Story(outage("ikhokha", 10, 30), outage("ikhokha", 60, 90))
    story.at(10)
    story.at(60)
    assert story.at(66, event("firing", 66))[0].startswith("detected after 6.0 s")
    assert [line.partition(":")[2].split()[0] for line in story.summary()] == ["not", "detected"]


def test_withdrawn_and_silent_are_told() -> None:
    story = Story(outage())
    story.at(10)
    story.at(15, event("firing", 15))
    assert story.at(20, event("retracted", 20))[0].startswith("withdrawn: provider_down")
    assert story.at(21, event("no_data", 21))[0].startswith("no data: provider_down")


def test_what_has_not_begun_is_not_in_the_summary() -> None:
    assert Story(outage()).summary() == []


@pytest.mark.parametrize("name", FAULTS)
def test_every_scenario_has_a_rule_that_sees_it(name: str) -> None:
    assert EXPECTED[name] & {rule.name for rule in load().rules} or name == "source_silent"
