"""Webhooks, signed as the Standard Webhooks specification 1.0 has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the headers webhook-id (the same for
every attempt), webhook-timestamp (of the attempt) and webhook-signature (`v1,` and base64 of HMAC-SHA256 over
`id.timestamp.body`; several of them while a secret is changed).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from pydantic import Field, SecretStr, field_validator

from notifier.channels.base import Message, Receipt
from notifier.channels.guard import Guard, connector
from notifier.channels.http import Answer, Sender, failure
from notifier.channels.settings import Around, Table
from schemas.time import rfc3339

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)


class Settings(Table):
    """`to` (or the recipient's own address) is the URL."""

    secret: tuple[SecretStr, ...] = Field(
        min_length=1,
        description="`whsec_` and base64 of 24 to 64 bytes; while it is changed both, the new one first, with a blank",
    )
    allow: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="private networks that may be reached, also over http, such as 10.1.0.0/16"
    )

    @field_validator("secret", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return tuple(SecretStr(one) for one in text.split()) if isinstance(text, str) else value

    @field_validator("secret")
    @classmethod
    def _usable(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            key_of(secret)
        return value


def key_of(secret: SecretStr) -> bytes:
    """The key of a secret. Raises ValueError, which does not show it."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if len(key) not in SECRET_BYTES:
        raise ValueError("expected whsec_ and the base64 of 24 to 64 random bytes")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature: `v1,` and base64."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def payload(message: Message, timestamp: int) -> bytes:
    """The body: `type`, `timestamp` and `data`, as the specification recommends."""
    data = {
        "key": message.key,
        "kind": message.kind,
        "incident": message.incident,
        "number": message.number,
        "title": message.title,
        "severity": message.severity,
        "level": message.level,
        "status": message.status,
        "summary": message.summary,
        "lines": message.lines,
        "since": rfc3339(message.since_ms),
        "recipient": message.recipient,
        "url": message.url,
        "runbook": message.runbook,
        "answer": dict(message.answer),
    }
    body = {"type": f"tillwatch.{message.kind}", "timestamp": rfc3339(timestamp * 1000), "data": data}
    return json.dumps(body, separators=(",", ":")).encode()


def view(message: Message) -> str:
    """The body, for people to read."""
    return json.dumps(json.loads(payload(message, message.since_ms // 1000)), indent=2)


async def post(
    url: str, message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes], guard: Guard
) -> Answer:
    """POSTs once, signed. Raises Unreachable or Refused, also for an answer that is not 2xx."""
    addresses = await guard.addresses(url)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, message_id, timestamp, body) for key in keys),
    }
    sender = Sender(connector(addresses))
    try:
        answer = await sender.post(url, body=body, headers=headers)
    finally:
        await sender.close()
    if not 200 <= answer.status < 300:
        raise failure(answer)
    return answer


class Webhook:
    """POSTs each message to the recipient's URL; any 2xx is proof that it was taken."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name = name
        self._keys = [key_of(secret) for secret in settings.secret]
        self._guard, self._clock = Guard(settings.allow), around.clock

    async def send(self, message: Message, address: str) -> Receipt:
        now = int(self._clock.now())
        answer = await post(address, message.key, now, payload(message, now), self._keys, self._guard)
        return Receipt(message.key, f"answered {answer.status}", confirmed=True)

    async def close(self) -> None:
        pass
