"""OpenID Connect: people of a provider sign in by its authorization code, with PKCE, state and nonce (OpenID Connect Core 3.1,
RFC 7636, RFC 9700).

What crosses the wire is checked by Authlib and joserfc; here is the order of things. What is under way is kept in the store,
under a hash of what the browser holds.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from redis.asyncio import Redis

from console.sessions import digest
from console.who import ROLES, Role, Who
from runtime.clock import Clock
from runtime.names import Names
from runtime.settings import Settings, is_private_way, secret_in

CALLBACK = "/sign-in/oidc/callback"
SCOPE = "openid profile email"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only such as the provider alone can sign with."""
FLOW_S = 600
ANSWER_WITHIN_S, ANSWER_BYTES = 10.0, 256 * 1024
KNOWN_S, KEYS_AGAIN_S = 3600.0, 60.0
LEEWAY_S = 30


class Unproven(Exception):
    """Nobody is signed in; the text may be shown to whoever tried."""


class Flow(msgspec.Struct, frozen=True):
    """What is under way. then: the page to go on to."""

    state: str
    nonce: str
    verifier: str
    then: str


class Provider:
    """The provider of the settings. Methods raise Unproven, and what redis raises when it is away."""

    def __init__(self, settings: Settings, redis: Redis, names: Names, clock: Clock) -> None:
        if settings.oidc_issuer is None or settings.oidc_client is None or settings.console_url is None:
            raise ValueError("no provider is set")
        self.issuer, self._client = settings.oidc_issuer, settings.oidc_client
        self._secret, self._back = secret_of(settings), f"{settings.console_url}{CALLBACK}"
        self._claim, self._roles = settings.oidc_claim, roles_of(settings.oidc_roles or "")
        self._redis, self._names, self._clock = redis, names, clock
        self._metadata: tuple[Mapping[str, Any], float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def begin(self, then: str) -> tuple[str, str]:
        """The address that the browser is sent to, and what it must bring back in a cookie."""
        metadata = await self._described()
        flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64), then)
        held = secrets.token_urlsafe(32)
        await self._redis.set(self._key(held), msgspec.json.encode(flow), ex=FLOW_S)
        address: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._client,
            "code",
            self._back,
            SCOPE,
            flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return address, held

    async def finish(self, held: str, answer: Mapping[str, str]) -> tuple[Who, str]:
        """Who signed in, and the page to go on to. `held`: what the cookie brought; each works once."""
        found = await self._redis.getdel(self._key(held))
        if found is None:
            raise Unproven("this took too long, or was begun in another browser: begin again")
        flow = msgspec.json.decode(found, type=Flow)
        if not secrets.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise Unproven("this is the answer to another question: begin again")
        # RFC 9207: where the provider names itself, it must be this one.
        if answer.get("iss", self.issuer) != self.issuer:
            raise Unproven("another provider answers: begin again")
        if "code" not in answer:
            raise Unproven("the provider has signed nobody in")
        return await self._who(await self._token(answer["code"], flow), flow), flow.then

    async def _token(self, code: str, flow: Flow) -> Mapping[str, Any]:
        metadata = await self._described()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back, "code_verifier": flow.verifier}
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if self._secret is not None and "client_secret_basic" in methods:
            auth = aiohttp.BasicAuth(self._client, self._secret)
        else:
            form["client_id"] = self._client
            if self._secret is not None:
                form["client_secret"] = self._secret
        return await self._ask(metadata["token_endpoint"], form, auth)

    async def _who(self, token: Mapping[str, Any], flow: Flow) -> Who:
        shown = token.get("id_token")
        if not isinstance(shown, str):
            raise Unproven("the provider has sent no id_token")
        metadata = await self._described()
        offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [one for one in ALGORITHMS if one in offered]
        try:
            read = jwt.decode(shown, await self._signing_keys(shown), algorithms=algorithms)
            claims = CodeIDToken(
                read.claims,
                read.header,
                {
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self._client},
                    "nonce": {"essential": True, "value": flow.nonce},
                },
                {"nonce": flow.nonce, "client_id": self._client, "access_token": token.get("access_token")},
            )
            claims.validate(now=int(self._clock.now()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            raise Unproven(f"what the provider has sent does not hold: {type(error).__name__}") from error
        name = next((claims[one] for one in ("preferred_username", "email", "sub") if isinstance(claims.get(one), str)), "")
        role = self._role(claims.get(self._claim))
        if role is None:
            raise Unproven(f"{name[:64]} has no role here: {self._claim} has none of what TILLWATCH_OIDC_ROLES names")
        return Who(name[:128], role)

    def _role(self, value: object) -> Role | None:
        has = {value} if isinstance(value, str) else set(filter(_is_text, value)) if isinstance(value, list) else set()
        return next((role for name, role in self._roles if name == "*" or name in has), None)

    async def _signing_keys(self, shown: str) -> KeySet:
        """The provider's keys; looked for again, though not often, where this names one that is not there."""
        now = time.monotonic()
        if self._keys is not None:
            keys, at = self._keys
            known = {key.kid for key in keys.keys}
            if now - at < KEYS_AGAIN_S or (now - at < KNOWN_S and _kid(shown) in known):
                return keys
        told = await self._ask((await self._described())["jwks_uri"])
        try:
            keys = KeySet.import_key_set(told)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Unproven("the provider's keys cannot be read") from error
        self._keys = keys, now
        return keys

    async def _described(self) -> Mapping[str, Any]:
        now = time.monotonic()
        if self._metadata is not None and now - self._metadata[1] < KNOWN_S:
            return self._metadata[0]
        told = await self._ask(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != self.issuer:
            raise Unproven("the provider calls itself by another name than TILLWATCH_OIDC_ISSUER")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(told.get(name), str) or not is_private_way(told[name]):
                raise Unproven(f"the provider's {name} is no https address")
        self._metadata = told, now
        return told

    async def _ask(
        self, address: str, form: Mapping[str, str] | None = None, auth: aiohttp.BasicAuth | None = None
    ) -> Mapping[str, Any]:
        limit = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, auth=auth) as client,
                client.request("GET" if form is None else "POST", address, data=form, allow_redirects=False) as answer,
            ):
                body = b""
                async for part in answer.content.iter_chunked(ANSWER_BYTES):
                    body += part
                    if len(body) > ANSWER_BYTES:
                        raise ValueError("too long")
            told = json.loads(body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unproven(f"the provider does not answer as it should ({type(error).__name__})") from error
        if answer.status != 200 or not isinstance(told, dict):
            raise Unproven(f"the provider says no ({answer.status})")
        return told

    def _key(self, held: str) -> str:
        return self._names.console(f"flow:{digest(held)}")


def roles_of(text: str) -> tuple[tuple[str, Role], ...]:
    """`sre=admin,*=viewer`, as the settings have checked it: values and their roles, in their order."""
    pairs = [one.rpartition("=") for one in text.split(",") if one.strip()]
    return tuple((name.strip(), ROLES[ROLES.index(role.strip())]) for name, _, role in pairs)


def secret_of(settings: Settings) -> str | None:
    """The client's secret. Raises SettingsError where its file cannot be read."""
    if settings.oidc_secret is not None:
        return settings.oidc_secret.get_secret_value()
    return None if settings.oidc_secret_file is None else secret_in("oidc_secret_file", settings.oidc_secret_file)


def provider_of(settings: Settings, redis: Redis, clock: Clock) -> Provider | None:
    """The provider of the settings, None where there is none. Raises SettingsError."""
    return None if settings.oidc_issuer is None else Provider(settings, redis, settings.names, clock)



def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _kid(shown: str) -> str | None:
    """The name of the key that this says it is signed with; nothing is checked yet."""
    try:
        found = jws.extract_compact(shown.encode()).headers().get("kid")
    except (JoseError, ValueError):
        return None
    return found if isinstance(found, str) else None
