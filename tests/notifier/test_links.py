"""Signed links: nothing but what was signed, until its time is over, once."""

from __future__ import annotations

import base64
from string import ascii_letters, digits

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from notifier.links import LASTS_S, REMEMBERED, Expired, Forged, Grant, Links, SpentHere
from runtime.clock import ManualClock
from tests.support.messages import INCIDENT, KEY

NOW = 1_790_000_000
NEW = SecretStr("a-key-of-a-test-that-is-long-enough-1")
OLD = SecretStr("a-key-of-a-test-that-is-long-enough-0")


def links(*keys: SecretStr, at: float = NOW) -> Links:
    return Links("https://pages.example", keys or (NEW,), ManualClock(at))


def token(made: Links) -> str:
    return made.token(INCIDENT, "ack", "thandi", KEY)


@given(
    incident=st.one_of(st.text(max_size=80), st.binary(max_size=32).map(bytes.hex)),
    action=st.sampled_from(["ack", "resolve", "escalate"]),
    person=st.text(max_size=100),
    page=st.binary(max_size=32).map(bytes.hex),
)
@example(incident="AB cd", action="ack", person="", page="0")
def test_what_was_granted_is_read(incident: str, action: str, person: str, page: str) -> None:
    read = links().read(links().token(incident, action, person, page))
    assert read == Grant(incident, action, person, page, int(NOW + LASTS_S) * 1000)


def test_a_message_has_a_link_for_each_action_short_enough_for_a_text_message() -> None:
    answers = links().answers(INCIDENT, "thandi", KEY)
    assert set(answers) == {"ack", "resolve", "escalate"}
    assert all(link.startswith("https://pages.example/answer/") and len(link) < 160 for link in answers.values())
    assert {links().read(link.rpartition("/")[2]).action for link in answers.values()} == set(answers)


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    good = token(links())
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from(ascii_letters + digits + "-_").filter(lambda char: char != good[at]))
    with pytest.raises(Forged):
        links().read(good[:at] + other + good[at + 1 :])


@given(st.one_of(st.text(max_size=2_000), st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_anything_else_is_forged(text: str) -> None:
    with pytest.raises(Forged):
        links().read(text)


def test_padding_and_another_spelling_are_forged() -> None:
    good = token(links())
    for other in (good + "=", good + "==", good + "\n", " " + good, good[:4] + "\n" + good[4:]):
        with pytest.raises(Forged):
            links().read(other)


def test_another_key_is_forged() -> None:
    with pytest.raises(Forged):
        links(OLD).read(token(links(NEW)))


def test_while_a_key_is_changed_both_are_read_and_the_new_one_signs() -> None:
    both = links(NEW, OLD)
    assert both.read(token(links(OLD))).incident == INCIDENT
    assert links(NEW).read(token(both)).incident == INCIDENT
    with pytest.raises(Forged):
        links(OLD).read(token(both))


def test_its_time_is_over_to_the_second() -> None:
    good = token(links())
    assert links(at=NOW + LASTS_S - 1).read(good)
    with pytest.raises(Expired):
        links(at=NOW + LASTS_S).read(good)


def test_tokens_that_grant_the_same_are_used_together() -> None:
    first, later = links().read(token(links())), links(at=NOW + 60).read(token(links(at=NOW + 60)))
    assert first.until_ms != later.until_ms and first.id == later.id
    other = links().read(links().token(INCIDENT, "ack", "thandi", "6f" * 32))
    assert other.id != first.id


@pytest.mark.parametrize("keys", [(), (SecretStr("short"),), (NEW, SecretStr(""))])
def test_keys_that_could_be_guessed_are_refused_and_not_shown(keys: tuple[SecretStr, ...]) -> None:
    with pytest.raises(ValueError, match="at least 32 random characters") as told:
        Links("https://pages.example", keys, ManualClock(NOW))
    assert "short" not in str(told.value)


class TestSpent:
    async def test_once(self) -> None:
        spent = SpentHere(ManualClock(NOW))
        assert await spent.spend("a", NOW * 1000 + 1) and not await spent.spend("a", NOW * 1000 + 1)
        assert await spent.spend("b", NOW * 1000 + 1)

    async def test_again_where_it_did_not_work(self) -> None:
        spent = SpentHere(ManualClock(NOW))
        await spent.spend("a", NOW * 1000 + 1)
        await spent.restore("a")
        assert await spent.spend("a", NOW * 1000 + 1)

    async def test_it_is_bounded_and_forgets_what_is_over_first(self) -> None:
        clock = ManualClock(NOW)
        spent = SpentHere(clock)
        await spent.spend("live", (NOW + 1_000) * 1000)
        for number in range(REMEMBERED - 1):
            await spent.spend(f"{number}", (NOW + 1) * 1000)
        clock.advance(10)
        assert await spent.spend("new", (NOW + 1_000) * 1000)
        assert not await spent.spend("live", 0) and len(spent._until) == 2
