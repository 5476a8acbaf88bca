"""What comes back over HTTP: forged, expired and replayed answers are refused, genuine ones become one command."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from notifier import callbacks
from notifier.callbacks import Answered, Callbacks
from notifier.channels import phone, slack, sms, twilio
from notifier.channels.base import Delivery
from notifier.channels.settings import Around
from notifier.links import LASTS_S, Links, SpentHere
from runtime.clock import ManualClock
from tests.support.messages import INCIDENT, KEY
from tests.support.providers import ACCOUNT, AUTH_TOKEN, BOT_TOKEN

PUBLIC = "https://pages.example/tillwatch"
NOW = 1_790_000_000
SIGNING = "a-signing-secret-of-a-test"
LINK_KEY = SecretStr("a-key-of-a-test-that-is-long-enough-1")


class House:
    """The server with its channels, and the commands that came of requests."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.links = Links(PUBLIC, [LINK_KEY], self.clock)
        self.commands: list[Answered | Delivery] = []
        self.fails: Exception | None = None
        account = {"account": ACCOUNT, "auth_token": AUTH_TOKEN, "sender": "+12025550100"}
        around = Around(callbacks=PUBLIC, clock=self.clock)
        channels = {
            "sms": sms.Sms("sms", sms.Settings.model_validate({"kind": "twilio-sms", **account}), around),
            "phone": phone.Phone("phone", phone.Settings.model_validate({"kind": "twilio-voice", **account}), around),
            "ops": slack.Slack(
                "ops",
                slack.Settings.model_validate({"kind": "slack", "token": BOT_TOKEN, "signing_secret": SIGNING}),
                around,
            ),
        }
        self.server = Callbacks(self.links, channels, self.command, SpentHere(self.clock), self.clock)
        self.client: TestClient[Any, Any]

    async def command(self, it: Answered | Delivery) -> str:
        if self.fails is not None:
            raise self.fails
        self.commands.append(it)
        return "Incident 41 is acknowledged <by you>."

    def token(self, action: str = "ack", page: str = KEY) -> str:
        return self.links.token(INCIDENT, action, "thandi", page)

    async def slack(self, payload: Any, **other: str) -> ClientResponse:
        """As Slack sends it; `other`: what a forger changes."""
        body = urlencode({"payload": json.dumps(payload)}).encode()
        at = other.get("at", str(int(self.clock.now())))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": other.get("signature", slack.signature(other.get("secret", SIGNING), at, body)),
        }
        return await self.client.post(f"/slack/{other.get('channel', 'ops')}", data=body, headers=headers)

    async def twilio(self, path: str, params: dict[str, str], **other: str) -> ClientResponse:
        """As Twilio sends it; `other`: what a forger changes."""
        url = other.get("signed", PUBLIC) + path
        signature = twilio.signature(other.get("auth_token", AUTH_TOKEN), url, list(params.items()))
        headers = {"X-Twilio-Signature": other.get("signature", signature)}
        return await self.client.post(path, data=other.get("body", urlencode(params)), headers=headers | _FORM)


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    it = House()
    async with TestClient(TestServer(it.server.app(), host="127.0.0.1")) as it.client:
        yield it


def button(token: str, action: str = "ack") -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": "U0TEST", "username": "thandi", "name": "thandi", "team_id": "T0TEST"},
        "actions": [{"type": "button", "action_id": f"tillwatch:{action}", "block_id": "x", "value": token}],
    }


