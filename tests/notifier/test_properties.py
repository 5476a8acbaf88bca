"""What holds of a desk whatever happens: no timer is lost, nothing is said twice, and another desk would say the same."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.desk import Desk, Told
from schemas.incident import SYSTEM, Incident, Silence
from tests.support.night import Night, alert

MINUTES = st.integers(0, 40).map(lambda n: ("wait", n))
ALERTS = st.tuples(
    st.just("alert"),
    st.sampled_from(["firing", "updated", "resolved", "retracted", "no_data"]),
    st.sampled_from(["ozow", "peach"]),
    st.sampled_from(["down", "slow"]),
    st.sampled_from(["critical", "high", "medium", "low"]),
    st.sampled_from(["loud", "loud", "loud", "historical", "inhibited"]),
)
COMMANDS = st.tuples(
    st.just("command"),
    st.sampled_from(["ack", "investigate", "mitigate", "resolve", "reopen", "review", "note", "escalate", "severity"]),
    st.integers(1, 3),
)
SILENCES = st.tuples(st.just("silence"), st.sampled_from(["provider=ozow", "rule=slow"]), st.integers(1, 60))
FAILURES = st.tuples(st.just("fails"), st.sampled_from(["phone", "email"]))
STEPS = st.lists(st.one_of(MINUTES, ALERTS, COMMANDS, SILENCES, FAILURES), max_size=25)


def play(steps: list[tuple[Any, ...]], *, restarts: bool = False, twice: bool = False) -> Night:
    night = Night(deliver=False)
    for number, step in enumerate(steps):
        if restarts:
            kept = [msgspec.json.decode(msgspec.json.encode(one), type=Incident) for one in night.desk.incidents.values()]
            silences = [msgspec.json.decode(msgspec.json.encode(one), type=Silence) for one in night.desk.silences.values()]
            night.desk = Desk("tillwatch", night.duty, kept, silences)
        do(night, number, step)
        if twice and step[0] == "alert":
            again = [Told(number, made(number, step))]
            assert not night.desk.take(again, night.now_ms), "what came before changes nothing"
        sound(night)
    return night


def made(number: int, step: tuple[Any, ...]) -> Any:
    _, transition, provider, rule, severity, how = step
    more = {"historical": how == "historical", "inhibited_by": "f" * 64 if how == "inhibited" else None}
    return alert(rule, transition, severity, provider=provider, episode=number, n=number, **more)


def do(night: Night, number: int, step: tuple[Any, ...]) -> None:
    match step:
        case ("wait", minutes):
            seconds = (night.now_ms - night.start_ms) // 1000 + 60 * minutes
            night.until(f"{seconds // 60}:{seconds % 60:02}")
        case ("alert", *_):
            night._told(night.desk.take([Told(number, made(number, step))], night.now_ms))
        case ("command", kind, which):
            night.tell(kind, "critical" if kind == "severity" else "text", number=which, ident=f"c{number}")
        case ("silence", what, minutes):
            start = (night.now_ms - night.start_ms) // 1000
            night.silence(what, start=f"0:{start}", end=f"0:{start + 60 * minutes}")
        case ("fails", channel):
            night.fails(channel)


def sound(night: Night) -> None:
    for one in night.desk.incidents.values():
        if one.status in ("triggered", "acknowledged", "investigating", "mitigated"):
            asked_for = any(entry.kind == "escalated" and entry.author != SYSTEM for entry in one.timeline)
            assert one.step_at is not None or not one.loud, "a step is due where people are to hear of it"
            assert one.step_at is None or one.loud or asked_for, "and else only if a person asked for it"
            assert one.level >= 0 or not one.loud, "somebody was asked"
            assert not one.over or one.held, "what is over is resolved"
        if one.loud and one.status == "resolved":
            assert one.step_at is not None, "what still fires is looked at again"
        untold = [member for member in one.members if member.loud and member.told is None]
        assert not untold or one.status == "reviewed" or one.update_at is not None, "whoever knows of it will hear of it"
        assert one.next_at is None or one.next_at > night.now_ms - 1, "nothing is overdue"
        assert len({page.key for page in one.pages}) == len(one.pages)


@given(STEPS)
@settings(max_examples=150)
def test_no_timer_is_lost_and_what_comes_twice_changes_nothing(steps: list[tuple[Any, ...]]) -> None:
    play(steps, twice=True)


@given(STEPS)
@settings(max_examples=100)
def test_a_desk_that_is_replaced_all_the_time_says_the_same(steps: list[tuple[Any, ...]]) -> None:
    one, other = play(steps), play(steps, restarts=True)
    assert one.log == other.log
    assert one.sent == other.sent
    assert one.desk.incidents == other.desk.incidents
