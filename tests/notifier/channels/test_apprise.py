"""Services by apprise's URLs, with a local server in the place of ntfy (https://docs.ntfy.sh/publish/#publish-as-json)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from notifier.channels import apprise
from notifier.channels.base import Refused, Unreachable
from notifier.channels.settings import Around
from tests.support.messages import MESSAGE, message


class Ntfy:
    """Takes messages, or does what `held` and `status` say."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status, self.held, self.reached = 200, asyncio.Event(), asyncio.Event()
        self.held.set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.reached.set()
        await self.held.wait()
        self.taken.append(body)
        return web.json_response({"id": "n1"}, status=self.status)


@pytest.fixture
async def ntfy() -> AsyncIterator[Ntfy]:
    it = Ntfy()
    app = web.Application()
    app.router.add_post("/{rest:.*}", it.take)
    async with TestServer(app, host="127.0.0.1") as server:
        it.url = f"ntfy://127.0.0.1:{server.port}/payments"
        yield it
        it.held.set()


@pytest.fixture
async def channel() -> AsyncIterator[apprise.Apprise]:
    it = apprise.Apprise("push", apprise.Settings(kind="apprise"), Around())
    yield it
    await it.close()


async def test_the_service_gets_title_and_text(ntfy: Ntfy, channel: apprise.Apprise) -> None:
    receipt = await channel.send(MESSAGE, ntfy.url)
    assert receipt.detail == "ntfy:// took it" and receipt.confirmed is None
    (taken,) = ntfy.taken
    assert taken["topic"] == "payments" and taken["title"] == "P0 #41: Payments failing"
    assert "92 % of them" in taken["message"] and "https://pages.example/answer/TOKEN-ack" in taken["message"]


async def test_what_an_event_holds_is_text(ntfy: Ntfy, channel: apprise.Apprise) -> None:
    await channel.send(message(title="a\r\nb <b>", summary="{{ 7*7 }} \\n :smile: <script>"), ntfy.url)
    assert ntfy.taken[0]["title"] == "P0 #41: a b <b>" and "{{ 7*7 }} \\n :smile: <script>" in ntfy.taken[0]["message"]


async def test_a_failure_is_tried_again_and_its_url_not_shown(ntfy: Ntfy, channel: apprise.Apprise) -> None:
    ntfy.status = 500
    with pytest.raises(Unreachable) as told:
        await channel.send(MESSAGE, ntfy.url)
    assert str(told.value) == "apprise could not hand it to ntfy://"


@pytest.mark.parametrize(
    "url",
    [
        *("json://10.0.0.7/", "jsons://10.0.0.7/", "XML://10.0.0.7/", "forms://10.0.0.7/", "apprise://10.0.0.7/k"),
        *("syslog://", "dbus://", "windows://", "pigeon://loft", "tgram://not-a-token", "", "no url"),
    ],
)
async def test_what_would_go_anywhere_or_nowhere_is_refused(channel: apprise.Apprise, url: str) -> None:
    with pytest.raises(Refused):
        await channel.send(MESSAGE, url)


async def test_one_that_hangs_keeps_its_thread_and_no_more(ntfy: Ntfy, channel: apprise.Apprise) -> None:
    ntfy.held.clear()
    waiting = [asyncio.create_task(channel.send(MESSAGE, ntfy.url)) for _ in range(apprise.THREADS)]
    await asyncio.wait_for(ntfy.reached.wait(), 10)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(Unreachable, match="hang in it already"):
        await channel.send(MESSAGE, ntfy.url)
    ntfy.held.set()


def test_the_url_is_a_secret() -> None:
    settings = apprise.Settings(kind="apprise", to=SecretStr("tgram://key-of-a-test/chat"))
    assert "key-of-a-test" not in repr(settings) and settings.address == "tgram://key-of-a-test/chat"