class TestLinks:
    async def test_looking_does_nothing_and_saying_so_does_it_once(self, house: House) -> None:
        path = f"/answer/{house.token()}"
        for _ in range(3):  # a scanner of mail, a preview, the person
            seen = await house.client.get(path)
            assert seen.status == 200 and "Acknowledge this incident as thandi?" in await seen.text()
        assert house.commands == []
        done = await house.client.post(path)
        assert done.status == 200 and "Incident 41 is acknowledged &lt;by you&gt;." in await done.text()
        assert house.commands == [
            Answered(house.links.read(house.token()).id, INCIDENT, "ack", KEY, "thandi", "thandi", "link")
        ]

    async def test_a_replayed_link_is_refused(self, house: House) -> None:
        path = f"/answer/{house.token()}"
        await house.client.post(path)
        house.clock.advance(60)
        again = [await house.client.post(path), await house.client.post(f"/answer/{house.token()}")]
        assert [answer.status for answer in again] == [409, 409] and len(house.commands) == 1
        other = await house.client.post(f"/answer/{house.token('resolve')}")
        assert other.status == 200 and len(house.commands) == 2

    async def test_a_forged_link_is_refused(self, house: House, caplog: pytest.LogCaptureFixture) -> None:
        good = house.token()
        forged = [good[:-1] + ("A" if good[-1] != "A" else "B"), good[:20], "x", "%00", "..%2fadmin", "A" * 4_000]
        forged.append(Links(PUBLIC, [SecretStr("x" * 32)], house.clock).token(INCIDENT, "ack", "thandi", KEY))
        for token in forged:
            for answer in (await house.client.get(f"/answer/{token}"), await house.client.post(f"/answer/{token}")):
                assert answer.status == 403 and "not valid" in await answer.text()
        assert house.commands == [] and good not in caplog.text

    async def test_an_expired_link_is_refused(self, house: House) -> None:
        path = f"/answer/{house.token()}"
        house.clock.advance(LASTS_S)
        assert [(await house.client.get(path)).status, (await house.client.post(path)).status] == [410, 410]
        assert house.commands == []

    async def test_where_it_did_not_work_it_can_be_said_again_and_no_detail_leaks(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = f"/answer/{house.token()}"
        house.fails = RuntimeError("redis://user:secret@10.0.0.7 is away")
        failed = await house.client.post(path)
        assert failed.status == 503 and "redis" not in await failed.text() and "RuntimeError" in caplog.text
        house.fails = None
        assert (await house.client.post(path)).status == 200 and len(house.commands) == 1

    async def test_two_at_once_are_one(self, house: House) -> None:
        path = f"/answer/{house.token()}"
        answers = await asyncio.gather(*(house.client.post(path) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409] and len(house.commands) == 1

    async def test_the_page_runs_nothing_and_is_kept_nowhere(self, house: House) -> None:
        token = house.links.token(INCIDENT, "ack", "<script>alert(1)</script>", KEY)
        seen = await house.client.get(f"/answer/{token}")
        assert "<script>" not in await seen.text()
        assert seen.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert seen.headers["Cache-Control"] == "no-store" and seen.headers["Referrer-Policy"] == "no-referrer"


class TestSlack:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack and
    https://docs.slack.dev/reference/interaction-payloads/block_actions-payload"""

    async def test_a_button_answers_for_who_pressed_it(self, house: House) -> None:
        assert (await house.slack(button(house.token()))).status == 200
        (answer,) = house.commands
        assert isinstance(answer, Answered)
        assert (answer.action, answer.issued_to, answer.by, answer.via) == ("ack", "thandi", "thandi (U0TEST)", "ops")

    @pytest.mark.parametrize(
        "other",
        [
            {"signature": "v0=" + "0" * 64},
            {"signature": ""},
            {"secret": "another-secret-of-a-test"},
            {"at": str(NOW - 301)},
            {"at": str(NOW + 301)},
            {"at": "now"},
            {"channel": "sms"},
            {"channel": "nobody"},
        ],
    )
    async def test_a_forged_or_old_request_is_refused(self, house: House, other: dict[str, str]) -> None:
        assert (await house.slack(button(house.token()), **other)).status == 403 and house.commands == []

    async def test_a_replayed_request_changes_nothing(self, house: House) -> None:
        for _ in range(2):
            assert (await house.slack(button(house.token()))).status == 200
        assert len(house.commands) == 1

    async def test_a_genuine_request_with_a_forged_token_is_refused(self, house: House) -> None:
        for payload in (button("x"), button(house.token("ack"), "resolve")):
            assert (await house.slack(payload)).status == 403
        house.clock.advance(LASTS_S)
        expired = Links(PUBLIC, [LINK_KEY], ManualClock(NOW)).token(INCIDENT, "ack", "thandi", KEY)
        assert (await house.slack(button(expired))).status == 410 and house.commands == []

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            [],
            {},
            {"actions": []},
            {"actions": [{"action_id": "other"}], "user": {"id": "U0TEST"}},
            {"actions": [{"action_id": "tillwatch:ack"}]},
            {"actions": "tillwatch:ack"},
            {"actions": [7]},
            "text",
        ],
    )
    async def test_what_is_not_ours_is_let_be(self, house: House, payload: object) -> None:
        assert (await house.slack(payload)).status == 200 and house.commands == []


