"""A small OpenID Connect provider on the loopback interface: signs with a real key, checks PKCE and the client's secret, and
can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import BasicAuth, web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "tillwatch", "not-a-real-secret-only-for-tests"
Claims = dict[str, Any]


class Provider:
    """person: the claims of whoever signs in. lie: changes the claims, and may return another id_token altogether."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first"})
        self.person: Claims = {"sub": "42", "preferred_username": "thandi", "groups": ["oncall", "staff"]}
        self.lie: Callable[[Claims], str | None] = lambda claims: None
        self.metadata: Claims = {}
        self.issuer = ""
        self.asked: dict[str, int] = {}
        self._codes: dict[str, dict[str, str]] = {}

    def sign(self, claims: Claims, key: RSAKey | None = None) -> str:
        """As this provider does, or with another key of the same name."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key or self.key)

    async def describe(self, request: web.Request) -> web.Response:
        self._count("describe")
        known = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }
        return web.json_response(known | self.metadata)

    async def keys(self, request: web.Request) -> web.Response:
        self._count("keys")
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: web.Request) -> web.Response:
        """Signs the person in without asking."""
        asked = dict(request.query)
        if asked.get("client_id") != CLIENT or asked.get("response_type") != "code" or "openid" not in asked.get("scope", ""):
            raise web.HTTPBadRequest
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            raise web.HTTPBadRequest
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def token(self, request: web.Request) -> web.Response:
        self._count("token")
        form = dict(await request.post())
        asked = self._codes.pop(str(form.get("code")), None)
        shown = BasicAuth.decode(request.headers.get("Authorization", "Basic Og=="))
        challenge = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        if (
            asked is None
            or (shown.login, shown.password) != (CLIENT, SECRET)
            or form.get("redirect_uri") != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], **self.person}
        shown_instead = self.lie(claims)
        return web.json_response(
            {"access_token": "unused", "token_type": "Bearer", "id_token": shown_instead or self.sign(claims)}
        )

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Provider]:
        """Listens until the block is left."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.describe)
        app.router.add_get("/keys", self.keys)
        app.router.add_get("/authorize", self.authorize)
        app.router.add_post("/token", self.token)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()
