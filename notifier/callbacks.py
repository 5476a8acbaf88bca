"""The HTTP server that hears what comes back: links, Slack's buttons, keys of a phone, proof of delivery.

Everything that it is sent is hostile until its signature says otherwise. What is genuine becomes a command; answers say what
came of it and nothing else. It belongs behind a proxy that ends TLS; tokens are in paths, so that proxy should not log these.

| request | proof |
|---|---|
| GET, POST /answer/{token} | the token; only POST does it, so that scanners of mail and previews of links do not |
| POST /slack/{channel} | X-Slack-Signature, at most five minutes old, and the button's token |
| POST /twilio/{channel}/voice/{key} | X-Twilio-Signature, and the token of the key that was pressed |
| POST /twilio/{channel}/status/{key} | X-Twilio-Signature |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from notifier.channels import phone, slack, twilio
from notifier.channels.base import Channel, Delivery, called, cut, line
from notifier.channels.phone import Phone
from notifier.channels.slack import Slack
from notifier.channels.sms import Sms
from notifier.links import Expired, Forged, Grant, Links, Spent
from runtime.clock import Clock

log = logging.getLogger(__name__)
# aiohttp logs what is not HTTP as an error, with its bytes and a trace: anybody could fill the log.
_unheard = logging.getLogger(f"{__name__}.http")
_unheard.setLevel(logging.CRITICAL)

BODY_BYTES = 65_536
WITHIN_S = 10.0
"""Limit of a request, from its headers on."""
_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody answered a page. id: the same however often it comes; issued_to: whom the page was for; by: who answered, as far
    as it is known; via: "link", or the channel."""

    id: str
    incident: str
    action: str
    page: str
    issued_to: str
    by: str
    via: str