class TestTwilio:
    """https://www.twilio.com/docs/usage/security#validating-requests; parameters of a key:
    https://www.twilio.com/docs/voice/twiml/gather; of a message's status:
    https://www.twilio.com/docs/messaging/guides/track-outbound-message-status"""

    def voice(self, house: House, page: str = KEY) -> str:
        return f"/twilio/phone/voice/{KEY}?1={house.token('ack', page)}&2={house.token('escalate', page)}"

    async def test_a_key_answers_and_is_told_aloud(self, house: House) -> None:
        params = {"CallSid": "CA1", "Digits": "2", "From": "+12025550100", "To": "+27821234567"}
        answer = await house.twilio(self.voice(house), params)
        assert answer.status == 200 and answer.content_type == "text/xml"
        assert await answer.text() == "<Response><Say>Incident 41 is acknowledged &lt;by you&gt;.</Say></Response>"
        (command,) = house.commands
        assert isinstance(command, Answered) and (command.action, command.via) == ("escalate", "phone")

    @pytest.mark.parametrize("digits", ["9", "", "1; drop"])
    async def test_another_key_does_nothing(self, house: House, digits: str) -> None:
        answer = await house.twilio(self.voice(house), {"CallSid": "CA1", "Digits": digits})
        assert "does nothing" in await answer.text() and house.commands == []

    async def test_a_replayed_key_changes_nothing(self, house: House) -> None:
        said = [await (await house.twilio(self.voice(house), {"Digits": "1"})).text() for _ in range(2)]
        assert "answered already" in said[1] and len(house.commands) == 1

    async def test_an_expired_call_is_told_so(self, house: House) -> None:
        path = self.voice(house)
        house.clock.advance(LASTS_S)
        answer = await house.twilio(path, {"Digits": "1"})
        assert "no longer be answered" in await answer.text() and house.commands == []

    async def test_the_token_of_another_page_is_refused(self, house: House) -> None:
        assert (await house.twilio(self.voice(house, "6f" * 32), {"Digits": "1"})).status == 403
        forged = f"/twilio/phone/voice/{KEY}?1=forged"
        assert (await house.twilio(forged, {"Digits": "1"})).status == 403 and house.commands == []

    async def test_where_it_did_not_work_the_call_says_so(self, house: House) -> None:
        house.fails = RuntimeError("secret")
        answer = await house.twilio(self.voice(house), {"Digits": "1"})
        assert answer.status == 200 and "nothing was changed" in await answer.text()

    @pytest.mark.parametrize(
        ("status", "delivered"), [("delivered", True), ("sent", None), ("undelivered", False), ("failed", False)]
    )
    async def test_proof_of_delivery_becomes_a_command(self, house: House, status: str, delivered: bool | None) -> None:
        params = {"MessageSid": "SM1", "MessageStatus": status, "To": "+27821234567", "AccountSid": ACCOUNT}
        assert (await house.twilio(f"/twilio/sms/status/{KEY}", params)).status == 204
        assert house.commands == [Delivery(KEY, "sms", "SM1", delivered, f"Twilio: {status}")]

    @pytest.mark.parametrize(
        "other",
        [
            {"signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
            {"signature": ""},
            {"signature": "é"},
            {"auth_token": "another-token-of-a-test"},
            {"signed": "https://evil.example"},
            {"body": "MessageSid=SM1&MessageStatus=delivered&extra=1"},
            {"body": "%ff=%00&&&=" + "&a=1" * 300},
        ],
    )
    @pytest.mark.parametrize("path", [f"/twilio/sms/status/{KEY}", f"/twilio/ops/status/{KEY}"])
    async def test_a_forged_request_is_refused(self, house: House, path: str, other: dict[str, str]) -> None:
        params = {"MessageSid": "SM1", "MessageStatus": "delivered"}
        assert (await house.twilio(path, params, **other)).status in (400, 403) and house.commands == []

    async def test_a_query_is_part_of_what_is_signed(self, house: House) -> None:
        path, params = self.voice(house), {"Digits": "1"}
        signature = twilio.signature(AUTH_TOKEN, PUBLIC + path, list(params.items()))
        swapped = path.replace("?1=", "?7=").replace("&2=", "&1=")
        assert (await house.twilio(swapped, params, signature=signature)).status == 403 and house.commands == []


class TestLimits:
    async def test_a_large_body_is_refused(self, house: House) -> None:
        for path in ("/slack/ops", f"/twilio/sms/status/{KEY}"):
            assert (await house.client.post(path, data=b"a" * (callbacks.BODY_BYTES + 1))).status == 413

    async def test_a_body_that_never_ends_is_cut_off(
        self, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(callbacks, "WITHIN_S", 0.05)
        never = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"payload="
            await never.wait()

        request = asyncio.create_task(house.client.post("/slack/ops", data=slow()))
        try:
            assert (await asyncio.wait_for(request, 10)).status == 503
        finally:
            never.set()

    async def test_anything_else_is_not_there_and_nothing_of_the_server_is_told(self, house: House) -> None:
        for method, path in (("GET", "/"), ("PUT", "/answer/x"), ("GET", "/slack/ops"), ("GET", "/../etc/passwd")):
            answer = await house.client.request(method, path)
            assert answer.status in (404, 405) and "Traceback" not in await answer.text()

    async def test_bytes_that_are_no_text_are_refused_like_others(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = await house.server.start("127.0.0.1", 0)
        for path, header in (
            (f"/twilio/sms/status/{KEY}".encode(), b"X-Twilio-Signature: \xff"),
            (b"/slack/ops", b"X-Slack-Request-Timestamp: %d\r\nX-Slack-Signature: v0=\xff" % NOW),
            (b"/answer/\xff", b"X-Other: \xff"),
            (b"/answer/%ff", b"X-Other: \xff"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n%s\r\n\r\na=1" % (path, header))
            assert int((await reader.readline()).split()[1]) in (400, 403, 404)
            writer.close()
        await house.server.close()
        assert "Traceback" not in caplog.text and house.commands == []

    async def test_it_listens_where_it_is_told_and_logs_no_token(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = await house.server.start("127.0.0.1", 0)
        with caplog.at_level(logging.DEBUG):
            done = await house.client.session.post(f"http://127.0.0.1:{port}/answer/{house.token()}")
        assert done.status == 200 and house.token() not in caplog.text
        await house.server.close()
