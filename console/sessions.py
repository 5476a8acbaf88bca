"""Sessions of browsers, and the links that begin one: in the store, as hashes alone, so that who reads it can open nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal

import msgspec
from redis.asyncio import Redis

from console.who import Role
from runtime.clock import Clock
from runtime.names import Names
from runtime.outbox import text

IDLE_S, LONGEST_S = 12 * 3600, 7 * 86_400
SEEN_EVERY_S = 60
LINK_S = 15 * 60
SECRET_CHARS = 43
"""Of 32 random bytes."""

CSRF_HEADER = "x-tillwatch-csrf"

How = Literal["password", "oidc", "link", "token"]


class Session(msgspec.Struct, frozen=True):
    """version: what it began with, of the account or of the installation's token; with another one it is over."""

    name: str
    role: Role
    how: How
    version: str
    begun_ms: int
    seen_ms: int


def csrf(secret: str) -> str:
    """What a page must show beside the cookie, so that no page of somebody else's acts in its name."""
    return hmac.digest(secret.encode(), b"tillwatch csrf", "sha256").hex()


def digest(secret: str) -> str:
    """What is kept of a random secret; of one with 256 bits nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Sessions:
    """All of them. Methods raise what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names, clock: Clock) -> None:
        self._redis, self._names, self._clock = redis, names, clock

    async def begin(self, name: str, role: Role, how: How, version: str = "") -> str:
        """A new one; the secret that its browser keeps."""
        secret, now_ms = secrets.token_urlsafe(32), self._now_ms()
        session = Session(name, role, how, version, now_ms, now_ms)
        await self._redis.set(self._key(secret), msgspec.json.encode(session), ex=LONGEST_S)
        return secret

    async def find(self, secret: str) -> Session | None:
        """The session of this secret, if it is not over; it is seen by this."""
        if len(secret) != SECRET_CHARS:
            return None
        found = await self._redis.get(self._key(secret))
        if found is None:
            return None
        session, now_ms = msgspec.json.decode(found, type=Session), self._now_ms()
        if now_ms - session.seen_ms > IDLE_S * 1000 or now_ms - session.begun_ms > LONGEST_S * 1000:
            await self.end(secret)
            return None
        if now_ms - session.seen_ms > SEEN_EVERY_S * 1000:
            seen = msgspec.structs.replace(session, seen_ms=now_ms)
            # Not where it was ended meanwhile.
            await self._redis.set(self._key(secret), msgspec.json.encode(seen), xx=True, keepttl=True)
        return session

    async def end(self, secret: str) -> None:
        await self._redis.delete(self._key(secret))

    async def offer(self, name: str) -> str:
        """A secret that begins one session of an admin of this name, once, within a quarter of an hour."""
        once = secrets.token_urlsafe(32)
        await self._redis.set(self._names.console(f"once:{digest(once)}"), name, ex=LINK_S)
        return once

    async def take(self, once: str) -> str | None:
        """The name it was offered to; None where it was taken before, or is too old."""
        found = await self._redis.getdel(self._names.console(f"once:{digest(once)}"))
        return None if found is None else text(found)

    def _key(self, secret: str) -> str:
        return self._names.console(f"session:{digest(secret)}")

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def link(address: str, once: str) -> str:
    """Where a browser takes an offer."""
    return f"{address.rstrip('/')}/sign-in?once={once}"
