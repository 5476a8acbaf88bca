"""Silence of a source: told once it has lasted longer than the limit, by the watermark, and over with the next sign of life."""

from __future__ import annotations

import pytest

from rules.loader import read
from rules.words import ends, explain
from tests.support.desk import START_S, Desk, rule, shipped
from tests.support.events import Event, event

T0 = START_S


def alive(at: float, source: str = "/checkout/1") -> Event:
    return event("source.alive", at, source=source, sent=1, started_at="2026-11-23T07:00:00Z")


def test_is_told_when_it_has_lasted_longer_and_over_with_the_next_sign() -> None:
    desk = Desk(shipped("source_silent"), now=T0)
    desk.play(alive(T0 + 10 * n) for n in range(30))
    desk.wait(120 + 30)
    assert desk.told == [], "two minutes are not more than two minutes, and the watermark is 30 s behind"
    desk.wait(10)
    assert desk.told == ["source_silent firing"]
    (alert,) = desk.alerts
    assert alert.data.group == {"source": "/checkout/1"}
    assert alert.data.first_bad_at == (T0 + 290 + 120) * 1000
    assert "no sign of life for" in alert.data.arithmetic and "> 2 min" in alert.data.arithmetic
    desk.wait(3_600)
    assert len(desk.told) == 1
    desk.put(alive(desk.now))
    assert desk.told[1:] == ["source_silent resolved"]
    assert desk.alerts[1].data.arithmetic == "a sign of life came"


def test_each_source_is_silent_by_itself() -> None:
    desk = Desk(shipped("source_silent"), now=T0)
    signs = [alive(T0 + 10 * n, name) for name, last in (("/a", 10), ("/b", 60)) for n in range(last)]
    desk.play(sorted(signs, key=lambda one: one["time"]))
    assert [alert.data.group for alert in desk.alerts] == [{"source": "/a"}]


def test_a_restart_in_the_middle_makes_no_difference() -> None:
    desk = Desk(shipped("source_silent"), now=T0)
    desk.play(alive(T0 + 10 * n) for n in range(30))
    for _ in range(40):
        desk.wait(10)
        desk.restart()
    desk.put(alive(desk.now))
    assert desk.told == ["source_silent firing", "source_silent resolved"]


def test_signs_that_come_late_take_it_back() -> None:
    desk = Desk(rule("source_silence > 1 minute"), now=T0)
    desk.play(alive(T0 + 10 * n) for n in range(30))
    desk.wait(120)
    assert desk.told == ["rule firing"]
    desk.put(*(alive(T0 + 300 + 10 * n) for n in range(10)))
    assert desk.told[1:] in (["rule retracted"], ["rule resolved"])


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("source_silence < 2 minutes", "is compared by >"),
        ("source_silence > 2 minutes for 5 minutes", "it takes no span"),
        ("source_silence > 5 hours", "expected 5 seconds to 4 hours"),
        ("source_silence > 5%", "a time such as 5 seconds"),
    ],
)
def test_what_makes_no_sense_is_told(condition: str, text: str) -> None:
    (problem,) = read([("p.yaml", f'p: {{r: {{condition: "{condition}", severity: high}}}}')]).problems
    assert text in str(problem)


def test_its_sentence() -> None:
    (found,) = shipped("source_silent").rules
    assert explain(found) == (
        "Fires (medium) when nothing has come for 2 minutes (signs of life), though something came before, judged for each "
        "source on its own."
    )
    assert ends(found) == "Resolves with the next sign of life."
