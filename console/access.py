"""Who asks: from what a request shows to a caller with a name and a role.

It shows a token (`Authorization: Bearer`), a session's cookie, or nothing. Where the console listens at this machine's own
address alone, and there are no accounts, no token and no provider, nothing is enough to read; it never is to change something.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Redis
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from console.accounts import Accounts, Passwords
from console.audit import Audit
from console.buckets import Buckets
from console.oidc import provider_of
from console.problems import Refused
from console.readings import AWAY
from console.sessions import Sessions, csrf, digest
from console.tokens import Tokens
from console.who import Who
from runtime.clock import Clock
from runtime.redis import connect
from runtime.settings import Settings

T = TypeVar("T")
COOKIE = "tillwatch_session"
SCOPE_KEY = "tillwatch.caller"
ANSWER_WITHIN_S = 1.5
"""Who a frozen store would say somebody is is not waited for longer."""
AGAIN_AFTER_S = 2.0
REMEMBERED, REMEMBERED_S = 1024, 900.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


Look = Callable[[str, str], Coroutine[Any, Any, "Caller | None"]]


@dataclass(frozen=True, slots=True)
class Caller:
    """how: anonymous, password, oidc, link, token (the installation's) or api_token. session: its secret, where there is one.
    only: beginnings of the paths it may ask for; none: all."""

    who: Who
    how: str
    origin: str
    session: str | None = None
    only: tuple[str, ...] = ()

    @property
    def csrf(self) -> str:
        """What its pages must show beside the cookie; empty where it has none."""
        return "" if self.session is None else csrf(self.session)

    @property
    def signed_in(self) -> bool:
        return self.how != "anonymous"


def caller_of(scope: Scope) -> Caller:
    """Who asks; the gate has let them through."""
    found: Caller = scope[SCOPE_KEY]
    return found


def nobody(scope: Scope) -> Caller:
    """Who asks for what is open to everybody."""
    return Caller(Who("nobody", "viewer"), "anonymous", _origin(scope))


class Access:
    """Everything that is known of who may do what. `token`: the installation's own, an admin's.

    Raises SettingsError where the provider's secret cannot be read.
    While the store is away, whoever it knew within the last quarter of an hour may go on reading: the pages are what tells
    that it is away.
    """

    def __init__(
        self, settings: Settings, clock: Clock, token: str | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings, self.clock, self.names = settings, clock, settings.names
        self.redis: Redis = connect(settings)
        self.accounts, self.tokens = Accounts(self.redis, self.names), Tokens(self.redis, self.names)
        self.sessions, self.audit = Sessions(self.redis, self.names, clock), Audit(self.redis, self.names)
        self.passwords = Passwords()
        self.provider = provider_of(settings, self.redis, clock)
        self.tries = Tries(monotonic)
        self._token, self._monotonic = token, monotonic
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()
        self._accounts: bool | None = None
        self._away_until = 0.0
        self.own_machine = is_local(settings.console_host) and token is None and settings.oidc_issuer is None
        """Whether nobody else can ask, and no way to sign in was set up beside accounts."""

    async def close(self) -> None:
        await self.redis.aclose()

    # --- who asks -----------------------------------------------------------------------------------------------------

    async def caller(self, scope: Scope) -> Caller | None:
        """Who asks, None where nothing that is good was shown. Raises Refused where the store that would know is away."""
        headers, origin = Headers(scope=scope), _origin(scope)
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self._of_token(shown.strip(), origin)
        cookie = _cookie(headers)
        found = None if cookie is None else await self._remembering(cookie, origin, self._of_session)
        if found is None and await self.reads_without(scope):
            found = Caller(Who("this machine", "viewer"), "anonymous", origin)
        return found

    async def reads_without(self, scope: Scope) -> bool:
        """Whether this request may read without anything: it comes from this machine, and no account says otherwise.

        Raises Refused where that is not known, and where another name leads here: a page of somebody else's must not be
        answered, nor whom a proxy on this machine brings.
        """
        headers = Headers(scope=scope)
        if not self.own_machine or await self._has_accounts():
            return False
        if not is_local(headers.get("host", "")):
            raise Refused(421, "without signing in only this machine is answered: ask for localhost or 127.0.0.1")
        return is_local(_origin(scope)) and not any(name in headers for name in _FORWARDED)

    async def _of_token(self, shown: str, origin: str) -> Caller | None:
        if self.is_token(shown):
            return Caller(Who("installation token", "admin"), "token", origin)
        return await self._remembering(shown, origin, self._of_api_token)

    async def _of_api_token(self, shown: str, origin: str) -> Caller | None:
        token = await self.tokens.find(shown, int(self.clock.now() * 1000))
        return None if token is None else Caller(Who(token.name, token.role), "api_token", origin, only=token.only)

    async def _of_session(self, secret: str, origin: str) -> Caller | None:
        session = await self.sessions.find(secret)
        if session is None:
            return None
        if session.how == "password":
            account = await self.accounts.get(session.name)
            over = account is None or account.version != session.version
        else:
            over = session.how == "token" and session.version != self.token_version
        if over:
            await self.sessions.end(secret)
            return None
        return Caller(Who(session.name, session.role), session.how, origin, session=secret)

    async def _remembering(self, secret: str, origin: str, look: Look) -> Caller | None:
        key, now = digest(secret), self._monotonic()
        try:
            found = await self._asked(look(secret, origin))
        except AWAY as error:
            known, at = self._known.get(key, (None, 0.0))
            if known is None or now - at > REMEMBERED_S:
                raise away(error) from None
            return replace(known, who=Who(known.who.name, "viewer"), origin=origin)
        self._known.pop(key, None)
        if found is not None:
            self._known[key] = (found, now)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def _has_accounts(self) -> bool:
        try:
            self._accounts = await self._asked(self.accounts.any())
        except AWAY as error:
            if self._accounts is None:
                raise away(error) from None
        return bool(self._accounts)

    async def _asked(self, work: Coroutine[Any, Any, T]) -> T:
        """What the store says; for a moment after it did not, it is not asked."""
        if self._monotonic() < self._away_until:
            work.close()
            raise TimeoutError("it did not answer a moment ago")
        try:
            return await asyncio.wait_for(work, ANSWER_WITHIN_S)
        except AWAY:
            self._away_until = self._monotonic() + AGAIN_AFTER_S
            raise

    # --- the installation's token -------------------------------------------------------------------------------------

    def is_token(self, shown: str) -> bool:
        """In a time that does not tell how much of it is right."""
        if self._token is None:
            return False
        return hmac.compare_digest(_digest(shown.encode(errors="replace")), _digest(self._token.encode()))

    @property
    def token_version(self) -> str:
        """Another for each token: a session that began with one ends with it."""
        return "" if self._token is None else hmac.digest(self._token.encode(), b"tillwatch session", "sha256").hex()

    @property
    def has_token(self) -> bool:
        return self._token is not None

    def is_own(self, origin: str, headers: Headers) -> bool:
        """Whether a page of this origin is the console's own: of the address that was asked for, or that of the settings."""
        own = {headers.get("host", "")}
        if self.settings.console_url is not None:
            own.add(urlsplit(self.settings.console_url).netloc)
        return origin.partition("://")[2] in own


class Tries:
    """Failed tries to sign in, by account and address: who guesses waits, and the owner at another address does not."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._pair, self._account, self._address = Buckets(5, 1 / 30, now), Buckets(50, 1 / 10, now), Buckets(30, 1 / 2, now)

    def begin(self, name: str, address: str) -> float:
        """Counts a try before it is looked at: 0, or the seconds to wait before the next."""
        return self._address.take(address) or self._pair.take(f"{name} {address}") or self._account.take(name)

    def succeeded(self, name: str, address: str) -> None:
        self._pair.give_back(f"{name} {address}")


def away(error: BaseException) -> Refused:
    """The store would have to say who asks."""
    return Refused(
        503, f"the store does not answer ({type(error).__name__}), so who asks is not known: ask again in a moment",
        {"Retry-After": "2"},
    )


def _cookie(headers: Headers) -> str | None:
    """Whatever other programs of this host have put beside it."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


def _origin(scope: Scope) -> str:
    client = scope.get("client")
    return "" if client is None else str(client[0])


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def is_local(host: str) -> bool:
    """Whether a name or address, with or without a port, is this machine's own."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0] if host.count(":") < 2 else host
    if name.lower() in ("localhost", ""):
        return name != ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
