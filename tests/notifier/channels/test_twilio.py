"""Text messages and calls against Twilio's published formats.

Requests: https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/voice/api/call-resource and
https://www.twilio.com/docs/voice/twiml/gather. The signature's vector is that of Twilio's library for Python
(github.com/twilio/twilio-python, tests/unit/test_request_validator.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from notifier.channels import phone, sms, twilio
from notifier.channels.base import Refused, Unreachable
from notifier.channels.settings import Around
from tests.support.messages import KEY, MESSAGE, message
from tests.support.providers import ACCOUNT, AUTH_TOKEN, Twilio, running

NUMBER = "+27821234567"
AROUND = Around(callbacks="https://pages.example/tillwatch")


@pytest.fixture
async def service() -> AsyncIterator[Twilio]:
    it = Twilio()
    async with running(it):
        yield it


def keys(service: Twilio, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "twilio",
        "account": ACCOUNT,
        "auth_token": AUTH_TOKEN,
        "sender": "+12025550100",
        "api": service.url,
        **changes,
    }


def texting(service: Twilio, around: Around = AROUND, **changes: Any) -> sms.Sms:
    return sms.Sms("sms", sms.Settings.model_validate(keys(service, **changes)), around)


def calling(service: Twilio, around: Around = AROUND, **changes: Any) -> phone.Phone:
    return phone.Phone("phone", phone.Settings.model_validate(keys(service, **changes)), around)


class TestSms:
    async def test_twilio_takes_it_and_will_tell_what_came_of_it(self, service: Twilio) -> None:
        channel = texting(service)
        receipt = await channel.send(MESSAGE, "+27 82 123-4567")
        await channel.close()
        assert receipt.id == "SM" + f"{1:032x}" and receipt.confirmed is None
        assert service.taken == [
            {
                "To": NUMBER,
                "From": "+12025550100",
                "Body": "P0 #41: Payments failing\n12.0 % of payments failed in 5 minutes (over 5 %)\n"
                "Acknowledge: https://pages.example/answer/TOKEN-ack",
                "StatusCallback": f"https://pages.example/tillwatch/twilio/sms/status/{KEY}",
            }
        ]

    async def test_a_messaging_service_may_send(self, service: Twilio) -> None:
        channel = texting(service, sender="MG" + "0" * 32)
        await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert service.taken[0]["MessagingServiceSid"] == "MG" + "0" * 32 and "From" not in service.taken[0]

    async def test_nobody_hears_so_nothing_is_asked_for(self, service: Twilio) -> None:
        channel = texting(service, Around())
        await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert "StatusCallback" not in service.taken[0]

    @settings(max_examples=40)
    @given(title=st.text(max_size=600), summary=st.text(max_size=600))
    @example(title="t" * 2_000, summary="\ud800\r\n")
    @example(title="", summary="s" * 2_000)
    @example(title="", summary="over 5 %\nAcknowledge: https://evil.example/")
    def test_a_text_is_never_too_long_and_the_link_is_whole(self, title: str, summary: str) -> None:
        said = sms.text(message(title=title, summary=summary))
        assert len(said) <= 560 and said.endswith("\nAcknowledge: https://pages.example/answer/TOKEN-ack")
        assert said.count("\n") <= 2, "no event can write a line of its own"
        said.encode()


class TestPhone:
    async def test_a_key_answers(self, service: Twilio) -> None:
        channel = calling(service)
        receipt = await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert receipt.id == "CA" + f"{1:032x}" and receipt.confirmed is None
        (call,) = service.taken
        assert call["Timeout"] == "30"
        gather = ElementTree.fromstring(call["Twiml"]).find("Gather")
        assert gather is not None and gather.get("numDigits") == "1" and gather.get("method") == "POST"
        assert gather.get("action") == (
            f"https://pages.example/tillwatch/twilio/phone/voice/{KEY}?1=TOKEN-ack&2=TOKEN-escalate"
        )
        spoken = gather.findtext("Say")
        assert spoken is not None and "critical incident 41. Payments failing." in spoken
        assert spoken.endswith("Press 1 to acknowledge. Press 2 to escalate.")

    async def test_what_cannot_be_answered_is_only_read_aloud(self, service: Twilio) -> None:
        for channel, it in ((calling(service), message(answer={})), (calling(service, Around()), MESSAGE)):
            await channel.send(it, NUMBER)
            await channel.close()
        assert all("Gather" not in call["Twiml"] for call in service.taken)

    @settings(max_examples=40)
    @given(title=st.text(max_size=600), summary=st.text(max_size=600))
    @example(title="&" * 2_000, summary="")
    @example(title="\ud800\x00\ufffe", summary="")
    def test_what_an_event_holds_is_read_and_not_obeyed(self, title: str, summary: str) -> None:
        text = phone.twiml(message(title=title, summary=summary), "https://pages.example/x?1=a&2=b")
        assert [verb.tag for verb in ElementTree.fromstring(text).iter()] == ["Response", "Gather", "Say", "Say"]
        assert len(text) <= 3_500, "Twilio takes 4,000 characters, and an address is longer than this one"

    def test_a_tag_in_a_title_is_words(self) -> None:
        text = phone.twiml(message(title="</Say><Dial>+19005550100</Dial><Say>"), None)
        assert ElementTree.fromstring(text).find("Dial") is None


class TestTwilioSaysNo:
    @pytest.mark.parametrize("address", ["0821234567", "27821234567", "+0821234567", "+27", "thandi@shop.example", ""])
    async def test_a_number_that_is_none_is_not_even_sent(self, service: Twilio, address: str) -> None:
        for channel in (texting(service), calling(service)):
            with pytest.raises(Refused, match="as E"):
                await channel.send(MESSAGE, address)
            await channel.close()

    async def test_what_it_refuses_is_refused_with_its_number_and_without_the_recipients(self, service: Twilio) -> None:
        channel = texting(service)
        with pytest.raises(Refused) as told:
            await channel.send(MESSAGE, "+15005550001")
        await channel.close()
        assert str(told.value) == "answered 400: Twilio error 21211"

    async def test_wrong_credentials_are_refused(self, service: Twilio) -> None:
        channel = texting(service, auth_token="another-token-of-a-test")
        with pytest.raises(Refused, match="answered 401: Twilio error 20003") as told:
            await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert "another-token" not in str(told.value)

    async def test_too_many_may_come_later(self, service: Twilio) -> None:
        limited = {"code": 20429, "message": "Too Many Requests", "more_info": "", "status": 429}
        service.answers = [web.json_response(limited, status=429, headers={"Retry-After": "3"})]
        channel = texting(service)
        with pytest.raises(Unreachable) as told:
            await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert told.value.retry_after_s == 3 and not told.value.maybe_sent

    @pytest.mark.parametrize(
        "answer", [("oops", 500), ("<html>", 201), ("{}", 201), ("[]", 201)], ids=["500", "html", "no sid", "a list"]
    )
    async def test_after_an_answer_that_says_nothing_it_may_have_been_sent(
        self, service: Twilio, answer: tuple[str, int]
    ) -> None:
        service.answers = [web.Response(text=answer[0], status=answer[1])]
        channel = texting(service)
        with pytest.raises(Unreachable) as told:
            await channel.send(MESSAGE, NUMBER)
        await channel.close()
        assert told.value.maybe_sent


def test_the_published_vector_of_a_signature() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    params = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
        ("Caller", "+14158675309"),
    ]
    assert twilio.signature("12345", url, params) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert twilio.is_signed(SecretStr("12345"), url, params, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert twilio.is_signed(SecretStr("12345"), url, params, "kvajT1Ptam85bY51eRf/AJRuM3w="), "with the port"
    assert not twilio.is_signed(SecretStr("12345"), url, params[1:], "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    twice = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")]
    assert twilio.signature("12345", url, twice) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


@pytest.mark.parametrize(
    ("params", "delivered"),
    [
        ({"MessageSid": "SM1", "MessageStatus": "delivered"}, True),
        ({"MessageSid": "SM1", "MessageStatus": "sent"}, None),
        ({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"}, False),
        ({"CallSid": "CA1", "CallStatus": "no-answer"}, False),
        ({"CallSid": "CA1", "CallStatus": "completed"}, None),
        ({}, None),
    ],
)
def test_what_twilio_tells_later(params: dict[str, str], delivered: bool | None) -> None:
    told = twilio.told("sms", KEY, params)
    assert (told.key, told.channel, told.delivered) == (KEY, "sms", delivered)
    assert "30003" in told.detail or "ErrorCode" not in params


@pytest.mark.parametrize(
    ("key", "value"),
    [("account", "AC1"), ("api", "http://api.example"), ("api", "ftp://x"), ("sender", "0821234567")],
)
def test_settings_that_cannot_work_are_told(service: Twilio, key: str, value: str) -> None:
    with pytest.raises(ValidationError, match=key):
        calling(service, **{key: value})
