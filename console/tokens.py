"""API tokens: what programs show (`Authorization: Bearer`). Hashes of them are kept, each with a role and an end."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

from console.sessions import digest
from console.who import Role
from runtime.names import Names

PATTERN = re.compile(r"tillwatch_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
"""What scanners for secrets look for."""
LONGEST_DAYS = 366


class Token(msgspec.Struct, frozen=True):
    """only: beginnings of the paths that it opens; none: all that its role may. by: who made it."""

    id: str
    name: str
    role: Role
    digest: str
    only: tuple[str, ...]
    by: str
    made_ms: int
    expires_ms: int


class Tokens:
    """All of them. Methods raise what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._key = redis, names.console("tokens")

    async def add(
        self, name: str, role: Role, by: str, now_ms: int, expires_ms: int, only: Sequence[str] = ()
    ) -> tuple[Token, str]:
        """A new one, and its text, which nobody can tell again."""
        ident, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        token = Token(ident, name, role, digest(secret), tuple(only), by, now_ms, expires_ms)
        if not await self._redis.hsetnx(self._key, ident, msgspec.json.encode(token).decode()):
            return await self.add(name, role, by, now_ms, expires_ms, only)
        return token, f"tillwatch_{ident}_{secret}"

    async def find(self, text: str, now_ms: int) -> Token | None:
        """The token of this text, if it is in force."""
        parts = PATTERN.fullmatch(text)
        found = None if parts is None else await self._redis.hget(self._key, parts[1])
        if parts is None or found is None:
            return None
        token = msgspec.json.decode(found, type=Token)
        fits = hmac.compare_digest(token.digest, digest(parts[2]))
        return token if fits and now_ms < token.expires_ms else None

    async def all(self) -> Sequence[Token]:
        """The oldest first."""
        held = await self._redis.hvals(self._key)
        return sorted((msgspec.json.decode(one, type=Token) for one in held), key=lambda one: (one.made_ms, one.id))

    async def revoke(self, ident: str) -> bool:
        return bool(await self._redis.hdel(self._key, ident))
