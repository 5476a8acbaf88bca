"""Fetching calendars: within limits, and without telling a URL that is a secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notifier import calendars
from notifier.calendars import fetch_all
from notifier.people import ical

CALENDAR = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """What answers at /fine, /large, /bad, /moved and, with its headers alone, at /never."""
    over = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await over.wait()
        return answer

    async def large(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while not over.is_set():  # as long as somebody reads
            await answer.write(b"x" * ical.LARGEST)
        return answer

    async def fine(request: web.Request) -> web.StreamResponse:
        return web.Response(body=CALENDAR, content_type="text/calendar")

    async def bad(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Sign in</html>")

    async def moved(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/fine")

    app = web.Application()
    handlers = {"/fine": fine, "/large": large, "/bad": bad, "/moved": moved, "/never": never}
    app.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    async with TestServer(app) as running:
        yield running
        over.set()


async def test_what_can_be_had_is_read_and_for_the_rest_is_told_why(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendars, "TIMEOUT_S", 0.3)
    paths = ("fine", "moved", "large", "bad", "gone", "never")
    urls = [f"{server.make_url('/')}{path}?key=hunter2" for path in paths]
    found, problems = await fetch_all([*urls, "http://hunter2@[::1/x"])
    assert list(found) == urls[:2]
    assert problems == [
        "the calendar at 127.0.0.1: longer than 1,048,576 bytes",
        "the calendar at 127.0.0.1: not iCalendar: 'Content line could not be parsed into pa…'",
        "the calendar at 127.0.0.1: answers with status 404",
        "the calendar at 127.0.0.1: does not answer within 0.3 s",
        "the URL of a calendar is none",
    ]


async def test_webcal_is_https(server: TestServer) -> None:
    _, [problem] = await fetch_all([str(server.make_url("/fine").with_scheme("webcal"))])
    assert problem.startswith("the calendar at 127.0.0.1: cannot be reached: ") and "SSL" in problem


async def test_a_server_that_is_away_is_told(server: TestServer) -> None:
    url = f"{server.make_url('/fine')}?key=hunter2"
    await server.close()
    found, [problem] = await fetch_all([url])
    assert not found and problem.startswith("the calendar at 127.0.0.1: cannot be reached: ")
    assert "hunter2" not in problem
