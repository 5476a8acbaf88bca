"""The way in and out: a name and a password, the installation's token, a link that works once, or a provider's word; and how
somebody changes their own password.

Nothing of it tells whether somebody has an account, and a session is never given to whom a page of another site sends.
"""

from __future__ import annotations

import hmac
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from console.access import COOKIE, Access, Caller, caller_of
from console.accounts import PASSWORD_CHARS, PASSWORD_MOST, Unfit, fit_password
from console.audit import TOLD, Entry, audit
from console.oidc import FLOW_S, Provider, Unproven
from console.pages import landing_page, password_page, sign_in_page, signed_in_page
from console.problems import Refused
from console.readings import AWAY
from console.sessions import CSRF_HEADER, LONGEST_S, How, csrf
from console.who import Role

FLOW_COOKIE = "tillwatch_flow"
FLOW_PATH = "/sign-in/oidc"
_THEN = re.compile(r"/(?![/\\])[^\x00-\x1f\x7f\\]{0,2000}")
_WRONG = "That is not right. Look at the name and the password, and try again."
signing = APIRouter(include_in_schema=False)


@signing.get("/sign-in")
async def ask(request: Request, next: str = "/", once: str | None = None) -> Response:
    """The form; or, with what a link brings, a session."""
    if once is not None:
        return await _by_link(request, once)
    try:
        caller = await _access(request).caller(request.scope)
    except Refused:
        caller = None
    if caller is not None and caller.session is not None:
        return HTMLResponse(signed_in_page(caller.who.name, caller.who.role, caller.csrf, password=caller.how == "password"))
    return HTMLResponse(_form(request, "", next))


async def _by_link(request: Request, once: str) -> Response:
    if "prefetch" in request.headers.get("sec-purpose", "") or "prerender" in request.headers.get("sec-purpose", ""):
        return Response(status_code=503)  # nobody has looked yet
    access = _access(request)
    try:
        name = await access.sessions.take(once[:128])
    except AWAY:
        return _away(request, "/")
    if name is None:
        told = "This link was used before, or is too old. 'tillwatch console link' prints another."
        return HTMLResponse(_form(request, told, "/"), 401)
    return await _signed_in(request, name, "admin", "link", "", "/")


@signing.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Who shows a name and its password, or the installation's token, gets a session."""
    access, given = _access(request), _fields(await request.body())
    name, then, address = given.get("name", "").strip().lower(), given.get("next", "/"), _address(request)
    token = given.get("token", "").strip()
    wait_s = access.tries.begin(name or "token", address)
    if wait_s:
        told = HTMLResponse(_form(request, f"Too many tries. Try again in {math.ceil(wait_s)} s.", then), 429)
        told.headers["Retry-After"] = str(math.ceil(wait_s))
        return told
    try:
        if token:
            if access.is_token(token):
                access.tries.succeeded("token", address)
                return await _signed_in(request, "installation token", "admin", "token", access.token_version, then)
        else:
            account = await access.accounts.get(name)
            kept = None if account is None else account.password
            if await access.passwords.matches(kept, given.get("password", "")) and account is not None:
                access.tries.succeeded(name, address)
                return await _signed_in(request, account.name, account.role, "password", account.version, then)
        await access.audit.write(Entry(name or "token", "", "anonymous", "sign_in", "console", "refused", address))
    except AWAY:
        return _away(request, then)
    return HTMLResponse(_form(request, _WRONG, then), 401)


