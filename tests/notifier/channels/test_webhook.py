"""Webhooks against the Standard Webhooks specification 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; the vector is that of its reference
libraries (libraries/javascript/src/webhook.test.ts, "sign function works").
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr, ValidationError

from notifier.channels.base import Receipt, Refused, Unreachable
from notifier.channels.settings import Around
from notifier.channels.webhook import Settings, Webhook, key_of, sign
from runtime.clock import ManualClock
from tests.support.messages import KEY, MESSAGE, message

VECTOR = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "dGhlIHNlY3JldCBvZiBsYXN0IHllYXIsIGEgdGVzdA=="
NOW = 1_790_000_000


def test_the_published_vector() -> None:
    signature = sign(key_of(SecretStr(VECTOR)), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class Receiver:
    """A consumer as the specification describes it: it checks id, timestamp (five minutes) and signatures of the raw body, and
    answers 401 where one is wrong."""

    def __init__(self, *keys: str) -> None:
        self.keys = [key_of(SecretStr(key)) for key in keys]
        self.now, self.answer = NOW, web.Response
        self.taken: list[tuple[str, dict[str, Any]]] = []

    async def hear(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = request.headers
        if not {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {name.lower() for name in headers}:
            return web.Response(status=400)
        identity, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        given = headers["webhook-signature"].split(" ")
        good = [sign(key, identity, timestamp, body) for key in self.keys]
        if abs(self.now - timestamp) > 300 or not set(good) & set(given) or "." in identity:
            return web.Response(status=401)
        self.taken.append((identity, json.loads(body)))
        return self.answer()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    yield Receiver(VECTOR)


async def send(
    receiver: Receiver, *secrets: str, now: float = NOW, host: str = "127.0.0.1", **changes: Any
) -> Receipt:
    app = web.Application()
    app.router.add_post("/hook", receiver.hear)
    settings = Settings.model_validate(
        {"kind": "webhook", "secret": " ".join(secrets) or VECTOR, "allow": ["127.0.0.0/8"]}
    )
    async with TestServer(app, host="127.0.0.1") as server:
        channel = Webhook("webhook", settings, Around(clock=ManualClock(now)))
        return await channel.send(message(**changes), f"http://{host}:{server.port}/hook")


async def test_a_consumer_that_follows_the_specification_takes_it(receiver: Receiver) -> None:
    receipt = await send(receiver)
    ((identity, body),) = receiver.taken
    assert receipt == Receipt(KEY, "answered 200", confirmed=True)
    assert identity == KEY and body["type"] == "tillwatch.page" and body["timestamp"].startswith("2026-")
    assert body["data"]["summary"] == MESSAGE.summary and body["data"]["answer"] == MESSAGE.answer


async def test_while_a_secret_is_changed_both_sign(receiver: Receiver) -> None:
    await send(receiver, OLD, VECTOR)
    await send(Receiver(OLD), OLD, VECTOR)
    assert len(receiver.taken) == 1


async def test_another_secret_and_an_old_timestamp_are_turned_away(receiver: Receiver) -> None:
    for refused in (send(receiver, OLD), send(receiver, now=NOW - 301)):
        with pytest.raises(Refused, match="answered 401"):
            await refused
    assert receiver.taken == []


async def test_every_attempt_has_the_same_id(receiver: Receiver) -> None:
    for at in (NOW, NOW + 60):
        await send(receiver, now=at)
    assert [identity for identity, _ in receiver.taken] == [KEY, KEY]


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        *((status, Refused) for status in (301, 400, 404, 410)),
        *((status, Unreachable) for status in (408, 429, 500, 503)),
    ],
)
async def test_answers_are_what_http_says_they_are(receiver: Receiver, status: int, raised: type[Exception]) -> None:
    receiver.answer = lambda: web.Response(status=status, headers={"Retry-After": "7"})  # type: ignore[assignment]
    with pytest.raises(raised, match=f"answered {status}") as told:
        await send(receiver)
    if isinstance(told.value, Unreachable):
        assert told.value.retry_after_s == 7 and told.value.maybe_sent == (status == 500)


async def test_what_an_event_holds_stays_a_value(receiver: Receiver) -> None:
    title = '", "severity": "low", "x": "\r\nwebhook-id: other \u2028 {{7*7}} ${env}'
    await send(receiver, title=title)
    ((_, body),) = receiver.taken
    assert body["data"]["title"] == title and body["data"]["severity"] == "critical"


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_" + "c2hvcnQ=", "bm90IGEgc2VjcmV0LCBhIHRlc3Qgb2Ygb25l", "whsec_" + "not-base64,a-test!"],
)
def test_a_secret_that_is_none_is_told_without_showing_it(secret: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Settings.model_validate({"kind": "webhook", "secret": SecretStr(secret)})
    shown = secret.removeprefix("whsec_")
    assert not shown or shown not in str(wrong.value)


async def test_a_name_is_resolved_once_so_it_cannot_become_another(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"  # where nobody listens
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    await send(receiver, host="hooks.invalid")
    assert asked == ["hooks.invalid"] and len(receiver.taken) == 1


async def test_a_host_on_this_machine_is_refused_unless_allowed() -> None:
    settings = Settings.model_validate({"kind": "webhook", "secret": VECTOR})
    with pytest.raises(Refused, match="private network"):
        await asyncio.wait_for(Webhook("webhook", settings, Around()).send(MESSAGE, "http://127.0.0.1:9/"), 5)
