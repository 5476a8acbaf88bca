"""Twilio, Slack and PagerDuty on this machine: they take what the real ones take, and turn away what those turn away.

Sources, beside those that the channels name:
- Twilio's errors: https://www.twilio.com/docs/api/errors and the envelope `code, message, more_info, status` of
  https://www.twilio.com/docs/usage/twilios-response
- Slack's errors: https://docs.slack.dev/reference/methods/chat.postMessage#errors and, for the limits of blocks,
  https://docs.slack.dev/reference/block-kit/blocks
- PagerDuty's fields: https://github.com/PagerDuty/developer-docs/blob/main/docs/events-API-v2/02-Trigger-Events.md
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCOUNT = "AC" + "0" * 32
AUTH_TOKEN = "an-auth-token-of-a-test"
BOT_TOKEN = "a-bot-token-of-a-test"
ROUTING_KEY = "a-routing-key-of-a-test-32-chars"
assert len(ROUTING_KEY) == 32

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class Provider:
    """What every one of them has. taken: what was accepted; answer: a response that is given instead, once for each."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.answers: list[web.Response] = []
        self.url = ""

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError


@asynccontextmanager
async def running(provider: Provider) -> AsyncIterator[None]:
    """The provider, listening at `provider.url`."""

    @web.middleware
    async def instead(request: web.Request, handler: Any) -> web.StreamResponse:
        if provider.answers:
            await request.read()
            return provider.answers.pop(0)
        answered: web.StreamResponse = await handler(request)
        return answered

    app = web.Application(middlewares=[instead])
    app.add_routes(provider.routes())
    async with TestServer(app, host="127.0.0.1") as server:
        provider.url = str(server.make_url("")).rstrip("/")
        yield


class Twilio(Provider):
    """The REST API of 2010-04-01."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/2010-04-01/Accounts/{account}/Messages.json", self._message),
            web.post("/2010-04-01/Accounts/{account}/Calls.json", self._call),
        ]

    async def _message(self, request: web.Request) -> web.Response:
        form = await self._form(request, {"To", "From", "MessagingServiceSid", "Body", "StatusCallback"})
        if isinstance(form, web.Response):
            return form
        if "From" not in form and "MessagingServiceSid" not in form:
            return self._error(400, 21603)
        if not form.get("Body"):
            return self._error(400, 21602)
        if len(form["Body"]) > 1_600:
            return self._error(400, 21617)
        return self._made(form, "SM", "queued")

    async def _call(self, request: web.Request) -> web.Response:
        form = await self._form(request, {"To", "From", "Twiml", "Timeout", "StatusCallback"})
        if isinstance(form, web.Response):
            return form
        if not _E164.fullmatch(form.get("From", "")):
            return self._error(400, 21212)
        if not form.get("Twiml") or len(form["Twiml"]) > 4_000 or not _is_twiml(form["Twiml"]):
            return self._error(400, 21205)
        if not 1 <= int(form.get("Timeout", "60")) <= 600:
            return self._error(400, 21220)
        return self._made(form, "CA", "queued")

    async def _form(self, request: web.Request, known: set[str]) -> dict[str, str] | web.Response:
        expected = "Basic " + base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != expected or request.match_info["account"] != ACCOUNT:
            return self._error(401, 20003)
        assert request.content_type == "application/x-www-form-urlencoded"
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert set(form) <= known, "Twilio would silently ignore it"
        if "To" not in form:
            return self._error(400, 21604)
        if not _E164.fullmatch(form["To"]) or form["To"].startswith("+1500"):
            return self._error(400, 21211)
        callback = urlsplit(form.get("StatusCallback", "https://unset.example"))
        if callback.scheme not in ("http", "https") or not callback.netloc:
            return self._error(400, 21609)
        return form

    def _made(self, form: dict[str, str], prefix: str, status: str) -> web.Response:
        self.taken.append(form)
        sid = f"{prefix}{len(self.taken):032x}"
        return web.json_response({"sid": sid, "status": status, "to": form["To"], "error_code": None}, status=201)

    @staticmethod
    def _error(status: int, code: int) -> web.Response:
        more = f"https://www.twilio.com/docs/errors/{code}"
        told = {"code": code, "message": "The 'To' number is not a valid phone number.", "more_info": more, "status": status}
        return web.json_response(told, status=status)


_VERBS = {
    "Response": set[str](),
    "Say": {"loop", "voice", "language"},
    "Gather": {"input", "numDigits", "timeout", "method", "action"},
}


def _is_twiml(text: str) -> bool:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return False
    verbs = list(root.iter())
    return root.tag == "Response" and all(verb.tag in _VERBS and set(verb.keys()) <= _VERBS[verb.tag] for verb in verbs)


class Slack(Provider):
    """chat.postMessage and chat.update. shown: the messages of its channels by ts."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/chat.postMessage", self._post), web.post("/api/chat.update", self._update)]

    async def _post(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, {"channel", "text", "blocks", "thread_ts", "reply_broadcast", "unfurl_links"})
        if isinstance(asked, web.Response):
            return asked
        if "thread_ts" in asked and asked["thread_ts"] not in self.shown:
            return self._error("thread_not_found")
        ts = f"1790000000.{len(self.shown):06d}"
        return self._done(asked, ts)

    async def _update(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, {"channel", "ts", "text", "blocks", "unfurl_links"})
        if isinstance(asked, web.Response):
            return asked
        return self._done(asked, asked["ts"]) if asked["ts"] in self.shown else self._error("message_not_found")

    async def _asked(self, request: web.Request, known: set[str]) -> dict[str, Any] | web.Response:
        authorization = request.headers.get("Authorization")
        if authorization != f"Bearer {BOT_TOKEN}":
            return self._error("not_authed" if authorization is None else "invalid_auth")
        if request.content_type != "application/json" or request.charset != "utf-8":
            return self._error("invalid_json")
        asked = json.loads(await request.read())
        assert set(asked) <= known, "Slack would silently ignore it"
        if asked.get("channel") not in ("C0TEST", "U0TEST"):
            return self._error("channel_not_found")
        if not asked.get("text"):
            return self._error("no_text")
        if len(asked["text"]) > 40_000:
            return self._error("msg_too_long")
        wrong = [fault for block in asked.get("blocks", []) for fault in block_faults(block)]
        return self._error("invalid_blocks") if wrong else asked

    def _done(self, asked: dict[str, Any], ts: str) -> web.Response:
        self.taken.append(asked)
        self.shown[ts] = asked
        return web.json_response({"ok": True, "channel": "C0TEST", "ts": ts, "message": {"text": asked["text"]}})

    @staticmethod
    def _error(error: str) -> web.Response:
        return web.json_response({"ok": False, "error": error})