@signing.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session."""
    access, caller = _access(request), caller_of(request.scope)
    if caller.session is not None:
        _check_page(request, caller, _fields(await request.body()))
        await access.sessions.end(caller.session)
        request.scope[TOLD] = True
        who = caller.who
        await access.audit.write(Entry(who.name, who.role, caller.how, "sign_out", "console", "done", caller.origin))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _check_page(request: Request, caller: Caller, given: Mapping[str, str]) -> None:
    """Raises Refused where the form does not show the token of the page."""
    shown = request.headers.get(CSRF_HEADER) or given.get("csrf", "")
    if not hmac.compare_digest(shown.encode(errors="replace"), caller.csrf.encode()):
        raise Refused(403, "this page is too old: load it again")


# --- one's own password -----------------------------------------------------------------------------------------------


@signing.get("/password")
async def ask_password(request: Request) -> Response:
    """The form."""
    caller = _with_password(request)
    return HTMLResponse(_password_form(caller, ""))


@signing.post("/password")
async def change_password(request: Request) -> Response:
    """Another password for who shows the one until now: all sessions of the account end, and a new one begins here."""
    access, caller = _access(request), _with_password(request)
    given, name = _fields(await request.body()), caller.who.name
    _check_page(request, caller, given)
    old, new = given.get("old", ""), given.get("new", "")

    def again(message: str, status: int) -> Response:
        return HTMLResponse(_password_form(caller, message), status)

    wait_s = access.tries.begin(name, caller.origin)
    if wait_s:
        told = again(f"Too many tries. Try again in {math.ceil(wait_s)} s.", 429)
        told.headers["Retry-After"] = str(math.ceil(wait_s))
        return told
    try:
        account = await access.accounts.get(name)
        if account is None or not await access.passwords.matches(account.password, old):
            await audit(request, "change_password", name, "refused")
            return again("That is not the password until now.", 401)
        access.tries.succeeded(name, caller.origin)
        wrong = _unfit(old, new, given.get("again", ""))
        if wrong is not None:
            await audit(request, "change_password", name, "refused")
            return again(wrong, 400)
        kept = await access.passwords.hashed(new)
        changed = await access.accounts.change(name, password=kept, version=account.version)
        await audit(request, "change_password", name, "done" if changed else "changed by somebody else meanwhile")
        if changed is None:
            return again("The account was changed by somebody else meanwhile: nothing is done.", 409)
        secret = await access.sessions.begin(name, changed.role, "password", changed.version)
    except AWAY:
        return again("The store does not answer, so nothing is certain to be changed. Try again in a moment.", 503)
    told = HTMLResponse(signed_in_page(name, changed.role, csrf(secret), "Your password is changed. ", password=True))
    _keep(request, told, secret)
    return told


def _password_form(caller: Caller, message: str) -> str:
    return password_page(caller.who.name, caller.csrf, message, PASSWORD_CHARS, PASSWORD_MOST)


def _with_password(request: Request) -> Caller:
    """Who asks, if they signed in with a password. Raises Refused."""
    caller: Caller = caller_of(request.scope)
    if caller.how != "password":
        raise Refused(403, "who signed in with a name and a password can change it; you did not")
    return caller


def _unfit(old: str, new: str, again: str) -> str | None:
    """Why it cannot be the new one, None where it can."""
    if new != again:
        return "The new password is not the same both times."
    if new == old:
        return "The new password is the one until now."
    try:
        fit_password(new)
    except Unfit as error:
        return f"{error}."
    return None


# --- a provider -------------------------------------------------------------------------------------------------------


@signing.get(FLOW_PATH)
async def to_provider(request: Request, next: str = "/") -> Response:
    """Sends the browser to the provider."""
    try:
        address, held = await _provider(request).begin(_then(next))
    except Unproven as error:
        return HTMLResponse(_form(request, f"{error}.", next), 502)
    except AWAY:
        return _away(request, next)
    answer = RedirectResponse(address, 303)
    # Lax: the provider's page, another site, sends the browser back.
    answer.set_cookie(
        FLOW_COOKIE, held, max_age=FLOW_S, path=FLOW_PATH, httponly=True, samesite="lax", secure=_secure(request)
    )
    return answer


@signing.get(f"{FLOW_PATH}/callback")
async def from_provider(request: Request) -> Response:
    """Whom the provider has signed in."""
    access, held = _access(request), request.cookies.get(FLOW_COOKIE)
    try:
        who, then = await _provider(request).finish(held or "", request.query_params)
        answer = await _signed_in(request, who.name, who.role, "oidc", "", then)
        answer.delete_cookie(FLOW_COOKIE, path=FLOW_PATH)
        return answer
    except Unproven as error:
        entry = Entry("unknown", "", "anonymous", "sign_in", f"oidc: {error}", "refused", _address(request))
        if held is not None:
            await access.audit.write(entry)
        return HTMLResponse(_form(request, f"{error}.", "/"), 401)
    except AWAY:
        return _away(request, "/")


def _provider(request: Request) -> Provider:
    found: Provider | None = _access(request).provider
    if found is None:
        raise Refused(404, "no provider is set: TILLWATCH_OIDC_ISSUER")
    return found


# --- what all of them end with ----------------------------------------------------------------------------------------


async def _signed_in(request: Request, name: str, role: Role, how: How, version: str, then: str) -> Response:
    access = _access(request)
    secret = await access.sessions.begin(name, role, how, version)
    await access.audit.write(Entry(name, role, how, "sign_in", "console", "done", _address(request)))
    # A page, and not a redirect: the browser is asked to come by a page of ours, and so shows its cookie.
    answer = HTMLResponse(landing_page(_then(then)))
    _keep(request, answer, secret)
    return answer


def _keep(request: Request, answer: Response, secret: str) -> None:
    """Has the browser keep a session."""
    answer.set_cookie(COOKIE, secret, max_age=LONGEST_S, httponly=True, samesite="strict", secure=_secure(request))


def _form(request: Request, message: str, then: str) -> str:
    access = _access(request)
    return sign_in_page(message, _then(then), token=access.has_token, provider=access.provider is not None)


def _away(request: Request, then: str) -> Response:
    return HTMLResponse(_form(request, "The store does not answer, so nobody can sign in. Try again in a moment.", then), 503)


def _then(address: str) -> str:
    """A page of ours, whatever somebody has put there."""
    return address if _THEN.fullmatch(address) else "/"


def _fields(body: bytes) -> Mapping[str, str]:
    try:
        found: Mapping[str, list[Any]] = parse_qs(body.decode(errors="replace"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _secure(request: Request) -> bool:
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def _address(request: Request) -> str:
    caller: Caller = caller_of(request.scope)
    return caller.origin


def _access(request: Request) -> Access:
    found: Access = request.app.state.access
    return found
