"""Signed links that answer a page with one click: who may do what to which incident, until when, once.

A token is base64url of a body and of its HMAC-SHA256 (RFC 2104, cut to 128 bits). It holds no secret, but whoever has it may do
what it grants, so it is never logged. Keys are changed by putting the new one first: it signs, all of them are accepted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from pydantic import SecretStr

from notifier.channels.base import ACTIONS, DECISIONS
from runtime.clock import Clock

LASTS_S = 3 * 86_400.0
"""Seconds that a link works."""
KEY_CHARS = 32
"""The shortest key."""
REMEMBERED = 100_000
"""Grants that the memory of one process holds."""
_PURPOSE = b"tillwatch answer 1\0"
_MAC_BYTES = 16


class Forged(ValueError):
    """The token was not made here, or was changed."""


class Expired(ValueError):
    """The token was made here, and its time is over."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows: `action` on `incident`, to the person who got the page with the key `page`. Of a decision about an
    automated action `page` is the key of that action's call."""

    incident: str
    action: str
    person: str
    page: str
    until_ms: int

    @property
    def id(self) -> str:
        """The same for every token that grants the same: used once, all of them are."""
        parts = (self.incident, self.action, self.person, self.page)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


class Links:
    """Makes and reads tokens. public: the address of the server that hears them, without a slash at its end."""

    def __init__(self, public: str, keys: Sequence[SecretStr], clock: Clock, lasts_s: float = LASTS_S) -> None:
        if not keys or any(len(key.get_secret_value()) < KEY_CHARS for key in keys):
            raise ValueError(f"keys of links: expected at least one, each of at least {KEY_CHARS} random characters")
        self.public = public
        self._keys = [key.get_secret_value().encode() for key in keys]
        self._clock, self._lasts_s = clock, lasts_s

    def answers(self, incident: str, person: str, page: str) -> Mapping[str, str]:
        """The links of a message: action → link."""
        return {action: self._link(self.token(incident, action, person, page)) for action in ACTIONS}

    def decisions(self, incident: str, person: str, name: str, call: str, until_ms: int) -> Mapping[str, str]:
        """The links by which a person approves or refuses an automated action: answer → link. call: its key; until_ms: when its
        approval is no longer waited for."""
        found = (f"{decision}/{name}" for decision in DECISIONS)
        return {action: self._link(self.token(incident, action, person, call, until_ms)) for action in found}

    def _link(self, token: str) -> str:
        return f"{self.public}/answer/{token}"

    def token(self, incident: str, action: str, person: str, page: str, until_ms: int | None = None) -> str:
        """A token that works from now on until it is over. until_ms: where that is earlier than usual."""
        until_s = int(self._clock.now() + self._lasts_s)
        if until_ms is not None:
            until_s = min(until_s, until_ms // 1000)
        body = msgspec.msgpack.encode((until_s, action, _packed(incident), person, _packed(page)))
        return _text(body + _mac(self._keys[0], body))

    def read(self, token: str) -> Grant:
        """What it grants. Raises Forged or Expired."""
        try:
            held = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raise Forged from None
        body, mac = held[:-_MAC_BYTES], held[-_MAC_BYTES:]
        # Each of them is looked at, so that the time it takes does not tell which.
        if not any([hmac.compare_digest(_mac(key, body), mac) for key in self._keys]) or _text(held) != token:
            raise Forged
        until_s, action, incident, person, page = msgspec.msgpack.decode(body)
        if self._clock.now() >= until_s:
            raise Expired
        return Grant(_unpacked(incident), action, person, _unpacked(page), until_s * 1000)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, _PURPOSE + body, hashlib.sha256).digest()[:_MAC_BYTES]


def _text(held: bytes) -> str:
    return base64.urlsafe_b64encode(held).decode().rstrip("=")


def _packed(text: str) -> str | bytes:
    """Hex digits as the bytes that they are: a link in a text message should be short."""
    try:
        held = bytes.fromhex(text)
    except ValueError:
        return text
    return held if held.hex() == text else text


def _unpacked(held: str | bytes) -> str:
    return held.hex() if isinstance(held, bytes) else held


class Spent(Protocol):
    """The memory of grants that were used."""

    async def spend(self, grant_id: str, until_ms: int) -> bool:
        """Notes that it is used; False where it was before. It may be forgotten after `until_ms`."""
        ...

    async def restore(self, grant_id: str) -> None:
        """What it was used for did not work: it may be used again."""
        ...


class SpentHere:
    """The memory of one process. After a restart a link works again; it is then a command with the same id, which changes
    nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, int] = {}

    async def spend(self, grant_id: str, until_ms: int) -> bool:
        if grant_id in self._until:
            return False
        if len(self._until) >= REMEMBERED:
            now_ms = self._clock.now() * 1000
            self._until = {held: until for held, until in self._until.items() if until > now_ms}
        if len(self._until) >= REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[grant_id] = until_ms
        return True

    async def restore(self, grant_id: str) -> None:
        self._until.pop(grant_id, None)