def block_faults(block: dict[str, Any]) -> list[str]:
    def text(it: dict[str, Any], kinds: set[str], longest: int) -> list[str]:
        return [] if it["type"] in kinds and 1 <= len(it["text"]) <= longest else [f"text of {block['type']}"]

    if block["type"] == "header":
        return text(block["text"], {"plain_text"}, 150)
    if block["type"] == "section":
        return text(block["text"], {"plain_text", "mrkdwn"}, 3_000)
    if block["type"] == "context":
        return [fault for it in block["elements"] for fault in text(it, {"plain_text", "mrkdwn"}, 3_000)]
    if block["type"] == "actions":
        buttons = block["elements"]
        ids = [button["action_id"] for button in buttons]
        faults = [fault for button in buttons for fault in text(button["text"], {"plain_text"}, 75)]
        faults += [button["action_id"] for button in buttons if not 1 <= len(button["value"]) <= 2_000]
        faults += [str(button) for button in buttons if button.get("style", "primary") not in ("primary", "danger")]
        return faults + ([] if 1 <= len(ids) <= 25 and len(set(ids)) == len(ids) else ["elements"])
    return [block["type"]]


class PagerDuty(Provider):
    """Events API v2. alerts: state by dedup_key."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v2/enqueue", self._enqueue), web.post("/v2/change/enqueue", self._change)]

    async def _enqueue(self, request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        faults = self._faults(event)
        action, key = event.get("event_action"), event.get("dedup_key", "")
        if action not in ("trigger", "acknowledge", "resolve"):
            faults.append("'event_action' is invalid")
        if len(key) > 255:
            faults.append("'dedup_key' is too long")
        payload = event.get("payload", {})
        if action == "trigger" and payload.get("severity") not in ("critical", "error", "warning", "info"):
            faults.append("'payload.severity' is invalid (must be one of the following: ...)")
        if action == "trigger" and not payload.get("source"):
            faults.append("'payload.source' is missing or blank")
        if action != "trigger" and not key:
            faults.append("'dedup_key' is missing or blank")
        if faults:
            return self._invalid(faults)
        self.taken.append(event)
        if action == "trigger" or key in self.alerts:  # else PagerDuty drops it
            self.alerts[key] = action
        done = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(done, status=202)

    async def _change(self, request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        if faults := self._faults(event):
            return self._invalid(faults)
        self.taken.append(event)
        return web.json_response({"status": "success", "message": "Change event processed"}, status=202)

    @staticmethod
    def _faults(event: dict[str, Any]) -> list[str]:
        faults = []
        if event.get("routing_key") != ROUTING_KEY:
            faults.append("'routing_key' is invalid")
        payload = event.get("payload")
        if event.get("event_action") in (None, "trigger"):
            summary = (payload or {}).get("summary", "")
            if not 1 <= len(summary) <= 1_024:
                faults.append("'payload.summary' is missing, blank or too long")
            datetime.fromisoformat((payload or {})["timestamp"])
            assert all(set(link) <= {"href", "text"} and link["href"] for link in event.get("links", []))
        return faults

    @staticmethod
    def _invalid(faults: list[str]) -> web.Response:
        told = {"status": "invalid event", "message": "Event object is invalid", "errors": faults}
        return web.json_response(told, status=400)
