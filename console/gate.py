"""What every request passes: who may ask, how much, for how long; and what browsers are told about every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.problems import Refused, problem
from console.who import SCOPE_KEY, Who

BODY_MOST = 256 * 1024
QUERY_MOST = 8 * 1024
PATH_MOST = 1024
ANSWER_WITHIN_S = 45.0
STREAMS = frozenset({"/api/v1/events"})
"""Answers that do not end."""
OPEN = frozenset({"/livez", "/readyz", "/sign-in", "/status", "/status.json", "/status.atom"})
"""What is answered without a token: whether the process lives, the page that asks for one, and what customers may know."""
OPEN_BELOW = "/static/"
COOKIE = "tillwatch_console"
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_ON_THIS_MACHINE, _WITH_THE_TOKEN = Who("this machine", "admin"), Who("token", "admin")


class Keys:
    """The token that callers must show, or a browser's cookie in its place."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def shown(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.is_token(given.strip())
        try:
            held = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return held is not None and hmac.compare_digest(held.value.encode(), self.cookie().encode())

    def is_token(self, given: str) -> bool:
        """In a time that does not tell how much of it is right."""
        return hmac.compare_digest(_digest(given.encode(errors="replace")), _digest(self._token))

    def cookie(self) -> str:
        """What a browser that has shown the token keeps in its place."""
        return hmac.digest(self._token, b"tillwatch console cookie", "sha256").hex()


class Gate:
    """The outermost part of the application. `keys`: what callers must show, None where only this machine can call."""

    def __init__(self, app: ASGIApp, keys: Keys | None, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._app, self._keys, self._within_s = app, keys, answer_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        limit = None if scope["path"] in STREAMS else self._within_s
        try:
            self._check(scope)
            scope[SCOPE_KEY] = _ON_THIS_MACHINE if self._keys is None else _WITH_THE_TOKEN
            async with asyncio.timeout(limit):
                await self._app(scope, _bounded(receive), answer)
        except Refused as refused:
            if begun:
                raise
            if refused.status == 401 and _wants_page(scope):
                refused = Refused(303, "sign in", {"Location": "/sign-in"})
            await problem(refused.status, refused.detail, refused.headers)(scope, receive, answer)
        except TimeoutError:
            if begun:
                raise
            await problem(504, f"that takes longer than {self._within_s:g} s: ask for less")(scope, receive, answer)

    def _check(self, scope: Scope) -> None:
        """Raises Refused."""
        headers = Headers(scope=scope)
        if len(scope["raw_path"] or b"") > PATH_MOST or len(scope["query_string"]) > QUERY_MOST:
            raise Refused(414, f"the address is too long: its query may have {QUERY_MOST} bytes")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > BODY_MOST:
            raise _too_much()
        if self._keys is None:
            # A page of somebody else's whose name leads to this machine must not be answered.
            if not is_local(headers.get("host", "")):
                raise Refused(421, "without a token only this machine is answered: ask for localhost or 127.0.0.1")
        elif scope["path"] not in OPEN and not scope["path"].startswith(OPEN_BELOW) and not self._keys.shown(headers):
            raise Refused(
                401, "show the token: Authorization: Bearer …", {"WWW-Authenticate": 'Bearer realm="tillwatch"'}
            )


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _wants_page(scope: Scope) -> bool:
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def _too_much() -> Refused:
    return Refused(413, f"at most {BODY_MOST} bytes are taken")


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_MOST:
            raise _too_much()
        return message

    return bounded


def is_local(host: str) -> bool:
    """Whether a name or address, with or without a port, is this machine's own."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0] if host.count(":") < 2 else host
    if name.lower() in ("localhost", ""):
        return name != ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
