"""Accounts: people who sign in at the console with a name and a password. In the store, so that all consoles know them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ParamSpec, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from redis.asyncio import Redis

from console.problems import Refused
from console.who import Role
from runtime.names import Names

P = ParamSpec("P")
T = TypeVar("T")
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
PASSWORD_CHARS = 12
"""A shorter one is guessed; longer is better than strange (NIST SP 800-63B, 3.1.1.2)."""
PASSWORD_MOST = 256
AT_ONCE, WAITING = 2, 16
"""Each takes 64 MiB and a core for a moment."""
TRIES = 10
_SWAP = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""Changes an account that is as it was read, so that of two changes at once none is lost."""


class Account(msgspec.Struct, frozen=True):
    """password: an Argon2id hash. version: another with each new password and each new role, and with it sessions end."""

    name: str
    role: Role
    password: str
    version: str
    made_ms: int


class Unfit(ValueError):
    """A name or a password that cannot be used; the text says why."""


def fit_name(name: str) -> str:
    """The name as it is kept. Raises Unfit."""
    if not NAME.fullmatch(name):
        raise Unfit(f"{name[:64]!r} cannot be a name: small letters, digits and . _ @ -, at most 64, a letter or digit first")
    return name


def fit_password(password: str) -> str:
    """The password. Raises Unfit."""
    if not PASSWORD_CHARS <= len(password) <= PASSWORD_MOST:
        raise Unfit(f"a password has {PASSWORD_CHARS} to {PASSWORD_MOST} characters; this one has {len(password)}")
    return password


class Passwords:
    """Argon2id with the parameters of RFC 9106 for little memory (its second recommended option)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn, self._asked = asyncio.Semaphore(AT_ONCE), 0

    def hash(self, password: str) -> str:
        """What is kept of a password."""
        return self._hasher.hash(password)

    async def hashed(self, password: str) -> str:
        """The same beside the event loop. Raises Refused where too many wait already."""
        return await self._in_turn(self.hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether it is the password. None, of a name that nobody has, takes as long as any. Raises Refused where too many
        wait already."""
        return await self._in_turn(self._verify, kept, password)

    async def _in_turn(self, work: Callable[P, T], *with_what: P.args, **more: P.kwargs) -> T:
        if self._asked >= AT_ONCE + WAITING:
            raise Refused(503, "too many show passwords at once: try again in a moment", {"Retry-After": "2"})
        self._asked += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *with_what, **more)
        finally:
            self._asked -= 1

    def _verify(self, kept: str | None, password: str) -> bool:
        decoy = self._decoy  # made before it is known whether it is needed, so that its making tells nothing
        try:
            return self._hasher.verify(decoy if kept is None else kept, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    @cached_property
    def _decoy(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(32))


class Accounts:
    """All of them. Methods raise what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._key = redis, names.console("users")
        self._swap = redis.register_script(_SWAP)

    async def any(self) -> bool:
        return bool(await self._redis.hlen(self._key))

    async def get(self, name: str) -> Account | None:
        found = await self._redis.hget(self._key, name) if NAME.fullmatch(name) else None
        return None if found is None else msgspec.json.decode(found, type=Account)

    async def all(self) -> Sequence[Account]:
        """By name."""
        held = await self._redis.hvals(self._key)
        return sorted((msgspec.json.decode(one, type=Account) for one in held), key=lambda one: one.name)

    async def add(self, name: str, role: Role, password: str, now_ms: int) -> bool:
        """False where there is one of this name. `password`: its hash."""
        made = Account(fit_name(name), role, password, secrets.token_hex(8), now_ms)
        return bool(await self._redis.hsetnx(self._key, name, msgspec.json.encode(made).decode()))

    async def change(
        self, name: str, *, role: Role | None = None, password: str | None = None, version: str | None = None
    ) -> Account | None:
        """Another role, or another password's hash; sessions of this account end. version: of the account that is meant, any
        unless said. None where there is none."""
        for _ in range(TRIES):
            before = await self._redis.hget(self._key, name) if NAME.fullmatch(name) else None
            if before is None:
                return None
            account = msgspec.json.decode(before, type=Account)
            if version not in (None, account.version):
                return None
            after = msgspec.structs.replace(
                account, role=role or account.role, password=password or account.password, version=secrets.token_hex(8)
            )
            if await self._swap(keys=[self._key], args=[name, before, msgspec.json.encode(after)]):
                return after
        raise TimeoutError("this account is changed too often at once")

    async def remove(self, name: str) -> bool:
        """Its sessions end, too."""
        return bool(await self._redis.hdel(self._key, name))

