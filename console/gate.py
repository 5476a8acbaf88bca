"""What every request passes: who may ask, what, how much, how often and for how long; and what browsers are told about every
answer.

Whatever a route itself says, nothing is changed here by whoever may only read, nor by a page of somebody else's, and what was
changed, or should have been, is written down.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
from html import escape
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.access import SCOPE_KEY as CALLER_KEY
from console.access import Access, Caller, nobody
from console.access import is_local as is_local
from console.audit import TOLD, Entry
from console.buckets import Buckets
from console.problems import Refused, problem
from console.readings import AWAY
from console.sessions import CSRF_HEADER
from console.who import ASKING, SCOPE_KEY, A, Asking, Role
from runtime.tasks import end

BODY_MOST = 256 * 1024
QUERY_MOST = 8 * 1024
PATH_MOST = 1024
ANSWER_WITHIN_S = 45.0
STREAMS = frozenset({"/api/v1/events"})
"""Answers that do not end, so that who asked is looked at again while they go on."""
LOOK_AGAIN_S = 30.0
_WAY_IN = {"/sign-in", "/sign-in/oidc", "/sign-in/oidc/callback"}
OPEN = frozenset({"/livez", "/readyz", *_WAY_IN, "/status", "/status.json", "/status.atom"})
"""What is answered to everybody: whether the process lives, the way in, and what customers may know."""
OPEN_BELOW = "/static/"
HEALTH = "/api/health"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ASKS = "/api/v1/sql"
"""A question is too long for an address: POST, and yet nothing is changed."""
OWN = frozenset({"/sign-out", "/password"})
"""For everybody who is signed in, about themselves. Their forms have the page's token in them."""
READS, CHANGES = (1_000, 200.0), (30, 5.0)
"""How many requests of a caller at once, and how many more each second."""
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, browsers say of a form of ours that it is from nowhere
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS = "max-age=31536000"


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, access: Access, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._app, self._access, self._within_s = app, access, answer_within_s
        self._reads, self._changes = Buckets(*READS), Buckets(*CHANGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun: int | None = None

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _HSTS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            _check(scope)
            caller = await self._caller(scope)
            scope[CALLER_KEY], scope[SCOPE_KEY] = caller, caller.who
            ASKING.set(Asking(caller.who if caller.signed_in else None, caller.csrf))
            await self._may(scope, caller)
            if scope["path"] in STREAMS:
                await self._while_known(scope, receive, answer)
            else:
                async with asyncio.timeout(self._within_s):
                    await self._app(scope, _bounded(receive), answer)
        except _Bounce as bounce:
            await HTMLResponse(bounce.page())(scope, receive, answer)
        except Refused as refused:
            if begun is not None:
                raise
            if refused.status == 401 and _wants_page(scope):
                refused = Refused(303, "sign in", {"Location": f"/sign-in?next={quote(_address(scope), safe='')}"})
            await problem(refused.status, refused.detail, refused.headers)(scope, receive, answer)
        except TimeoutError:
            if begun is not None:
                raise
            await problem(504, f"that takes longer than {self._within_s:g} s: ask for less")(scope, receive, answer)
        finally:
            await self._write_down(scope, begun)

    async def _caller(self, scope: Scope) -> Caller:
        """Raises Refused, and _Bounce."""
        path = scope["path"]
        if path in OPEN or path.startswith(OPEN_BELOW):
            return nobody(scope)
        try:
            found = await self._access.caller(scope)
        except Refused as refused:
            if refused.status == 503 and self._access.own_machine and path.startswith(HEALTH):
                return nobody(scope)  # that the store is away is what it is there to tell
            raise
        if (found is None or not found.signed_in) and _from_elsewhere(scope):
            raise _Bounce(_address(scope))
        if found is None:
            self._bound(self._reads, f"address {nobody(scope).origin}")
            raise _sign_in("sign in, or show a token: Authorization: Bearer …")
        return found

    async def _may(self, scope: Scope, caller: Caller) -> None:
        """Raises Refused."""
        path, headers = scope["path"], Headers(scope=scope)
        if path.startswith(OPEN_BELOW) or path in ("/livez", "/readyz"):
            return
        name = f"{caller.how} {caller.who.name}" if caller.signed_in else f"address {caller.origin}"
        self._bound(self._reads, name)
        if caller.only and not path.startswith(caller.only):
            raise Refused(403, f"this token is for {' and '.join(caller.only)} alone")
        if scope["method"] in SAFE:
            return
        if caller.how not in ("token", "api_token") and not self._own_page(headers):
            raise Refused(403, "a page of another site asks for this: nothing is done")
        if path in OPEN:
            return
        if path in OWN:
            self._bound(self._changes, name)
            return
        asks = scope["method"] == "POST" and path == ASKS
        if not asks:
            self._bound(self._changes, name)
        if caller.session is not None and not hmac.compare_digest(
            headers.get(CSRF_HEADER, "").encode(errors="replace"), caller.csrf.encode()
        ):
            raise Refused(403, f"show what the page has in <meta name=csrf> as {CSRF_HEADER}: load the page again")
        least: Role = "viewer" if asks else "responder"
        if not caller.who.may(least):
            if not caller.signed_in:
                raise _sign_in("to change something, sign in: 'tillwatch console link' prints a link for this machine")
            raise Refused(403, f"{caller.who.name} is {caller.who.role} here; this takes {A[least]}")

    def _own_page(self, headers: Headers) -> bool:
        """Whether this comes from a page of ours, or from no page at all."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site not in ("same-origin", "none"):
            return False
        return origin is None or self._access.is_own(origin, headers)

    def _bound(self, buckets: Buckets, name: str) -> None:
        wait_s = buckets.take(name)
        if wait_s:
            raise Refused(429, "too many requests: slow down", {"Retry-After": str(math.ceil(wait_s))})

    async def _while_known(self, scope: Scope, receive: Receive, answer: Send) -> None:
        """Answers until the end, or until who asked may not ask any more."""
        running = asyncio.ensure_future(self._app(scope, _bounded(receive), answer))
        looking = asyncio.ensure_future(self._until_unknown(scope))
        try:
            await asyncio.wait((running, looking), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                return
        finally:
            await end((running, looking))
        with contextlib.suppress(RuntimeError):  # it may not have begun
            await answer({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_unknown(self, scope: Scope) -> None:
        known: Caller = scope[CALLER_KEY]
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            with contextlib.suppress(Refused):  # the store is away
                found = await self._access.caller(scope)
                if found is None or found.who.name != known.who.name:
                    return

    async def _write_down(self, scope: Scope, status: int | None) -> None:
        """What no route has told: each change by somebody who is known, and each that was refused to them."""
        caller: Caller | None = scope.get(CALLER_KEY)
        path, method = scope["path"], scope["method"]
        asks = method == "POST" and path == ASKS
        if caller is None or not caller.signed_in or method in SAFE or asks or path in OPEN or TOLD in scope:
            return
        outcome = "refused" if status in (401, 403, 429) else "done" if status is not None and status < 400 else "failed"
        entry = Entry(
            caller.who.name, caller.who.role, caller.how, method.lower(), path, f"{outcome} ({status})", caller.origin
        )
        with contextlib.suppress(*AWAY):  # the log has it
            await self._access.audit.write(entry)


class _Bounce(Exception):
    """A link on another site leads here. Browsers do not show the cookie (SameSite=Strict) to who comes from there: they are
    sent on by a page of ours, and then do. It tells nothing, and does nothing."""

    def page(self) -> str:
        address = escape(str(self), quote=True)
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Tillwatch</title>'
            f'<meta http-equiv="refresh" content="0;url={address}"><a href="{address}">Go on</a></html>'
        )


def _sign_in(detail: str) -> Refused:
    return Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="tillwatch"'})


def _check(scope: Scope) -> None:
    """Raises Refused."""
    headers = Headers(scope=scope)
    if len(scope["raw_path"] or b"") > PATH_MOST or len(scope["query_string"]) > QUERY_MOST:
        raise Refused(414, f"the address is too long: its query may have {QUERY_MOST} bytes")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > BODY_MOST:
        raise _too_much()


def _wants_page(scope: Scope) -> bool:
    html = "text/html" in Headers(scope=scope).get("accept", "")
    return html and scope["method"] == "GET" and not scope["path"].startswith("/api/")


def _from_elsewhere(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return (
        _wants_page(scope)
        and headers.get("sec-fetch-site") in ("cross-site", "same-site")
        and headers.get("sec-fetch-mode") == "navigate"
    )


def _address(scope: Scope) -> str:
    """Path and query; never another host's, however many slashes it begins with."""
    path = "/" + quote(scope["path"], safe="/:@!$&'()*+,;=~-._").lstrip("/")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


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