Command = Callable[[Answered | Delivery], Awaitable[str]]
"""Does it, and returns a sentence for whoever answered, such as "Incident 41 is acknowledged"."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_FORGED = "This link is not valid."
_EXPIRED = "This link has expired."
_SPENT = "This link was used already."
_FAILED = "That did not work, and nothing was changed. Please try again, or answer in another way."


class _Spent(Exception):
    """The grant was used before."""


class Callbacks:
    """The server. `links` says at which address the outside sees it; `channels` hold the secrets of what they send back."""

    def __init__(
        self, links: Links, channels: Mapping[str, Channel], command: Command, spent: Spent, clock: Clock
    ) -> None:
        self._links, self._command, self._spent, self._clock = links, command, spent, clock
        self._slack = {
            name: channel.signing_secret
            for name, channel in channels.items()
            if isinstance(channel, Slack) and channel.signing_secret is not None
        }
        self._twilio = {
            name: channel.auth_token for name, channel in channels.items() if isinstance(channel, Phone | Sms)
        }
        self._runner: web.AppRunner | None = None

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[_guarded])
        app.router.add_get("/answer/{token}", self._ask)
        app.router.add_post("/answer/{token}", self._do)
        app.router.add_post("/slack/{channel}", self._button)
        app.router.add_post("/twilio/{channel}/voice/{key}", self._key)
        app.router.add_post("/twilio/{channel}/status/{key}", self._status)
        return app

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises OSError."""
        self._runner = web.AppRunner(
            self.app(), access_log=None, logger=_unheard, keepalive_timeout=15.0, shutdown_timeout=WITHIN_S
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # --- links --------------------------------------------------------------------------------------------------------

    async def _ask(self, request: web.Request) -> web.Response:
        grant = self._granted(request.match_info["token"])
        words = called(grant.action)
        what = "" if "/" in grant.action else " this incident"
        return _page(
            200,
            f"{words}{what} as {grant.person}?",
            f'<form method="post"><button type="submit">{escape(words)}</button></form>',
        )

    async def _do(self, request: web.Request) -> web.Response:
        grant = self._granted(request.match_info["token"])
        try:
            return _page(200, await self._answered(grant, grant.person, "link"))
        except _Spent:
            raise _no(web.HTTPConflict, _SPENT) from None

    def _granted(self, token: str) -> Grant:
        try:
            grant = self._links.read(token)
        except Forged:
            log.warning("refused an answer: the token was not made here")
            raise _no(web.HTTPForbidden, _FORGED) from None
        except Expired:
            raise _no(web.HTTPGone, _EXPIRED) from None
        return grant

    async def _answered(self, grant: Grant, by: str, via: str) -> str:
        """Does what was granted, once. Raises _Spent, or what the command raised; then it may be tried again."""
        if not await self._spent.spend(grant.id, grant.until_ms):
            raise _Spent
        answer = Answered(grant.id, grant.incident, grant.action, grant.page, grant.person, by, via)
        try:
            return await self._command(answer)
        except BaseException:
            await self._spent.restore(grant.id)
            raise

    # --- Slack --------------------------------------------------------------------------------------------------------

    async def _button(self, request: web.Request) -> web.Response:
        """https://docs.slack.dev/interactivity/handling-user-interaction: a form whose `payload` is JSON."""
        channel = request.match_info["channel"]
        secret, body = self._slack.get(channel), await request.read()
        timestamp = request.headers.get("X-Slack-Request-Timestamp", "")
        given = request.headers.get("X-Slack-Signature", "")
        if secret is None or not slack.is_signed(secret, timestamp, body, given, self._clock.now()):
            log.warning("refused a request to /slack: it is not signed, or too old")
            raise _no(web.HTTPForbidden)
        pressed = _pressed(body)
        if pressed is None:
            return web.Response()  # another app's button, or a menu: nothing of ours
        action, token, by = pressed
        grant = self._granted(token)
        if grant.action != action:
            raise _no(web.HTTPForbidden)
        with contextlib.suppress(_Spent):  # somebody was faster, and the message says so soon
            await self._answered(grant, by, channel)
        return web.Response()

    # --- Twilio -------------------------------------------------------------------------------------------------------

    async def _key(self, request: web.Request) -> web.Response:
        """A key was pressed: answers in TwiML, which is read aloud."""
        channel, key, params = await self._from_twilio(request)
        token = request.query.get(params.get("Digits", ""))
        if token is None:
            return _twiml("That key does nothing.")
        try:
            grant = self._links.read(token)
        except Forged:
            raise _no(web.HTTPForbidden) from None
        except Expired:
            return _twiml("This call can no longer be answered.")
        if grant.page != key:
            raise _no(web.HTTPForbidden)
        try:
            return _twiml(await self._answered(grant, grant.person, channel))
        except _Spent:
            return _twiml("This was answered already.")

    async def _status(self, request: web.Request) -> web.Response:
        channel, key, params = await self._from_twilio(request)
        await self._command(twilio.told(channel, key, params))
        return web.Response(status=204)

    async def _from_twilio(self, request: web.Request) -> tuple[str, str, dict[str, str]]:
        """(channel, key of the page, the form) of a request that Twilio signed."""
        channel = request.match_info["channel"]
        auth_token, body = self._twilio.get(channel), await request.read()
        params = _form(body)
        given = request.headers.get("X-Twilio-Signature", "")
        url = self._links.public + request.raw_path
        if auth_token is None or not twilio.is_signed(auth_token, url, params, given):
            log.warning("refused a request to /twilio: it is not signed")
            raise _no(web.HTTPForbidden)
        return channel, request.match_info["key"], dict(params)


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise _no(web.HTTPBadRequest) from None


def _pressed(body: bytes) -> tuple[str, str, str] | None:
    """(action, token, who) of one of our buttons; None for anything else."""
    try:
        payload: Any = json.loads(dict(_form(body)).get("payload", "null"))
        action = next(one for one in payload["actions"] if str(one["action_id"]).startswith(slack.PREFIX))
        user = payload["user"]
        who = line(f"{user.get('username') or user.get('name') or ''} ({user['id']})")
        return action["action_id"].removeprefix(slack.PREFIX), str(action["value"]), cut(who, _NAME_CHARS)
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


@web.middleware
async def _guarded(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """A limit of time, and answers that tell nothing of what went wrong inside."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await handler(request)
    except web.HTTPException as answer:
        if not answer.headers.get("X-Robots-Tag"):  # aiohttp's own: not found, too large, method not allowed
            return _page(answer.status, answer.reason)
        return answer
    except Exception:
        log.exception("a callback failed")
        if request.path.startswith("/twilio/") and "/voice/" in request.path:
            return _twiml(_FAILED)
        return _page(503, _FAILED)


def _page(status: int, sentence: str, more: str = "") -> web.Response:
    return web.Response(status=status, text=_html(sentence, more), content_type="text/html", headers=_HEADERS)


def _html(sentence: str, more: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tillwatch</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font:18px/1.5 sans-serif;margin:15vh auto;max-width:30em;padding:0 1em;text-align:center}"
        "button{font:inherit;padding:.6em 1.6em}</style></head>"
        f"<body><p>{escape(line(sentence))}</p>{more}</body></html>"
    )


def _no(kind: type[web.HTTPException], sentence: str = "This request is not valid.") -> web.HTTPException:
    return kind(text=_html(sentence), content_type="text/html", headers=_HEADERS)


def _twiml(sentence: str) -> web.Response:
    return web.Response(text=phone.thanks(sentence), content_type="text/xml", headers={"Cache-Control": "no-store"})
