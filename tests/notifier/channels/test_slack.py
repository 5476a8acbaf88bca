"""Slack against its published formats.

https://docs.slack.dev/reference/methods/chat.postMessage, https://docs.slack.dev/reference/methods/chat.update; limits of
blocks: https://docs.slack.dev/reference/block-kit/blocks; the signature's vector is the example of
https://docs.slack.dev/authentication/verifying-requests-from-slack.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from notifier.channels import slack
from notifier.channels.base import Refused, Unreachable
from notifier.channels.settings import Around
from tests.support.messages import MESSAGE, message
from tests.support.providers import BOT_TOKEN, Slack, block_faults, running

AROUND = Around(callbacks="https://pages.example")


@pytest.fixture
async def service() -> AsyncIterator[Slack]:
    it = Slack()
    async with running(it):
        yield it


@pytest.fixture
async def channel(service: Slack) -> AsyncIterator[slack.Slack]:
    it = made(service)
    yield it
    await it.close()


def made(service: Slack, around: Around = AROUND, **keys: Any) -> slack.Slack:
    table = {
        "kind": "slack",
        "token": BOT_TOKEN,
        "signing_secret": "a-signing-secret-of-a-test",
        "api": f"{service.url}/api",
        **keys,
    }
    return slack.Slack("slack", slack.Settings.model_validate(table), around)


def buttons(posted: dict[str, Any]) -> dict[str, str]:
    return {
        button["action_id"]: button["value"]
        for block in posted["blocks"]
        if block["type"] == "actions"
        for button in block["elements"]
    }


async def test_the_first_message_has_buttons_with_the_signed_tokens(service: Slack, channel: slack.Slack) -> None:
    receipt = await channel.send(MESSAGE, "C0TEST")
    assert receipt.thread == "C0TEST:1790000000.000000" and receipt.confirmed
    (posted,) = service.taken
    assert posted["text"] == "P0 #41: Payments failing"
    assert buttons(posted) == {
        "tillwatch:ack": "TOKEN-ack",
        "tillwatch:resolve": "TOKEN-resolve",
        "tillwatch:escalate": "TOKEN-escalate",
    }
    assert "92 % of them" in json.dumps(posted["blocks"])


async def test_one_thread_an_incident_whose_first_message_is_updated_in_place(
    service: Slack, channel: slack.Slack
) -> None:
    first = await channel.send(MESSAGE, "C0TEST")
    resolved = message(kind="resolved", status="resolved", answer={}, thread=first.thread)
    second = await channel.send(resolved, "C0TEST")
    assert second.thread == first.thread
    _, update, reply = service.taken
    assert update["ts"] == "1790000000.000000" and update["text"].startswith("Resolved: ") and not buttons(update)
    assert reply["thread_ts"] == "1790000000.000000" and "critical, resolved" in reply["text"]


async def test_who_is_paged_again_is_seen_in_the_channel(service: Slack, channel: slack.Slack) -> None:
    first = await channel.send(MESSAGE, "C0TEST")
    for kind in ("page", "update"):
        await channel.send(message(kind=kind, thread=first.thread), "C0TEST")
    replies = [sent for sent in service.taken if "thread_ts" in sent]
    assert [reply.get("reply_broadcast") for reply in replies] == [True, None]


async def test_a_thread_that_somebody_deleted_is_begun_anew(service: Slack, channel: slack.Slack) -> None:
    first = await channel.send(MESSAGE, "C0TEST")
    service.shown.clear()
    again = await channel.send(message(kind="update", thread=first.thread), "C0TEST")
    assert again.thread is not None and "thread_ts" not in service.taken[-1] and buttons(service.taken[-1])


@pytest.mark.parametrize(("around", "secret"), [(Around(), "a-signing-secret-of-a-test"), (AROUND, None)])
async def test_no_buttons_where_nobody_could_hear_or_prove_them(
    service: Slack, around: Around, secret: str | None
) -> None:
    channel = made(service, around, signing_secret=secret)
    await channel.send(MESSAGE, "C0TEST")
    await channel.close()
    assert buttons(service.taken[0]) == {}


@settings(max_examples=60)
@given(words=st.text(max_size=400), lines=st.lists(st.text(max_size=200), max_size=30))
@example(words="t" * 5_000, lines=["x" * 5_000])
@example(words="", lines=[])
def test_slack_takes_whatever_an_event_holds(words: str, lines: list[str]) -> None:
    made = slack.blocks(message(title=words, summary=words, lines=tuple(lines)))
    assert [fault for block in made for fault in block_faults(block)] == []
    json.dumps(made)


async def test_no_mention_and_no_link_comes_from_an_event(service: Slack, channel: slack.Slack) -> None:
    evil = "<!channel> <https://evil.example|Acknowledge> *bold*"
    page = message(title=evil, url="https://console.example/a|b>c&d", runbook="javascript:alert(1)")
    first = await channel.send(page, "C0TEST")
    await channel.send(message(title=evil, summary=evil, kind="update", thread=first.thread), "C0TEST")
    for sent in service.taken:
        assert "<" not in sent["text"] and "&lt;!channel&gt;" in sent["text"]
        for block in sent.get("blocks", []):
            if block["type"] in ("header", "section"):
                assert block["text"]["type"] == "plain_text"
    context = next(block for block in service.taken[0]["blocks"] if block["type"] == "context")
    assert [element["text"] for element in context["elements"]] == ["<https://console.example/a%7Cb%3Ec&amp;d|Incident>"]


@pytest.mark.parametrize("address", ["C0OTHER", "#payments", ""])
async def test_a_channel_that_is_not_there_is_refused(channel: slack.Slack, address: str) -> None:
    with pytest.raises(Refused, match="channel_not_found"):
        await channel.send(MESSAGE, address)


async def test_a_wrong_token_is_refused_and_not_shown(service: Slack) -> None:
    channel = made(service, token="another-token-of-a-test")
    with pytest.raises(Refused, match="Slack: invalid_auth") as told:
        await channel.send(MESSAGE, "C0TEST")
    await channel.close()
    assert "another-token" not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "retry_after_s", "maybe_sent"),
    [
        (web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "30"}), 30, False),
        (web.json_response({"ok": False, "error": "ratelimited"}, headers={"Retry-After": "30"}), 30, False),
        (web.json_response({"ok": False, "error": "service_unavailable"}), None, False),
        (web.json_response({"ok": False, "error": "internal_error"}), None, True),
        (web.Response(text="<html>", status=200), None, True),
        (web.json_response({"ok": True}), None, True),
        (web.Response(status=502), None, True),
    ],
    ids=["429", "limited", "unavailable", "internal", "garbage", "no ts", "502"],
)
async def test_what_passes_is_tried_again(
    service: Slack, channel: slack.Slack, answer: web.Response, retry_after_s: float | None, maybe_sent: bool
) -> None:
    service.answers = [answer]
    with pytest.raises(Unreachable) as told:
        await channel.send(MESSAGE, "C0TEST")
    assert (told.value.retry_after_s, told.value.maybe_sent) == (retry_after_s, maybe_sent)


class TestSignature:
    SECRET = SecretStr("8f742231b10e8888abcd99yyyzzz85a5")
    BODY = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    AT = "1531420618"
    GIVEN = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"

    def test_the_published_vector(self) -> None:
        assert slack.is_signed(self.SECRET, self.AT, self.BODY, self.GIVEN, 1531420618 + 299)

    @pytest.mark.parametrize("at", ["now", "", "1531420618.0", " 1531420618", "+1531420618", "9" * 5_000])
    def test_a_time_stamp_that_is_none_is_not_taken_though_it_is_signed(self, at: str) -> None:
        given = slack.signature(self.SECRET.get_secret_value(), at, self.BODY)
        assert not slack.is_signed(self.SECRET, at, self.BODY, given, 1531420618)

    @pytest.mark.parametrize(
        ("at", "body", "given_", "now"),
        [
            (AT, BODY, GIVEN, 1531420618 + 301),
            (AT, BODY, GIVEN, 1531420618 - 301),
            (AT, BODY + b"&x=1", GIVEN, 1531420618),
            ("1531420619", BODY, GIVEN, 1531420618),
            (AT, BODY, GIVEN.replace("v0", "v1"), 1531420618),
            (AT, BODY, "", 1531420618),
            (AT, BODY, "v0=é", 1531420618),
            ("", BODY, GIVEN, 1531420618),
            ("-1531420618", BODY, GIVEN, 1531420618),
            ("9" * 400, BODY, GIVEN, 1531420618),
            ("١٥٣١٤٢٠٦١٨", BODY, GIVEN, 1531420618),
        ],
    )
    def test_everything_else_is_forged_or_late(self, at: str, body: bytes, given_: str, now: float) -> None:
        assert not slack.is_signed(self.SECRET, at, body, given_, now)
